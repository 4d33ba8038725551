"""A rewritten table, read by DuckDB's own iceberg extension and by plain pyiceberg: the same rows as before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pyarrow as pa
import pytest
from lake import Lake
from pyiceberg.table import Table

import lakeopt
from lakeopt.model.plan import SortField

KEY = (SortField("dest"), SortField("carrier"))


def multiset(rows: pa.Table) -> Counter[tuple[object, ...]]:
    return Counter(zip(*(rows[name].to_pylist() for name in sorted(rows.column_names)), strict=True))


def plain(table: Table, snapshot_id: int | None = None) -> Counter[tuple[object, ...]]:
    return multiset(table.scan(snapshot_id=snapshot_id).to_arrow())


@pytest.mark.service("independent reader")
@pytest.mark.parametrize("partition", [(), [("origin", "identity")], [("day", "month"), ("dest", "truncate[1]")]])
def test_both_readers_see_the_rows_of_before(
    lake: Lake, oracle: Callable[..., pa.Table], partition: list[tuple[str, str]]
) -> None:
    table = lake.flights(days=6, partition=partition)
    old = table.current_snapshot()
    assert old is not None
    before = multiset(oracle(table.metadata_location))
    assert before == plain(table)
    lakeopt.rewrite("lake.db.flights", strategy="sort", sort_by=KEY, memory_bytes=4 * 10**9)
    after = lake.load("db.flights")
    assert after.current_snapshot().summary.operation.value == "replace"  # type: ignore[union-attr]
    assert multiset(oracle(after.metadata_location)) == before
    assert plain(after) == before
    assert multiset(oracle(after.metadata_location, old.snapshot_id)) == before
    assert plain(after, old.snapshot_id) == before
