"""One suite for all engines, found in the registry; the oracle is the reference engine (and plain Python for it)."""

from __future__ import annotations

import dataclasses
import math
import uuid
from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import fs
from scans import deletion_vector, equality_deletes, field, position_deletes, scan_of, table, write
from values import schemas, values

from lakeopt.engines.base import Engine
from lakeopt.errors import DataFileError, Refused
from lakeopt.model.scan import Scan, StageRequest, WriterOptions, staged_schema
from lakeopt.parquet.scan import read_batches
from lakeopt.registry import ENGINES, load, names
from lakeopt.workflows.verify import prove, staged_scan

Key = Sequence[tuple[str, bool, bool]]


# Spark works on tables of a catalog only: tests/services/test_spark_engine.py.
@pytest.fixture(params=[name for name in names(ENGINES) if name != "spark"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = load(ENGINES, request.param).ENGINE
    assert found.name == request.param
    return found


def request_of(scan: Scan, root: Path, sort: Key = (), **more: Any) -> StageRequest:
    given = {
        "target_file_bytes": 1 << 30,
        "memory_bytes": 1 << 30,
        "threads": 2,
        "temp_dir": str(root / "spill"),
    } | more
    return StageRequest(
        scan,
        tuple(sort),
        WriterOptions(level=1),
        locate=lambda n: (root / "out" / f"{n:05d}.parquet").as_uri(),
        **given,
    )


def rows(scan: Scan) -> list[dict[str, Any]]:
    return [row for batch in read_batches(scan, threads=1) for row in batch.to_pylist()]


INNER = pa.struct([field("x", pa.int32(), 21), field("y", pa.string(), 22)])
SCHEMA = pa.schema(
    [
        field("n", pa.int64(), 1),
        field("f", pa.float64(), 2),
        field("t", pa.string(), 3),
        field("d", pa.decimal128(20, 3), 4),
        field("u", pa.uuid(), 5),
        field("z", pa.timestamp("us", "UTC"), 6),
        field("s", INNER, 7),
        field("l", pa.list_(field("element", INNER, 23)), 8),
        field("m", pa.map_(field("key", pa.string(), 24, False), field("value", pa.float64(), 25)), 9),
        field("b", pa.bool_(), 10),
        field("x", pa.binary(3), 11),
        field("day", pa.date32(), 12),
    ]
)


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    """Three small files with every kind of hard value: nulls, NaN, both zeros, ties, text beyond ASCII."""
    paths = []
    for number in range(3):
        count = range(number * 40, number * 40 + 40)
        part = table(
            SCHEMA,
            n=[None if n % 11 == 0 else n % 5 for n in count],
            f=[[None, math.nan, -0.0, 0.0, -math.inf, 1.5, -2.5][n % 7] for n in count],
            t=[["", "a", "é", "🦆", "Z", None][n % 6] for n in count],
            d=[Decimal(n - 60).scaleb(-3) for n in count],
            u=[uuid.UUID(int=(n * 7919 % 251) << 120).bytes for n in count],
            z=[n * 1_000_003 for n in count],
            s=[None if n % 3 == 0 else {"x": n, "y": None if n % 4 == 0 else str(n)} for n in count],
            l=[None if n % 5 == 0 else [{"x": i, "y": "e"} for i in range(n % 3)] for n in count],
            m=[None if n % 4 == 1 else [("k", n / 2), ("j", None)] for n in count],
            b=[[True, False, None][n % 3] for n in count],
            x=[bytes([n * 37 % 256, 0, 255]) for n in count],
            day=[n - 50 for n in count],
        )
        paths.append(write(tmp_path / "in" / f"{number}.parquet", part, row_group_size=15))
    return scan_of(SCHEMA, paths)


def python_key(value: Any) -> Any:
    """How the Iceberg spec compares one non-null value, in Python."""
    if isinstance(value, float):
        return (1, 0.0, 0.0) if math.isnan(value) else (0, value, math.copysign(1.0, value))
    return value.bytes if isinstance(value, uuid.UUID) else value


def in_order(found: list[dict[str, Any]], sort: Key) -> bool:
    def below_or_equal(left: dict[str, Any], right: dict[str, Any]) -> bool:
        for name, ascending, nulls_first in sort:
            a, b = left[name], right[name]
            if a is None or b is None:
                if (a is None) != (b is None):
                    return (a is None) == nulls_first
                continue
            if python_key(a) != python_key(b):
                return bool(python_key(a) < python_key(b)) == ascending
        return True

    return all(below_or_equal(left, right) for left, right in pairwise(found))


def test_bin_packing_keeps_every_row_and_every_type(engine: Engine, scan: Scan, tmp_path: Path) -> None:
    staged = engine.stage(request_of(scan, tmp_path))
    assert staged.schema.equals(staged_schema())
    written = staged_scan(scan, staged)
    assert prove(engine, scan, written, "rows", threads=2, memory_bytes=1 << 28).record_count == 120
    for location in staged["file_path"].to_pylist():
        found = pq.read_schema(fs.FileSystem.from_uri(location)[1])
        assert [column.metadata[b"PARQUET:field_id"] for column in found] == [
            column.metadata[b"PARQUET:field_id"] for column in SCHEMA
        ]
    assert not any(staged["sorted"].to_pylist())


@pytest.mark.parametrize("name", ["n", "f", "t", "d", "u", "z", "b", "x", "day"])
@pytest.mark.parametrize(("ascending", "nulls_first"), [(True, True), (True, False), (False, True), (False, False)])
def test_one_column_of_every_sortable_type_is_sorted_as_the_spec_compares(
    engine: Engine, scan: Scan, tmp_path: Path, name: str, ascending: bool, nulls_first: bool
) -> None:
    key = [(name, ascending, nulls_first)]
    staged = engine.stage(request_of(scan, tmp_path, key))
    found = rows(staged_scan(scan, staged))
    assert in_order(found, key)
    assert len(found) == 120
    assert all(staged["sorted"].to_pylist())


@pytest.mark.slow
def test_a_long_key_over_several_files_is_in_order_across_them(engine: Engine, scan: Scan, tmp_path: Path) -> None:
    key = [("b", False, True), ("f", True, False), ("t", False, False), ("n", True, True)]
    staged = engine.stage(request_of(scan, tmp_path, key, target_file_bytes=1))
    assert in_order(rows(staged_scan(scan, staged)), key)
    assert prove(engine, scan, staged_scan(scan, staged), "rows", threads=1, memory_bytes=1 << 28).matched


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(schema=schemas(depth=2), data=st.data())
def test_rows_of_any_schema_are_kept(engine: Engine, schema: pa.Schema, data: st.DataObject, tmp_path: Path) -> None:
    root = tmp_path / uuid.uuid4().hex
    count = data.draw(st.integers(1, 6))
    columns = [data.draw(st.lists(values(column.type), min_size=count, max_size=count)) for column in schema]
    arrays = [pa.array(column, part.type) for column, part in zip(columns, schema, strict=True)]
    path = write(root / "in.parquet", pa.Table.from_arrays(arrays, schema=schema))
    scan = scan_of(schema, [path])
    staged = engine.stage(request_of(scan, root))
    assert prove(engine, scan, staged_scan(scan, staged), "rows", threads=1, memory_bytes=1 << 28).record_count == count


def test_files_of_another_schema_are_read_by_field_id(engine: Engine, tmp_path: Path) -> None:
    old = pa.schema(
        [
            field("a", pa.int32(), 1),
            field("gone", pa.string(), 2),
            field("s", pa.struct([field("p", pa.int32(), 4), field("q", pa.string(), 5)]), 3),
        ]
    )
    one = write(tmp_path / "1.parquet", table(old, a=[2, 1], gone=["x", "y"], s=[{"p": 1, "q": "r"}, None]))
    plain = pa.schema([("a", pa.int32()), ("s", pa.struct([("p", pa.int32()), ("q", pa.string())]))])
    two = write(tmp_path / "2.parquet", table(plain, a=[3], s=[{"p": 2, "q": "z"}]))
    now = pa.schema(
        [
            field("gone", pa.string(), 6),
            field(
                "s", pa.struct([field("qq", pa.string(), 5), field("p", pa.int64(), 4), field("n", pa.date32(), 7)]), 3
            ),
            field("b", pa.int64(), 1),
            field("part", pa.string(), 8),
        ]
    )
    inner = [{"field-id": 4, "names": ["p"]}, {"field-id": 5, "names": ["q", "qq"]}]
    mapping = ({"field-id": 1, "names": ["a", "b"]}, {"field-id": 3, "names": ["s"], "fields": inner})
    scan = scan_of(now, [one, two], name_mapping=mapping, constants={two.as_uri(): {8: "north"}})
    staged = engine.stage(request_of(scan, tmp_path, [("b", True, True)]))
    assert rows(staged_scan(scan, staged)) == [
        {"gone": None, "s": None, "b": 1, "part": None},
        {"gone": None, "s": {"qq": "r", "p": 1, "n": None}, "b": 2, "part": None},
        {"gone": None, "s": {"qq": "z", "p": 2, "n": None}, "b": 3, "part": "north"},
    ]
    assert prove(engine, scan, staged_scan(scan, staged), "rows", threads=2, memory_bytes=1 << 28).matched


def test_a_bin_pack_with_deletes_keeps_the_order_of_arrival(engine: Engine, scan: Scan, tmp_path: Path) -> None:
    paths = [Path(fs.FileSystem.from_uri(uri)[1]) for uri in scan.files["file_path"].to_pylist()]
    deletes = [position_deletes(tmp_path / "d.parquet", {paths[0]: [0, 39], paths[2]: [0, 0, 7, 40, -1]})]
    deleted = scan_of(SCHEMA, paths, deletes=deletes)
    staged = engine.stage(request_of(deleted, tmp_path))
    assert (
        prove(engine, deleted, staged_scan(scan, staged), "rows", threads=1, memory_bytes=1 << 28).record_count == 116
    )
    days = [row["day"] for row in rows(staged_scan(scan, staged))]
    first = rows(scan)[0]["day"]
    assert days == [first.fromordinal(first.toordinal() + n) for n in range(120) if n not in {0, 39, 80, 87}]


def test_a_group_whose_rows_are_all_deleted_leaves_no_file(engine: Engine, scan: Scan, tmp_path: Path) -> None:
    paths = [Path(fs.FileSystem.from_uri(uri)[1]) for uri in scan.files["file_path"].to_pylist()]
    every = position_deletes(tmp_path / "d.parquet", dict.fromkeys(paths, range(40)))
    for sort in ([], [("n", True, True)]):
        staged = engine.stage(request_of(scan_of(SCHEMA, paths, deletes=[every]), tmp_path, sort))
        assert staged.num_rows == 0
        assert not list((tmp_path / "out").glob("**/*.parquet"))


def test_deletion_vectors_are_applied_or_refused_never_ignored(engine: Engine, scan: Scan, tmp_path: Path) -> None:
    paths = [Path(fs.FileSystem.from_uri(uri)[1]) for uri in scan.files["file_path"].to_pylist()]
    deleted = scan_of(SCHEMA, paths, deletes=[deletion_vector(tmp_path / "d.puffin", paths[0], [0, 1])])
    staged, refusal = None, ""
    try:
        staged = engine.stage(request_of(deleted, tmp_path))
    except Refused as error:
        refusal = str(error)
    if staged is None:
        assert "deletion vectors" in refusal
    else:
        proof = prove(engine, deleted, staged_scan(scan, staged), "rows", threads=1, memory_bytes=1 << 28)
        assert proof.record_count == 118


def test_a_delete_file_touches_only_the_data_files_that_name_it(engine: Engine, tmp_path: Path) -> None:
    """Each data file is older than the one before it: every later delete applies to it, whatever deletes repeat."""
    schema = pa.schema([field("n", pa.int64(), 1)])
    paths = [write(tmp_path / f"{number}.parquet", table(schema, n=[0, 1, 2, 3])) for number in range(4)]
    deletes = [equality_deletes(tmp_path / f"e{number}.parquet", table(schema, n=[number])) for number in range(3)]
    deletes.append(equality_deletes(tmp_path / "again.parquet", table(schema, n=[0])))
    deletes.append(position_deletes(tmp_path / "p.parquet", {path: [3] for path in paths}))
    named = [[], ["p"], ["again", "e2"], ["again", "e2", "e1", "e0", "p"]]
    scan = with_delete_files(scan_of(schema, paths, deletes=deletes), tmp_path, named)
    staged = engine.stage(request_of(scan, tmp_path, [("n", True, True)]))
    left = [[0, 1, 2, 3], [0, 1, 2], [1, 3], []]
    assert [row["n"] for row in rows(staged_scan(scan, staged))] == sorted(n for some in left for n in some)


def with_delete_files(scan: Scan, root: Path, named: Sequence[Sequence[str]]) -> Scan:
    """The scan with these delete files for each data file, by the stems of their names."""
    column = scan.files.schema.get_field_index("delete_files")
    paths = [[(root / f"{name}.parquet").as_uri() for name in names] for names in named]
    held = scan.files.schema.field(column)
    return dataclasses.replace(scan, files=scan.files.set_column(column, held, pa.array(paths, held.type)))


@pytest.mark.parametrize("damage", ["missing", "cut off", "rewritten", "no ids"])
@pytest.mark.parametrize("kind", ["positions", "keys"])
def test_a_bad_delete_file_is_named_and_leaves_no_file(
    engine: Engine, scan: Scan, tmp_path: Path, kind: str, damage: str
) -> None:
    paths = [Path(fs.FileSystem.from_uri(uri)[1]) for uri in scan.files["file_path"].to_pylist()]
    victim = tmp_path / "delete.parquet"
    if kind == "positions":
        deletes = position_deletes(victim, {path: range(20) for path in paths})
    else:
        deletes = equality_deletes(victim, table(pa.schema([SCHEMA.field("n")]), n=range(200)))
    whole = victim.read_bytes()
    if damage == "missing":
        victim.unlink()
    elif damage == "cut off":
        victim.write_bytes(whole[:-50])
    elif damage == "rewritten":
        victim.write_bytes(whole[:4] + b"\xff" * 60 + whole[64:])
    else:
        write(victim, pa.table({"file_path": ["x"], "pos": [1], "n": [1]}))
    with pytest.raises((DataFileError, Refused), match=r"delete\.parquet"):
        engine.stage(request_of(scan_of(SCHEMA, paths, deletes=[deletes]), tmp_path))
    assert not list((tmp_path / "out").glob("**/*.parquet"))


KEYS = pa.schema(
    [
        field("n", pa.int64(), 1),
        field("f", pa.float64(), 2),
        field("t", pa.string(), 3),
        field("new", pa.date32(), 5),
        field("row", pa.int64(), 6),
    ]
)
WRITTEN = pa.schema([field("nn", pa.int32(), 1), field("f", pa.float32(), 2), field("t", pa.string(), 3)])
WRITTEN = WRITTEN.append(field("gone", pa.int32(), 4)).append(field("row", pa.int64(), 6))
FEW = {
    "n": [None, 0, 1, 2],
    "f": [None, math.nan, 0.0, -0.0, math.inf],
    "t": [None, "", "a", "\0"],
    "new": [None, 3],
    "gone": [None, 0, 1],
}


@st.composite
def tables_with_deletes(draw: st.DrawFn, root: Path) -> Scan:
    """Files of an old and of the present schema; deletes of positions and of keys, each on some of the files."""
    few = {"nn": FEW["n"], **FEW}
    paths = []
    for number in range(draw(st.integers(1, 4))):
        schema, count = draw(st.sampled_from([KEYS, WRITTEN])), draw(st.integers(1, 12))
        columns = {
            part.name: [number * 100 + n for n in range(count)]
            if part.name == "row"
            else draw(st.lists(st.sampled_from(few[part.name]), min_size=count, max_size=count))
            for part in schema
        }
        paths.append(write(root / "in" / f"{number}.parquet", table(schema, **columns), row_group_size=5))
    deletes = []
    for number in range(draw(st.integers(1, 4))):
        path = root / f"d{number}.parquet"
        if draw(st.booleans()):
            places = st.lists(st.integers(-1, 13), max_size=6)
            targets = draw(st.lists(st.sampled_from([*paths, root / "another.parquet"]), max_size=3, unique=True))
            deletes.append(position_deletes(path, {target: draw(places) for target in targets}))
        else:
            fields = draw(st.sampled_from([list(KEYS)[:4], list(WRITTEN)[:4]]))
            keys = pa.schema(draw(st.lists(st.sampled_from(fields), min_size=1, max_size=2, unique=True)))
            count = draw(st.integers(0, 4))
            drawn = {k.name: draw(st.lists(st.sampled_from(few[k.name]), min_size=count, max_size=count)) for k in keys}
            deletes.append(equality_deletes(path, table(keys, **drawn)))
    made = scan_of(KEYS, paths, deletes=deletes)
    named = [[f"d{number}" for number in range(len(deletes)) if draw(st.integers(0, 3))] for _ in paths]
    return with_delete_files(made, root, named)


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_deletes_leave_is_what_the_reference_engine_leaves(
    engine: Engine, data: st.DataObject, tmp_path: Path
) -> None:
    root = tmp_path / uuid.uuid4().hex
    scan = data.draw(tables_with_deletes(root))
    key = data.draw(st.sampled_from([[], [("row", False, True)], [("t", True, False), ("row", True, True)]]))
    found = rows(staged_scan(scan, engine.stage(request_of(scan, root / "engine", key))))
    reference = load(ENGINES, "reference").ENGINE
    left = rows(staged_scan(scan, reference.stage(request_of(scan, root / "reference", key))))
    if not key:  # files of one schema may be read before those of another, each from its start to its end
        files = [number for number, _ in groupby(row["row"] // 100 for row in found)]
        assert len(set(files)) == len(files)
        assert all(a["row"] < b["row"] for a, b in pairwise(found) if a["row"] // 100 == b["row"] // 100)
        found, left = (sorted(some, key=lambda row: row["row"]) for some in (found, left))
    assert repr(found) == repr(left)


@pytest.mark.parametrize("damage", ["missing", "cut off", "no ids"])
def test_bad_input_is_an_error_and_leaves_no_file(engine: Engine, scan: Scan, tmp_path: Path, damage: str) -> None:
    victim = Path(fs.FileSystem.from_uri(scan.files["file_path"][1].as_py())[1])
    if damage == "missing":
        victim.unlink()
    elif damage == "cut off":
        victim.write_bytes(victim.read_bytes()[:-100])
    else:
        write(victim, pa.table({"n": pa.array(range(40))}))
    with pytest.raises((DataFileError, Refused), match=r"1\.parquet"):
        engine.stage(request_of(scan, tmp_path, [("n", True, True)]))
    assert not list((tmp_path / "out").glob("**/*.parquet"))


def test_discard_removes_what_is_there(engine: Engine, scan: Scan, tmp_path: Path) -> None:
    staged = engine.stage(request_of(scan, tmp_path))
    count = staged.num_rows
    assert engine.discard(staged, scan.resolve) == count
    assert engine.discard(staged, scan.resolve) == 0
    assert not list((tmp_path / "out").glob("**/*.parquet"))


def test_all_engines_have_the_same_fingerprint_of_the_same_rows(engine: Engine, scan: Scan) -> None:
    reference = load(ENGINES, "reference").ENGINE
    options: dict[str, Any] = {"threads": 2, "memory_bytes": 1 << 28, "by_column": True}
    assert engine.fingerprint(scan, **options) == reference.fingerprint(scan, **options)
    empty = dataclasses.replace(scan, files=scan.files.slice(0, 0))
    assert engine.fingerprint(empty, threads=1, memory_bytes=1 << 28).record_count == 0


def test_rows_are_sorted_inside_blocks_of_arrival_and_files_do_not_say_that_they_are_sorted(
    engine: Engine, scan: Scan, tmp_path: Path
) -> None:
    """Blocks reach across files: the three have forty rows each, a block has fifty."""
    staged = engine.stage(request_of(scan, tmp_path, [("n", True, True), ("u", True, True)], block_rows=50))
    before, after = rows(scan), rows(staged_scan(scan, staged))
    for start in range(0, 120, 50):
        block = before[start : start + 50]
        expected = sorted(block, key=lambda row: (row["n"] is not None, row["n"] or 0, python_key(row["u"])))
        assert [row["d"] for row in after[start : start + 50]] == [row["d"] for row in expected]
    assert staged["sorted"].to_pylist() == [False]


def test_columns_are_written_in_the_encodings_asked_for(engine: Engine, scan: Scan, tmp_path: Path) -> None:
    asked = {"n": "delta-binary-packed", "t": "delta-byte-array", "f": "plain", "day": "dictionary"}
    request = request_of(scan, tmp_path, [("n", True, True)])
    staged = engine.stage(dataclasses.replace(request, writer=WriterOptions(level=1, encodings=asked)))
    (location,) = staged["file_path"].to_pylist()
    group = pq.read_metadata(fs.FileSystem.from_uri(location)[1]).row_group(0)
    found = {group.column(n).path_in_schema: group.column(n).encodings for n in range(group.num_columns)}
    assert "DELTA_BINARY_PACKED" in found["n"]
    assert "DELTA_BYTE_ARRAY" in found["t"]
    assert "RLE_DICTIONARY" not in found["f"]
    assert "RLE_DICTIONARY" in found["day"]
    by_number = {row["d"]: repr(row) for row in rows(scan)}
    assert {row["d"]: repr(row) for row in rows(staged_scan(scan, staged))} == by_number
