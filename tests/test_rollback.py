"""Rollback: a branch goes back to where it was before a rewrite, or the reason is named why it cannot."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hand_rewrite import commit, live_files, plan_for, rows_of, stage
from lake import Lake
from pyiceberg.table import Table

from lakeopt.errors import Refused, StalePlan, UnknownName
from lakeopt.tables.iceberg.commits.rollback import Rollback, plan_rollback, roll_back
from lakeopt.tables.iceberg.table import IcebergTable


def rewritten(lake: Lake, **choices: object) -> tuple[Table, str, int, int]:
    """A table after a rewrite: table, plan, snapshot before, snapshot of the rewrite."""
    table = lake.load("db.flights")
    before = table.current_snapshot().snapshot_id
    plan = plan_for(table, **choices)  # type: ignore[arg-type]
    made = commit(table, plan, stage(table, plan))
    return lake.load("db.flights"), plan.plan_id, before, made


def test_the_table_is_as_before_the_rewrite(lake: Lake) -> None:
    table = lake.flights(partition=[("origin", "identity")])
    rows, files = rows_of(table), {file.file_path for file in live_files(table)}
    table, plan_id, before, made = rewritten(lake, sort=("dest",))
    assert {file.file_path for file in live_files(table)} != files

    assert plan_rollback(IcebergTable(table), plan_id, [made]) == Rollback("main", before, (made,))
    assert lake.load("db.flights").current_snapshot().snapshot_id == made
    assert roll_back(IcebergTable(table), plan_id, [made]) == Rollback("main", before, (made,))

    table = lake.load("db.flights")
    assert table.current_snapshot().snapshot_id == before
    assert rows_of(table) == rows
    assert {file.file_path for file in live_files(table)} == files
    assert lake.append(table, pa.table(table.scan().to_arrow().slice(0, 1))).scan().count() == len(rows) + 1


def test_a_second_time_is_no_commit(lake: Lake) -> None:
    lake.flights(days=2)
    table, plan_id, before, made = rewritten(lake)
    roll_back(IcebergTable(table), plan_id, [made])
    location = lake.load("db.flights").metadata_location
    assert roll_back(IcebergTable(table), plan_id, [made]) == Rollback("main", before, ())
    assert lake.load("db.flights").metadata_location == location


def test_later_snapshots_are_named_and_stay(lake: Lake) -> None:
    table = lake.flights(days=2)
    rows = table.scan().to_arrow()
    table, plan_id, _, made = rewritten(lake)
    later = lake.append(table, rows.slice(0, 3)).current_snapshot().snapshot_id
    with pytest.raises(StalePlan, match=rf"1 later snapshots of 'main' would be lost: {later} \(append\)"):
        roll_back(IcebergTable(table), plan_id, [made])
    assert lake.load("db.flights").current_snapshot().snapshot_id == later


def test_several_snapshots_in_one_line(lake: Lake) -> None:
    lake.flights(days=4, partition=[("origin", "identity")])
    table = lake.load("db.flights")
    before, rows = table.current_snapshot().snapshot_id, rows_of(table)
    plan = plan_for(table)
    staged = stage(table, plan)
    made = [commit(table, plan, {group.group_id: staged[group.group_id]}) for group in plan.groups]
    assert roll_back(IcebergTable(table), plan.plan_id, made) == Rollback("main", before, tuple(reversed(made)))
    assert rows_of(lake.load("db.flights")) == rows


def test_commits_in_between_are_not_undone(lake: Lake) -> None:
    lake.flights(days=4, partition=[("origin", "identity")])
    table = lake.load("db.flights")
    plan = plan_for(table)
    staged = stage(table, plan)
    made = []
    for group in plan.groups:
        made.append(commit(table, plan, {group.group_id: staged[group.group_id]}))
        lake.append(table, table.scan(limit=2).to_arrow())
    with pytest.raises(StalePlan, match="other commits lie between"):
        roll_back(IcebergTable(table), plan.plan_id, made)
    with pytest.raises(StalePlan, match="would be lost"):
        roll_back(IcebergTable(table), plan.plan_id, made[-1:])


def test_an_expired_parent_is_gone(lake: Lake) -> None:
    lake.flights(days=2)
    table, plan_id, before, made = rewritten(lake)
    table.maintenance.expire_snapshots().by_id(before).commit()
    with pytest.raises(Refused, match="has expired"):
        roll_back(IcebergTable(table), plan_id, [made])
    assert lake.load("db.flights").current_snapshot().snapshot_id == made


def test_a_deleted_file_of_the_state_before_is_named(lake: Lake) -> None:
    table = lake.flights(days=2)
    gone = live_files(table)[1].file_path
    table, plan_id, _, made = rewritten(lake)
    Path(gone.removeprefix("file://")).unlink()
    with pytest.raises(Refused, match=gone):
        roll_back(IcebergTable(table), plan_id, [made])
    assert lake.load("db.flights").current_snapshot().snapshot_id == made


def test_the_default_sort_order_of_the_rewrite_is_taken_back(lake: Lake) -> None:
    lake.flights(days=2, sort=["carrier"])
    order = lake.load("db.flights").metadata.default_sort_order_id
    table, plan_id, _, made = rewritten(lake, sort=("dest",), set_default_sort_order=True)
    assert table.metadata.default_sort_order_id != order
    roll_back(IcebergTable(table), plan_id, [made])
    assert lake.load("db.flights").metadata.default_sort_order_id == order


def test_a_default_sort_order_that_somebody_chose_since_stays(lake: Lake) -> None:
    from pyiceberg.transforms import IdentityTransform

    lake.flights(days=2, sort=["carrier"])
    table, plan_id, _, made = rewritten(lake, sort=("dest",), set_default_sort_order=True)
    with table.update_sort_order() as update:
        update.asc("flight", IdentityTransform())
    chosen = lake.load("db.flights").metadata.default_sort_order_id
    roll_back(IcebergTable(table), plan_id, [made])
    assert lake.load("db.flights").metadata.default_sort_order_id == chosen


def test_a_branch_keeps_its_retention_and_main_its_head(lake: Lake) -> None:
    table = lake.flights(days=2)
    before = table.current_snapshot().snapshot_id
    table.manage_snapshots().create_branch(before, "audit", min_snapshots_to_keep=7).commit()
    table, plan_id, _, made = rewritten(lake, branch="audit")
    with pytest.raises(StalePlan, match="does not hold"):
        roll_back(IcebergTable(lake.append(table, table.scan(limit=1).to_arrow())), plan_id, [made])
    main = lake.load("db.flights").current_snapshot().snapshot_id
    roll_back(IcebergTable(table), plan_id, [made], branch="audit")
    refs = lake.load("db.flights").metadata.refs
    assert (refs["audit"].snapshot_id, refs["audit"].min_snapshots_to_keep) == (before, 7)
    assert refs["main"].snapshot_id == main


def test_what_is_not_ours_is_refused(lake: Lake) -> None:
    table = lake.flights(days=2)
    newest = table.current_snapshot().snapshot_id
    with pytest.raises(Refused, match="was not made by plan"):
        roll_back(IcebergTable(table), "some-plan", [newest])
    with pytest.raises(Refused, match="has expired"):
        roll_back(IcebergTable(table), "some-plan", [1])
    with pytest.raises(Refused, match="committed nothing"):
        roll_back(IcebergTable(table), "some-plan", [])
    with pytest.raises(UnknownName, match="branch"):
        roll_back(IcebergTable(table), "some-plan", [newest], branch="none")
