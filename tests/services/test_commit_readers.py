"""Commits that are hard on manifests, read by a reader that shares no code with pyiceberg."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pyarrow as pa
import pytest
from hand_rewrite import live_files, rewrite
from lake import Lake
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform

pytestmark = pytest.mark.service("independent reader")

Oracle = Callable[..., pa.Table]


def multiset(rows: pa.Table) -> Counter[tuple[object, ...]]:
    return Counter(zip(*(rows[name].to_pylist() for name in sorted(rows.column_names)), strict=True))


def assert_same_for_all(lake: Lake, oracle: Oracle, before: Table) -> None:
    after = lake.load(before.name())
    rows = before.scan().to_arrow()
    expected = multiset(rows)
    assert multiset(oracle(after.metadata_location)) == expected
    old = before.current_snapshot()
    assert old is not None
    # The other reader shows an old snapshot in the schema of its time.
    assert multiset(oracle(after.metadata_location, old.snapshot_id).select(rows.column_names)) == expected
    assert multiset(after.scan().to_arrow()) == expected


@pytest.mark.parametrize("format_version", [1, 2])
def test_some_files_of_a_manifest(lake: Lake, oracle: Oracle, format_version: int) -> None:
    """The manifest keeps entries of other files beside those that were deleted."""
    table = lake.flights(days=3, format_version=format_version, partition=[("origin", "identity")])
    rewrite(table, files=[file for file in live_files(table) if file.partition[0] != "LGA"], sort=("dest",))
    assert_same_for_all(lake, oracle, table)


def test_table_that_was_v1(lake: Lake, oracle: Oracle) -> None:
    table = lake.flights(days=3, format_version=1, partition=[("origin", "identity")])
    table.transaction().upgrade_table_version(2).commit_transaction()
    table = lake.append(table, table.scan(limit=50).to_arrow())
    rewrite(table, files=[file for file in live_files(table) if file.partition[0] != "JFK"])
    assert_same_for_all(lake, oracle, table)


def test_dropped_partition_column_and_old_specs(lake: Lake, oracle: Oracle) -> None:
    table = lake.flights(days=2, partition=[("origin", "identity")])
    with table.update_spec() as update:
        update.remove_field("origin")
        update.add_field("carrier", IdentityTransform(), "line")
    rows = table.scan().to_arrow()
    table = lake.append(lake.append(table, rows), rows)
    with table.update_schema() as change:
        change.delete_column("origin")
    table = lake.load("db.flights")
    rewrite(table)
    assert {file.spec_id for file in live_files(lake.load("db.flights"))} == {0, 1}
    assert_same_for_all(lake, oracle, table)


def test_beside_position_deletes(lake: Lake, oracle: Oracle) -> None:
    table = lake.flights(days=3, partition=[("origin", "identity")])
    kept = next(file for file in live_files(table) if file.partition[0] == "LGA")
    table = lake.land(table, lake.position_deletes(table, {kept.file_path: [0, 5]}, like=kept))
    rewrite(table, files=[file for file in live_files(table) if file.partition[0] != "LGA"])
    assert_same_for_all(lake, oracle, table)


def test_delete_files_that_left_and_that_stayed(lake: Lake, oracle: Oracle) -> None:
    """Delete manifests that were rewritten: entries removed beside entries that still apply."""
    table = lake.create("db.t", pa.schema([("id", pa.int64()), ("p", pa.int64())]), partition=[("p", "identity")])
    for start in range(0, 40, 10):
        table = lake.append(table, pa.table({"id": range(start, start + 10), "p": [start // 20] * 10}))
    first, second, third, _ = sorted(live_files(table), key=lambda file: file.lower_bounds[1])
    table = lake.land(
        table,
        *(lake.position_deletes(table, {file.file_path: [1]}, like=file) for file in (first, third)),
        lake.equality_deletes(table, pa.table({"id": [2, 12]}), like=first),  # that reader knows no partition of them
    )
    rewrite(table, files=[first])
    after = lake.load("db.t")
    assert after.current_snapshot().summary["removed-delete-files"] == "1"
    expected = sorted(set(range(40)) - {1, 2, 12, 21})
    assert sorted(oracle(after.metadata_location)["id"].to_pylist()) == expected
    rewrite(after, files=[second])
    after = lake.load("db.t")
    assert after.current_snapshot().summary["total-delete-files"] == "1"
    assert sorted(oracle(after.metadata_location)["id"].to_pylist()) == expected
