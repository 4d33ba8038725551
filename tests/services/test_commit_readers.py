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
