"""What a fingerprint must do whatever the rows: forget their order and cutting, and notice every change."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from values import tables, values

from lakeopt.engines._row_hash import RowHasher, merged
from lakeopt.model.result import Fingerprint

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
slow = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def fingerprint(*pieces: pa.Table, by_column: bool = False) -> Fingerprint:
    hasher = RowHasher(pieces[0].schema, by_column=by_column)
    for piece in pieces:
        for batch in piece.to_batches():
            hasher.update(batch)
    return hasher.result()


def rebuilt(table: pa.Table, rows: list[dict[str, Any]]) -> pa.Table:
    columns = [[row[name] for row in rows] for name in table.column_names]
    arrays = [pa.array(column, part.type) for column, part in zip(columns, table.schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=table.schema)


@slow
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_rows_and_columns_does_not_matter(table: pa.Table, random: Any) -> None:
    rows = table.to_pylist()
    random.shuffle(rows)
    names = list(table.column_names)
    random.shuffle(names)
    assert fingerprint(rebuilt(table, rows).select(names)) == fingerprint(table)


@slow
@given(tables(min_rows=1), st.lists(st.integers(0, 8), max_size=3))
def test_cutting_into_batches_and_threads_does_not_matter(table: pa.Table, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, table.num_rows) for cut in cuts), table.num_rows]
    pieces = [table.slice(start, stop - start) for start, stop in pairwise(edges)]
    hashers = []
    for piece in pieces:
        hasher = RowHasher(table.schema, by_column=True)
        for batch in piece.to_batches():
            hasher.update(batch)
        hashers.append(hasher)
    assert merged(hashers).result() == fingerprint(table, by_column=True)


@pytest.mark.slow
@slow
@given(tables(min_rows=1), st.data())
def test_a_change_of_any_value_changes_both_lanes_and_names_its_column(table: pa.Table, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, table.num_columns - 1))
    row = data.draw(st.integers(0, table.num_rows - 1))
    column = table.schema.field(place)
    old = table.column(place).slice(row, 1).combine_chunks()
    value = data.draw(values(column.type))
    new = pa.array([value], column.type)
    assume(canonical(old, column.type) != canonical(new, column.type))
    parts = [table.column(place).slice(0, row), old, table.column(place).slice(row + 1)]
    parts[1] = new
    chunks = [chunk for part in parts for chunk in (part.chunks if isinstance(part, pa.ChunkedArray) else [part])]
    changed = table.set_column(place, column, pa.chunked_array(chunks, column.type))
    before, after = fingerprint(table, by_column=True), fingerprint(changed, by_column=True)
    assert before.low != after.low
    assert before.high != after.high
    assert before.columns is not None
    assert after.columns is not None
    assert [name for name in before.columns if before.columns[name] != after.columns[name]] == [column.name]


@pytest.mark.slow
@slow
@given(tables(min_rows=1), st.integers(0, 7))
def test_rows_are_counted_as_often_as_they_are_there(table: pa.Table, row: int) -> None:
    twice = pa.concat_tables([table, table.slice(row % table.num_rows, 1)] * 2)
    once = pa.concat_tables([table, table])
    assert fingerprint(twice).low != fingerprint(once).low
    assert fingerprint(twice).high != fingerprint(once).high


@pytest.mark.slow
@slow
@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), min_size=1, max_size=6))
def test_exchanged_columns_are_noticed(pairs: list[tuple[str, str]]) -> None:
    from scans import field

    schema = pa.schema([field("a", pa.string(), 1), field("b", pa.string(), 2)])
    straight = pa.table([[a for a, _ in pairs], [b for _, b in pairs]], schema=schema)
    crossed = pa.table([[b for _, b in pairs], [a for a, _ in pairs]], schema=schema)
    assume(sorted(pairs) != sorted((b, a) for a, b in pairs))
    assert fingerprint(straight).low != fingerprint(crossed).low
    assert fingerprint(straight).high != fingerprint(crossed).high


def canonical(array: pa.Array, kind: pa.DataType) -> Any:
    """Python form in which equal means equal by the definition: all NaN are one, zeros have signs, maps no order."""

    def plain(value: Any, kind: pa.DataType) -> Any:
        if value is None:
            return None
        if pa.types.is_struct(kind):
            return [plain(value[part.name], part.type) for part in kind]
        if pa.types.is_map(kind):
            return sorted(repr((plain(k, kind.key_type), plain(v, kind.item_type))) for k, v in value)
        if pa.types.is_list(kind):
            return [plain(item, kind.value_type) for item in value]
        return repr(value)

    return plain(array[0].as_py(), kind)
