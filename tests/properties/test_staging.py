"""A staged table is the input, whatever became of its schema since the files were written.

The evolution is drawn at random at every depth; what the rows should become is worked out in plain Python.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import fs
from scans import field, scan_of, write
from values import tables

from lakeopt.engines.duckdb import ENGINE
from lakeopt.model.scan import FIELD_ID, StageRequest, WriterOptions

HOSTILE = [
    "select",
    "a.b",
    "it's",
    'say "x"',
    "🦆",
    "A",
    "a",
    "p0",
    "c1",
    "arrival",
    "file_row_number",
    "filename",
    " ",
]
PROMOTED = {pa.int32(): pa.int64(), pa.float32(): pa.float64(), pa.decimal128(9, 2): pa.decimal128(20, 2)}


class Evolution:
    """Draws what a table's schema became, and gives each value its meaning in it."""

    def __init__(self, draw: Any) -> None:
        self.draw, self.ids = draw, count(1000)

    def fields(self, old: Sequence[pa.Field]) -> list[pa.Field]:
        """Some dropped, some added, all in another order under other names, each evolved itself."""
        kept = [part for part in old if self.draw(st.integers(0, 5))] or list(old[:1])
        new = [field("", self.kind(part.type), int(part.metadata[FIELD_ID])) for part in kept]
        new += [field("", self.draw(st.sampled_from([pa.int64(), pa.string()])), next(self.ids))] * self.draw(
            st.integers(0, 1)
        )
        new = self.draw(st.permutations(new))
        names = self.draw(st.permutations(HOSTILE))
        taken: set[str] = set()
        named = []
        for part in new:
            name = next(name for name in names if name.casefold() not in taken)
            taken.add(name.casefold())
            named.append(part.with_name(name))
        return named

    def kind(self, old: pa.DataType) -> pa.DataType:
        if pa.types.is_struct(old):
            return pa.struct(self.fields(list(old)))
        if pa.types.is_map(old):
            item = old.item_field
            return pa.map_(old.key_field, item.with_type(self.kind(item.type)))
        if pa.types.is_list(old):
            return pa.list_(old.value_field.with_type(self.kind(old.value_type)))
        return PROMOTED[old] if old in PROMOTED and self.draw(st.booleans()) else old


def meant(value: Any, old: pa.DataType, new: pa.DataType) -> Any:
    """What a value of the old type is in the new one, matched by field id."""
    if value is None:
        return None
    if pa.types.is_struct(old):
        return row_meant(value, list(old), list(new))
    if pa.types.is_map(old):
        return [(key, meant(item, old.item_type, new.item_type)) for key, item in value]
    if pa.types.is_list(old):
        return [meant(item, old.value_type, new.value_type) for item in value]
    return value


def row_meant(row: dict[str, Any], old: Sequence[pa.Field], new: Sequence[pa.Field]) -> dict[str, Any]:
    held = {part.metadata[FIELD_ID]: part for part in old}
    result = {}
    for part in new:
        before = held.get(part.metadata[FIELD_ID])
        result[part.name] = None if before is None else meant(row[before.name], before.type, part.type)
    return result


def fingerprint(rows: Sequence[Any]) -> Counter[str]:
    """Multiset of rows as text, which tells -0.0 from 0.0 and holds NaN equal to NaN."""
    return Counter(repr(_plain(row)) for row in rows)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, Decimal):
        return str(value)
    return str(value) if isinstance(value, float) else value


@pytest.mark.slow
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=tables(min_rows=1, max_rows=6, max_columns=4), data=st.data())
def test_every_row_keeps_its_meaning_under_the_schema_of_today(first: pa.Table, data: st.DataObject) -> None:
    now = pa.schema(Evolution(data.draw).fields(list(first.schema)))
    second_rows = [row_meant(row, list(first.schema), list(now)) for row in first.to_pylist()]
    sortable = [part.name for part in now if not pa.types.is_nested(part.type)]
    sort = [(data.draw(st.sampled_from(sortable)), True, False)] if sortable and data.draw(st.booleans()) else []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = [write(root / "o'ld [1]*?" / "x=1" / "a.parquet", first)]
        if data.draw(st.booleans()) and not _holds_uuid(now):
            newer = pa.Table.from_pylist(second_rows, schema=now)
            paths.append(write(root / "new.parquet", newer))
        staged = ENGINE.stage(_request(scan_of(now, paths), root, sort))
        found = [row for uri in staged["file_path"].to_pylist() for row in pq.read_table(_local(uri)).to_pylist()]
        assert fingerprint(found) == fingerprint(second_rows * len(paths))
        assert staged["sorted"].to_pylist() == [bool(sort)] * staged.num_rows


def _holds_uuid(schema: pa.Schema) -> bool:
    return any(part.type == pa.uuid() for part in schema)


def _local(uri: str) -> str:
    return str(fs.FileSystem.from_uri(uri)[1])


def _request(scan: Any, root: Path, sort: Sequence[tuple[str, bool, bool]]) -> StageRequest:
    return StageRequest(
        scan,
        tuple(sort),
        WriterOptions(level=1),
        target_file_bytes=1 << 30,
        locate=lambda n: (root / "out" / f"{n:05d}.parquet").as_uri(),
        memory_bytes=1 << 30,
        threads=2,
        temp_dir=str(root / "spill"),
    )
