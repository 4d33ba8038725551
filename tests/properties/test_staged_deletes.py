"""What staging leaves of files under deletes is worked out in plain Python: by place, and by key as text."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import fs
from scans import equality_deletes, field, position_deletes, scan_of, table, write

from lakeopt.engines.duckdb import ENGINE
from lakeopt.model.scan import StageRequest, WriterOptions

SCHEMA = pa.schema([field("n", pa.int32(), 1), field("f", pa.float64(), 2), field("t", pa.string(), 3)])
ROWS = st.tuples(
    st.sampled_from([None, 0, 1]),
    st.sampled_from([None, math.nan, 0.0, -0.0, 2.5]),
    st.sampled_from([None, "", "a"]),
)
FILES = st.lists(st.lists(ROWS, min_size=1, max_size=8), min_size=1, max_size=4)
#: A delete file: ``{number of a data file: positions}`` or (columns, keys), and the data files that it applies to.
POSITIONS = st.dictionaries(st.integers(0, 3), st.lists(st.integers(-1, 9), max_size=5), max_size=3)
KEYS = st.tuples(st.lists(st.integers(0, 2), min_size=1, max_size=2, unique=True), st.lists(ROWS, max_size=3))
DELETES = st.lists(st.tuples(st.one_of(POSITIONS, KEYS), st.sets(st.integers(0, 3))), min_size=1, max_size=4)


def expected(files: list[list[tuple[Any, ...]]], deletes: list[tuple[Any, set[int]]]) -> list[str]:
    """Rows that are left, as text, in order of arrival."""
    left = []
    for number, rows in enumerate(files):
        for place, row in enumerate(rows):
            if not any(number in applies and _deletes(what, number, place, row) for what, applies in deletes):
                left.append(repr(row))
    return left


def _deletes(what: Any, number: int, place: int, row: tuple[Any, ...]) -> bool:
    if isinstance(what, dict):
        return place in what.get(number, ())
    columns, keys = what
    return any(all(repr(row[at]) == repr(key[at]) for at in columns) for key in keys)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(files=FILES, deletes=DELETES, sort=st.booleans())
def test_rows_that_no_delete_names_are_left(files: Any, deletes: Any, sort: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = [root / f"{number}.parquet" for number in range(4)]
        for path, rows in zip(paths, files, strict=False):
            write(path, _table(SCHEMA, rows), row_group_size=3)
        written = [_write_delete(root / f"d{at}.parquet", what, paths) for at, (what, _) in enumerate(deletes)]
        scan = scan_of(SCHEMA, paths[: len(files)], deletes=written)
        column = scan.files.schema.get_field_index("delete_files")
        lists = [
            [entry["file_path"] for entry, (_, applies) in zip(written, deletes, strict=True) if number in applies]
            for number in range(len(files))
        ]
        held = scan.files.schema.field(column)
        scan = dataclasses.replace(scan, files=scan.files.set_column(column, held, pa.array(lists, held.type)))
        request = StageRequest(
            scan,
            (("t", True, True),) if sort else (),
            WriterOptions(level=1),
            target_file_bytes=1 << 30,
            locate=lambda n: (root / "out" / f"{n}.parquet").as_uri(),
            memory_bytes=4 << 30,
            threads=2,
            temp_dir=str(root / "spill"),
        )
        staged = ENGINE.stage(request)["file_path"].to_pylist()
        found = [
            repr(tuple(row.values()))
            for uri in staged
            for row in pq.read_table(fs.FileSystem.from_uri(uri)[1]).to_pylist()
        ]
        left = expected(files, deletes)
        assert (sorted(found) == sorted(left)) if sort else (found == left)


def _table(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.Table:
    return table(schema, **{part.name: [row[place] for row in rows] for place, part in enumerate(schema)})


def _write_delete(path: Path, what: Any, paths: list[Path]) -> dict[str, Any]:
    if isinstance(what, dict):
        return position_deletes(path, {paths[number]: places for number, places in what.items()})
    columns, keys = what
    schema = pa.schema([SCHEMA.field(place) for place in columns])
    return equality_deletes(path, _table(schema, [tuple(key[place] for place in columns) for key in keys]))
