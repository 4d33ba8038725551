"""Rows of older partition specs, moved to the table's current one: where they land, and which deletes reach them."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hand_rewrite import live_files
from lake import Lake
from plain_reader import read_ids
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.table import Table
from pyiceberg.transforms import parse_transform
from pyiceberg.typedef import Record

import lakeopt
from lakeopt.errors import CommitConflict, ProofFailed, StalePlan, UsageError
from lakeopt.model.plan import RewritePlan, SortField
from lakeopt.model.serde import from_json, to_json

#: Whole rewrites, each a second or two: left out of `make check`.
pytestmark = pytest.mark.slow

NAME = "lake.db.t"
ENGINES = ["duckdb", "reference"]


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    lake = Lake(tmp_path / "lake")
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    return lake


def rows(start: int, count: int = 40) -> pa.Table:
    """Nulls, numbers below zero, times before 1970 and text beyond ASCII; ``id`` tells them apart."""
    ids = range(start, start + count)
    words = ["", "a", "é clair", "🦆🦆🦆🦆", "Zebra", None]
    return pa.table(
        {
            "id": pa.array(ids, pa.int64()),
            "n": pa.array([None if i % 9 == 0 else i % 5 - 2 for i in ids], pa.int32()),
            "f": pa.array([[None, math.nan, -0.0, 0.0, -1.5][i % 5] for i in ids], pa.float64()),
            "t": pa.array([words[i % 6] for i in ids]),
            "at": pa.array(
                [None if i % 7 == 0 else (i % 11 - 5) * 86_400_000_000 * 200 + i for i in ids], pa.timestamp("us")
            ),
            "s": pa.array([None if i % 4 == 0 else {"x": i % 3} for i in ids], pa.struct([("x", pa.int32())])),
        }
    )


def evolve(lake: Lake, table: Table, *fields: tuple[str, str]) -> Table:
    """Another partition spec in the place of the present one."""
    with table.update_spec() as update:
        for part in table.spec().fields:
            update.remove_field(part.name)
        for column, text in fields:
            update.add_field(column, parse_transform(text), f"{column.replace('.', '_')}_{text.partition('[')[0]}_new")
    return lake.load("db.t")


def older(lake: Lake, *fields: tuple[str, str], files: int = 3) -> Table:
    """A table with files of spec 0, by ``n``, and of the spec of these fields, which is the current one."""
    table = lake.create("db.t", rows(0).schema, partition=[("n", "identity")])
    for number in range(files):
        table = lake.append(table, rows(number * 40))
    table = evolve(lake, table, *fields)
    if ("f", "identity") in fields:  # pyiceberg cannot append to such a partition: its statistics divide by zero
        return table
    return lake.append(table, rows(1000, 10))


def move(**choices: Any) -> Any:
    return lakeopt.rewrite(NAME, to_current_spec=True, **({"strategy": "bin-pack"} | choices))


def to_move(**choices: Any) -> RewritePlan:
    return lakeopt.plan(NAME, to_current_spec=True, **({"strategy": "bin-pack"} | choices))


def content(table: Table) -> Counter[str]:
    return Counter(map(repr, table.scan().to_arrow().to_pylist()))


def plain_value(table: Table, part: Any, row: dict[str, Any]) -> Any:
    """A row's value of a partition field, by pyiceberg's plain transform."""
    name = table.schema().find_column_name(part.source_id)
    value: Any = row
    for step in name.split("."):
        value = None if value is None else value[step]
    if isinstance(value, dt.datetime):
        value = (value - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)
    return part.transform.transform(table.schema().find_type(part.source_id))(value) if value is not None else None


def require_own_partitions(table: Table) -> None:
    """Each live file is of the current spec, and each of its rows of the file's own partition."""
    for task in table.scan().plan_files():
        file = task.file
        assert file.spec_id == table.spec().spec_id
        path = file.file_path.removeprefix("file://")
        for row in pa.parquet.read_table(path, partitioning=None).to_pylist():
            wanted = [plain_value(table, part, row) for part in table.spec().fields]
            assert repr(wanted) == repr([file.partition[i] for i in range(len(wanted))]), (row, file.partition)


