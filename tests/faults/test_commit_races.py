"""Another process changes the table while a rewrite of partition 0 is under way.

Each change lands once before the commit begins, and once in the middle of it: after the rewrite has looked at
the table, before its first attempt. Partition 0 holds the ids 0 to 19 in two files, partition 1 the ids 20 to 39.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from hand_rewrite import live_files, metadata_files, plan_for, stage
from lake import Lake
from plain_reader import read_ids
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by file

from second_process import SecondProcess

from lakeopt.errors import CommitConflict, LakeoptError, Refused, StalePlan
from lakeopt.model.plan import RewritePlan
from lakeopt.tables.committer import committer
from lakeopt.tables.iceberg.table import IcebergTable

pytestmark = pytest.mark.fault

POSITION = "lake.land(table, lake.position_deletes(table, {files[0].file_path: [3, 4]}, like=files[0]))\n"
EQUALITY = "lake.land(table, lake.equality_deletes(table, pa.table({'id': [3, 4]}), like=files[0]))\n"
APPEND = "lake.append(table, pa.table({'id': [100], 'p': [1]}))\n"
EVERYTHING = set(range(40))

#: Statements of the other process, and the ids that the table holds after both.
KEPT: Mapping[str, tuple[str, set[int]]] = {
    "append": (APPEND, EVERYTHING | {100}),
    "append to the same partition": ("lake.append(table, pa.table({'id': [100], 'p': [0]}))", EVERYTHING | {100}),
    "many appends": (APPEND * 5, EVERYTHING | {100}),
    "position delete elsewhere": (
        "lake.land(table, lake.position_deletes(table, {files[2].file_path: [0]}, like=files[2]))\n" + APPEND,
        EVERYTHING - {20} | {100},
    ),
    "equality delete elsewhere": (
        "lake.land(table, lake.equality_deletes(table, pa.table({'id': [20]}), like=files[2]))\n" + APPEND,
        EVERYTHING - {20} | {100},
    ),
    "equality delete": (EQUALITY, EVERYTHING - {3, 4}),
    "equality delete, then append": (EQUALITY + APPEND, EVERYTHING - {3, 4} | {100}),
    "equality delete, then one elsewhere": (
        EQUALITY + "lake.land(table, lake.equality_deletes(table, pa.table({'id': [20]}), like=files[2]))",
        EVERYTHING - {3, 4, 20},
    ),
    "equality delete, then its row anew": (
        EQUALITY + "lake.append(table, pa.table({'id': [3], 'p': [0]}))",
        EVERYTHING - {4},
    ),
    "global equality delete, then append": (
        "with table.update_spec() as update: update.remove_field('p')\n"
        "lake.land(table, lake.equality_deletes(table, pa.table({'id': [3, 33]})))\n" + APPEND,
        EVERYTHING - {3, 33} | {100},
    ),
    "append under snapshot isolation": (
        "table.transaction().set_properties({'write.delete.isolation-level': 'snapshot'}).commit_transaction()\n"
        + APPEND,
        EVERYTHING | {100},
    ),
    "row delete elsewhere": ("table.delete('id == 25')", EVERYTHING - {25}),
    "file delete elsewhere": ("table.delete('id >= 30')", EVERYTHING - set(range(30, 40))),
    "rewrite elsewhere": ("from hand_rewrite import rewrite; rewrite(table, files=files[2:])", EVERYTHING),
    "property": ("table.transaction().set_properties(a='b').commit_transaction()", EVERYTHING),
    "tag": ("table.manage_snapshots().create_tag(table.current_snapshot().snapshot_id, 'v1').commit()", EVERYTHING),
    "expiry of older snapshots": (
        "table.maintenance.expire_snapshots().by_id(table.snapshots()[0].snapshot_id).commit()\n" + APPEND,
        EVERYTHING | {100},
    ),
    "spec of the same arity, then append": (
        "from pyiceberg.transforms import IdentityTransform\n"
        "with table.update_spec() as update:\n"
        "    update.remove_field('p'); update.add_field('id', IdentityTransform(), 'id_itself')\n" + APPEND,
        EVERYTHING | {100},
    ),
    "sort order": (
        "from pyiceberg.transforms import IdentityTransform\n"
        "with table.update_sort_order() as update: update.desc('p', IdentityTransform())\n",
        EVERYTHING,
    ),
}

#: Statements of the other process that the rewrite must give way to, and what the error says.
CONFLICTS: Mapping[str, tuple[str, str]] = {
    "position delete": (POSITION, "position delete file .*-deletes.parquet"),
    "position delete, then append": (POSITION + APPEND, "position delete file"),
    "position delete, then one elsewhere": (
        POSITION + "lake.land(table, lake.position_deletes(table, {files[3].file_path: [1]}, like=files[3]))",
        "position delete file",
    ),
    "position delete without bounds, then append": (
        "delete = lake.position_deletes(table, {files[0].file_path: [3]}, like=files[0])\n"
        "delete[10] = delete[11] = None\n"
        "lake.land(table, delete)\n" + APPEND,
        "position delete file",
    ),
    "position delete with cut bounds, then append": (
        "delete = lake.position_deletes(table, {files[0].file_path: [3]}, like=files[0])\n"
        "delete[10] = {2147483546: b'file:///'}; delete[11] = {2147483546: b'file://0'}\n"
        "lake.land(table, delete)\n" + APPEND,
        "position delete file",
    ),
    "position delete in the wrong partition, then append": (
        "lake.land(table, lake.position_deletes(table, {files[0].file_path: [3]}, like=files[2]))\n" + APPEND,
        "position delete file",
    ),
    "row delete": ("table.delete('id == 5')", "no longer in the table"),
    "row delete, then append": ("table.delete('id == 5')\n" + APPEND, "no longer in the table"),
    "file delete": ("table.delete('id < 10')", "no longer in the table"),
    "overwrite": ("table.overwrite(pa.table({'id': [1], 'p': [0]}))", "no longer in the table"),
    "partition overwrite": (
        "table.dynamic_partition_overwrite(pa.table({'id': [1], 'p': [0]}))",
        "no longer in the table",
    ),
    "another rewrite": ("from hand_rewrite import rewrite; rewrite(table)", "no longer in the table"),
}

#: Changes after which the plan itself does not hold.
STALE: Mapping[str, tuple[str, str]] = {
    "rollback": (
        "table.manage_snapshots().rollback_to_snapshot(table.snapshots()[1].snapshot_id).commit()",
        "no ancestor",
    ),
    "expiry of the base": (
        "base = table.current_snapshot().snapshot_id\n"
        + APPEND
        + "lake.load('db.t').maintenance.expire_snapshots().by_id(base).commit()",
        "has expired",
    ),
    "new column": (
        "from pyiceberg.types import LongType\n"
        "with table.update_schema() as update: update.add_column('z', LongType())",
        "schema changed",
    ),
    "dropped": ("lake.catalog.drop_table('db.t')", "was dropped"),
    "made anew": (
        "lake.catalog.drop_table('db.t'); lake.create('db.t', pa.schema([('id', pa.int64())]))",
        "made anew",
    ),
}


@pytest.fixture(scope="module")
def other() -> Iterator[SecondProcess]:
    with SecondProcess() as process:
        yield process


@pytest.fixture
def table(lake: Lake) -> Table:
    made = lake.create("db.t", pa.schema([("id", pa.int64()), ("p", pa.int64())]), partition=[("p", "identity")])
    for start in range(0, 40, 10):
        made = lake.append(made, pa.table({"id": range(start, start + 10), "p": [start // 20] * 10}))
    return made


def partition_0(table: Table) -> list[DataFile]:
    return [file for file in live_files(table) if file.partition[0] == 0]


def commit_with(table: Table, plan: RewritePlan, change: Callable[[], None], *, during: bool) -> int:
    staged = stage(table, plan)
    if not during:
        change()
    done = committer("lakeopt").commit(
        IcebergTable(table), plan, staged, on_snapshot_id=lambda number: change() if during else None
    )
    return done.snapshot_id


@pytest.mark.parametrize("during", [False, True], ids=["before", "during"])
@pytest.mark.parametrize("name", KEPT)
def test_both_changes_are_kept(lake: Lake, table: Table, other: SecondProcess, name: str, during: bool) -> None:
    statements, expected = KEPT[name]
    plan = plan_for(table, files=partition_0(table), sort=("id",))
    snapshot_id = commit_with(table, plan, lambda: other.run(lake.root, statements), during=during)
    table = lake.load("db.t")
    assert table.current_snapshot().snapshot_id == snapshot_id
    assert table.current_snapshot().summary.operation == Operation.REPLACE
    appends = statements.count(APPEND)
    assert read_ids(table) == sorted(expected) + [100] * (appends - 1)
    staged = [file for file in live_files(table) if "staged" in file.file_path]
    assert sum(file.record_count for file in staged if file.partition[0] == 0) == 20
    assert {file.spec_id for file in staged} == {0}


@pytest.mark.parametrize("during", [False, True], ids=["before", "during"])
@pytest.mark.parametrize("name", CONFLICTS)
def test_gives_way(lake: Lake, table: Table, other: SecondProcess, name: str, during: bool) -> None:
    statements, message = CONFLICTS[name]
    assert_gives_way(lake, table, other, statements, CommitConflict, message, during)


@pytest.mark.parametrize("during", [False, True], ids=["before", "during"])
@pytest.mark.parametrize("name", STALE)
def test_plan_does_not_hold(lake: Lake, table: Table, other: SecondProcess, name: str, during: bool) -> None:
    statements, message = STALE[name]
    assert_gives_way(lake, table, other, statements, StalePlan, message, during)


def test_an_upgrade_to_v3_ends_the_rewrite(lake: Lake, table: Table, other: SecondProcess) -> None:
    """Whoever upgrades it meanwhile: files without row lineage must not land in it."""
    upgrade = (
        "import json, pathlib\n"
        "path = pathlib.Path(table.metadata_location.removeprefix('file://'))\n"
        "path.write_text(json.dumps(json.loads(path.read_text()) | {'format-version': 3, 'next-row-id': 0}))"
    )
    assert_gives_way(lake, table, other, upgrade, Refused, "format version 3", during=False)


def assert_gives_way(
    lake: Lake,
    table: Table,
    other: SecondProcess,
    statements: str,
    error: type[LakeoptError],
    message: str,
    during: bool,
) -> None:
    """The rewrite ends with the error; the table is as the other process left it, without a file of ours."""
    left: list[tuple[str, set[str]]] = []

    def change() -> None:
        other.run(lake.root, statements)
        location = lake.catalog.load_table("db.t").metadata_location if lake.catalog.table_exists("db.t") else ""
        left.append((location, metadata_files(table)))

    plan = plan_for(table, files=partition_0(table))
    with pytest.raises(error, match=message) as caught:
        commit_with(table, plan, change, during=during)
    assert caught.value.hint
    location, files = left[0]
    assert metadata_files(table) == files
    if location:
        assert lake.load("db.t").metadata_location == location


def test_removed_lists_of_lost_attempts(lake: Lake, table: Table, other: SecondProcess) -> None:
    """An attempt that was overtaken leaves no manifest list behind, and no manifest is written twice."""
    plan = plan_for(table, files=partition_0(table))
    before = metadata_files(table)
    commit_with(table, plan, lambda: other.run(lake.root, APPEND), during=True)
    new = metadata_files(table) - before
    assert len([name for name in new if name.startswith("snap-")]) == 2  # theirs and ours
    assert len(new) == 2 + 1 + 2  # their manifest; our added and rewritten ones