SPECS = [
    (("t", "bucket[4]"), ("at", "year")),
    (("at", "month"),),
    (("at", "day"), ("n", "void")),
    (("at", "hour"),),
    (("t", "truncate[2]"), ("n", "truncate[3]")),
    (("f", "identity"),),
    (("s.x", "identity"), ("t", "identity")),
    (),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fields", SPECS, ids=lambda fields: ",".join(f"{c}-{t}" for c, t in fields) or "none")
def test_every_row_lands_in_its_partition_and_a_second_run_finds_nothing(
    lake: Lake, fields: tuple[tuple[str, str], ...], engine: str
) -> None:
    table = older(lake, *fields, files=2)
    before, base = content(table), table.current_snapshot()
    result = move(engine=engine)
    table = lake.load("db.t")
    assert content(table) == before
    assert result.record_count == sum(before.values())
    require_own_partitions(table)
    if table.spec().fields:
        assert all("/data/" in f.file_path and "=" in f.file_path for f in live_files(table))
    partitions = [repr(file.partition) for file in live_files(table)]
    assert len(partitions) == len(set(partitions)) or not partitions
    summary = table.current_snapshot()
    assert summary is not None
    assert summary.summary is not None
    assert summary.summary.operation.value == "replace"
    assert summary.parent_snapshot_id == (base.snapshot_id if base else None)
    assert to_move().groups == ()


def test_partitions_are_pruned_when_read_back(lake: Lake) -> None:
    older(lake, ("t", "bucket[8]"), ("at", "year"))
    move()
    table = lake.load("db.t")
    every = len(list(table.scan().plan_files()))
    for wanted in ("t = 'Zebra'", "t = '🦆🦆🦆🦆'", "at < '1968-01-01T00:00:00'"):
        scan = table.scan(row_filter=wanted)
        assert 0 < len(list(scan.plan_files())) < every
    zebras = table.scan(row_filter="t = 'Zebra'").to_arrow()["id"].to_pylist()
    assert sorted(zebras) == [
        row["id"] for row in table.scan().to_arrow().sort_by("id").to_pylist() if row["t"] == "Zebra"
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_each_partition_is_sorted_as_a_whole(lake: Lake, engine: str) -> None:
    """Files of the current spec are sorted with the rows that come in, so that none overlap."""
    older(lake, ("t", "bucket[3]"))
    key = (SortField("id", "desc", "last"),)
    move(strategy="sort", sort_by=key, engine=engine)
    table = lake.load("db.t")
    for file in live_files(table):
        ids = pa.parquet.read_table(file.file_path.removeprefix("file://"), partitioning=None)["id"].to_pylist()
        assert ids == sorted(ids, reverse=True)
        assert file.sort_order_id
    assert to_move(strategy="sort", sort_by=key).groups == ()
    assert lakeopt.plan(NAME, sort_by=key).groups == ()


def test_without_the_flag_files_stay_in_their_spec(lake: Lake) -> None:
    older(lake, ("t", "bucket[3]"), files=6)
    assert all(not group.from_spec_ids for group in lakeopt.plan(NAME, strategy="bin-pack").groups)
    lakeopt.rewrite(NAME, strategy="bin-pack")
    assert {file.spec_id for file in live_files(lake.load("db.t"))} == {0, 1}


def test_the_plan_says_what_moves_and_survives_being_saved(lake: Lake) -> None:
    older(lake, ("t", "bucket[3]"))
    plan = to_move()
    (group,) = plan.groups
    assert (group.spec_id, group.from_spec_ids) == (1, (0, 1))
    assert group.partition == "rows of spec 0, into spec 1"
    assert from_json(RewritePlan, to_json(plan)) == plan
    lakeopt.apply(from_json(RewritePlan, to_json(plan)))
    assert {file.spec_id for file in live_files(lake.load("db.t"))} == {1}


def test_rows_of_several_older_specs_are_moved_together(lake: Lake) -> None:
    table = older(lake, ("t", "bucket[3]"))
    table = evolve(lake, table, ("id", "bucket[2]"))
    before = content(table)
    (group,) = to_move().groups
    assert group.from_spec_ids == (0, 1)
    move()
    table = lake.load("db.t")
    require_own_partitions(table)
    assert content(table) == before


def test_files_that_the_filter_leaves_out_stay(lake: Lake) -> None:
    table = older(lake, ("t", "bucket[3]"))
    before = content(table)
    move(where="n = 1")
    table = lake.load("db.t")
    old = [file for file in live_files(table) if file.spec_id == 0]
    assert old
    assert all(file.partition[0] != 1 for file in old)
    assert content(table) == before


def test_a_spec_that_changed_since_the_plan_ends_it(lake: Lake) -> None:
    table = older(lake, ("t", "bucket[3]"))
    plan = to_move()
    evolve(lake, table, ("id", "bucket[2]"))
    with pytest.raises(StalePlan, match="current one is 2"):
        lakeopt.apply(plan)


def test_a_plan_edited_to_move_without_saying_so_is_refused(lake: Lake) -> None:
    """Files of many partitions are one group only where they are divided anew."""
    import dataclasses

    older(lake, ("t", "bucket[3]"))
    plan = to_move()
    groups = tuple(dataclasses.replace(group, from_spec_ids=()) for group in plan.groups)
    before = content(lake.load("db.t"))
    with pytest.raises((StalePlan, CommitConflict, UsageError)):
        lakeopt.apply(dataclasses.replace(plan, groups=groups))
    assert content(lake.load("db.t")) == before


def test_a_v1_table_keeps_dropped_fields_as_void(lake: Lake) -> None:
    table = lake.create("db.t", rows(0).schema, partition=[("n", "identity")], format_version=1)
    table = lake.append(table, rows(0))
    table = evolve(lake, table, ("t", "bucket[3]"))
    assert len(table.spec().fields) == 2
    before = content(table)
    move()
    table = lake.load("db.t")
    assert content(table) == before
    require_own_partitions(table)


@pytest.mark.parametrize("spread", ["false", "true"])
def test_the_journal_says_where_the_files_of_a_move_will_be(lake: Lake, spread: str) -> None:
    """A later run finds by it what a killed one has left, in whatever partition."""
    from lakeopt.config import load_settings
    from lakeopt.tables.open import open_table
    from lakeopt.workflows.group_run import written_files
    from lakeopt.workflows.journal import runs

    table = older(lake, ("t", "bucket[3]"))
    with table.transaction() as change:
        change.set_properties({"write.object-storage.enabled": spread})
    result = move(partial_progress=True)
    opened = open_table(NAME, load_settings())
    (run,) = runs(opened, load_settings(), result.plan_id)
    (event,) = run.of("staging")
    found = {location for location, _ in written_files(opened, event["folder"], event["prefix"])}
    assert found == {file.file_path for file in live_files(lake.load("db.t"))}


# Deletes. Spec 0 is by ``n``, spec 1 by buckets of ``id``; ids 0 … 119 are of spec 0, 1000 … 1009 of spec 1.


def by_id(lake: Lake) -> Table:
    return older(lake, ("id", "bucket[2]"))


def like(table: Table, spec_id: int, *partition: Any) -> DataFile:
    """A stand-in for a data file of a partition."""
    file = DataFile.from_args(partition=Record(*partition))
    file.spec_id = spec_id
    return file


def bucket(table: Table, value: int) -> int:
    part = table.spec().fields[0]
    found: int = part.transform.transform(table.schema().find_type("id"))(value)
    return found


def delete_ids(lake: Lake, table: Table, ids: list[int], file: DataFile | None) -> Table:
    return lake.land(table, lake.equality_deletes(table, pa.table({"id": pa.array(ids, pa.int64())}), like=file))


def test_deletes_of_the_base_are_applied_and_leave_the_table(lake: Lake) -> None:
    """Equality deletes of the old spec, and position deletes scoped to one of its partitions."""
    table = lake.create("db.t", rows(0).schema, partition=[("n", "identity")])
    table = lake.append(table, rows(0))
    first = next(file for file in live_files(table) if file.partition[0] == 1)
    gone = pa.parquet.read_table(first.file_path.removeprefix("file://"), partitioning=None)["id"].to_pylist()[0]
    table = lake.land(table, lake.position_deletes(table, {first.file_path: [0]}, like=first))
    table = delete_ids(lake, table, [2, 4], like(table, 0, 0))  # n is 0 for 2 and 2 for 4: only 2 is in its partition
    evolve(lake, table, ("id", "bucket[2]"))
    before = read_ids(lake.load("db.t"))
    assert {gone, 2, 4} & set(before) == {4}
    result = move()
    table = lake.load("db.t")
    assert read_ids(table) == before
    assert result.removed_delete_files_count == 2
    assert {file.content for file in lake.files(table)} == {DataFileContent.DATA}
    require_own_partitions(table)


def apply_while(plan: RewritePlan, act: Callable[[], Any]) -> None:
    """Apply a plan, and act once when its files are written and not committed yet."""
    waiting = [act]

    def progress(phase: str, done: int, total: int) -> None:
        if phase == "proving" and waiting:
            waiting.pop()()

    lakeopt.apply(plan, progress=progress)
    assert not waiting


@pytest.mark.parametrize("partition", [1, -1])
def test_an_equality_delete_of_the_old_spec_that_lands_meanwhile_ends_the_move(lake: Lake, partition: int) -> None:
    """It would not apply to the moved rows, which would come back. Nothing of the run is left."""
    table = by_id(lake)
    plan = to_move(where="n = 1")  # rows of one partition; the writer of the delete may go on to any
    target = next(row["id"] for row in table.scan().to_arrow().to_pylist() if row["n"] == partition and row["id"] < 120)
    before = read_ids(table)
    with pytest.raises(CommitConflict, match="no longer apply to rows"):
        apply_while(plan, lambda: delete_ids(lake, table, [target], like(table, 0, partition)))
    table = lake.load("db.t")
    assert read_ids(table) == [i for i in before if i != target]
    assert not list(lake.warehouse.rglob(f"*{plan.plan_id}*.parquet"))
    with pytest.raises(StalePlan, match="no longer apply to rows"):
        lakeopt.apply(plan)


def test_an_equality_delete_of_the_new_spec_that_lands_meanwhile_ends_the_move(lake: Lake) -> None:
    """It did not apply to the rows of the old spec, and would take them out once they are in its partition."""
    table = by_id(lake)
    plan = to_move()
    before = read_ids(table)
    with pytest.raises(CommitConflict, match="did not before"):
        apply_while(plan, lambda: delete_ids(lake, table, [7], like(table, 1, bucket(table, 7))))
    assert 7 in before
    assert read_ids(lake.load("db.t")) == before


def test_an_equality_delete_of_a_partition_that_no_row_comes_to_does_not_matter(lake: Lake) -> None:
    table = lake.create("db.t", rows(0).schema, partition=[("n", "identity")])
    table = lake.append(table, rows(0))
    table = evolve(lake, table, ("id", "truncate[1000]"))
    table = lake.append(table, rows(1000, 10))
    plan = to_move(where="id < 500")
    before = read_ids(table)
    apply_while(plan, lambda: delete_ids(lake, table, [1003], like(table, 1, 1000)))
    table = lake.load("db.t")
    assert read_ids(table) == [i for i in before if i != 1003]
    assert {file.spec_id for file in live_files(table)} == {1}


def test_equality_deletes_of_the_new_spec_that_the_base_holds_do_not_reach_moved_rows(lake: Lake) -> None:
    table = by_id(lake)
    table = delete_ids(lake, table, [7, 1003], like(table, 1, bucket(table, 7)))
    table = delete_ids(lake, table, [1003], like(table, 1, bucket(table, 1003)))
    before = read_ids(table)
    assert {7, 1003} & set(before) == {7}
    move()
    assert read_ids(lake.load("db.t")) == before


def test_global_equality_deletes_reach_rows_before_and_after_the_move(lake: Lake) -> None:
    table = lake.create("db.t", rows(0).schema)
    table = lake.append(table, rows(0))
    table = evolve(lake, table, ("id", "bucket[2]"))
    plan = to_move()
    apply_while(plan, lambda: delete_ids(lake, table, [5], None))  # of spec 0, which divides nothing
    table = lake.load("db.t")
    assert read_ids(table) == [i for i in range(40) if i != 5]
    table = delete_ids(lake, table, [6], None)
    assert read_ids(table) == [i for i in range(40) if i not in (5, 6)]


def test_equality_deletes_of_the_new_spec_reach_moved_rows_from_then_on(lake: Lake) -> None:
    table = by_id(lake)
    move()
    table = delete_ids(lake, lake.load("db.t"), [7], like(table, 1, bucket(table, 7)))
    assert {7, 8} & set(read_ids(table)) == {8}


def test_a_position_delete_that_lands_meanwhile_ends_the_move(lake: Lake) -> None:
    table = by_id(lake)
    plan = to_move()
    file = next(file for file in live_files(table) if file.spec_id == 0)
    before = read_ids(table)
    deletes = lake.position_deletes(table, {file.file_path: [0]}, like=file)
    with pytest.raises(CommitConflict, match="position delete"):
        apply_while(plan, lambda: lake.land(table, deletes))
    assert len(read_ids(lake.load("db.t"))) == len(before) - 1


def test_rows_stay_where_writers_still_delete_by_their_spec(lake: Lake) -> None:
    """Such a writer's next delete would miss them. A rewrite without the flag takes its deletes out first."""
    table = by_id(lake)
    table = delete_ids(lake, table, [7], like(table, 0, 0))
    before = read_ids(table)
    plan = to_move()
    assert not any(group.from_spec_ids for group in plan.groups)
    assert any("restart them" in skipped.reason for skipped in plan.skipped)
    lakeopt.rewrite(NAME, strategy="bin-pack")
    assert any(group.from_spec_ids for group in to_move().groups)
    move()
    table = lake.load("db.t")
    assert read_ids(table) == before
    assert {file.spec_id for file in live_files(table)} == {1}


def test_a_file_with_rows_of_two_partitions_never_passes_the_proof(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault planted where files are cut."""
    from lakeopt.parquet import partitioned_writer

    table = older(lake, ("t", "bucket[3]"))
    head = table.current_snapshot()
    plain = partitioned_writer.differing

    def blind(batch: pa.RecordBatch, before: pa.RecordBatch | None) -> Any:
        found = plain(batch, before)
        found[len(found) // 2 :] = False
        return found

    monkeypatch.setattr(partitioned_writer, "differing", blind)
    with pytest.raises(ProofFailed, match="another partition"):
        move()
    assert lake.load("db.t").current_snapshot() == head
