"""``sweep``: only what was marked, is old enough, and that nothing reaches now; whatever else is in the way stays."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hand_rewrite import live_files, rows_of
from lake import Lake, flights
from pyiceberg.table import Table
from typer.testing import CliRunner

from lakeopt.cli.app import app
from lakeopt.config import Settings
from lakeopt.errors import DataFileError, Refused, StalePlan
from lakeopt.maintenance.sweep import in_order
from lakeopt.model.expiry import ExpiryResult, SweepResult
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.workflows import journal, marked_files
from lakeopt.workflows.expire_snapshots import expire_snapshots
from lakeopt.workflows.marks import CHUNK, MarkedFile, mark, marked
from lakeopt.workflows.sweep import apply_sweep, plan_sweep, sweep

#: Whole commands on tables of their own, half a second each: left out of `make check`.
pytestmark = pytest.mark.slow

NAME = "lake.db.t"
SETTINGS = Settings()


@pytest.fixture
def table(lake: Lake) -> Table:
    """A table whose first rows were replaced, and whose first snapshots have expired."""
    made = lake.flights("db.t", days=3, rows_per_day=50)
    made.overwrite(flights(9, 50))
    return lake.load("db.t")


@pytest.fixture
def expiry(table: Table) -> ExpiryResult:
    return expire_snapshots(NAME, older_than="0s")


def now(**options: Any) -> SweepResult:
    return sweep(NAME, grace=0, no_concurrent_writers=True, **options)


def mark_paths(lake: Lake, *paths: str, kind: str = "data") -> None:
    opened = IcebergTable(lake.load("db.t"))
    mark(opened, SETTINGS, "by-hand", [MarkedFile(path, kind, None, "a test says so") for path in paths])


def objects(lake: Lake) -> list[Path]:
    return sorted((lake.warehouse / "_lakeopt" / "marks").rglob("*.json"))


def stray(table: Table, name: str = "stray.parquet") -> str:
    """A file in the table's location that nothing reaches."""
    location = f"{table.location()}/data/{name}"
    with table.io.new_output(location).create(overwrite=True) as sink:
        sink.write(b"x" * 100)
    return location


def local(location: str) -> Path:
    return Path(location.removeprefix("file://"))


def age(path: Path, hours: float) -> None:
    """Set a file's time back, as the store tells it."""
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


def test_frees_what_an_expiry_marked_and_forgets_it(lake: Lake, table: Table, expiry: ExpiryResult) -> None:
    rows = rows_of(table)
    result = now()
    assert (result.deleted_files_count, result.bytes) == (expiry.marked_files_count, expiry.marked_bytes)
    assert result.bytes > 0
    assert not result.kept
    assert not result.failed
    assert rows_of(lake.load("db.t")) == rows
    assert objects(lake) == []
    assert now().deleted_files_count == 0


def test_nothing_young_is_deleted(lake: Lake, table: Table, expiry: ExpiryResult) -> None:
    assert plan_sweep(NAME).files == ()
    assert sweep(NAME).deleted_files_count == 0
    for path in objects(lake):
        age(path, 25)  # the store says that a day has passed, the mark itself does not
    assert plan_sweep(NAME).files == ()
    for path in objects(lake):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"marked_at": "2020-01-01T00:00:00+00:00"}))
        age(path, 23)  # the other way round
    assert plan_sweep(NAME).files == ()
    for path in (lake.warehouse / "db").rglob("*"):
        age(path, 26)
    for path in objects(lake):
        age(path, 25)
    assert len(plan_sweep(NAME).files) == expiry.marked_files_count


def test_a_dry_run_leaves_no_mark(lake: Lake, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("lakeopt.workflows.expire_snapshots.mark_dead", _failing)
        with pytest.raises(OSError, match="no disk"):
            expire_snapshots(NAME, older_than="0s")
    arguments = ["sweep", NAME, "--grace", "0s", "--no-concurrent-writers"]
    assert CliRunner().invoke(app, [*arguments, "--dry-run"]).exit_code == 0
    assert objects(lake) == []
    done = CliRunner().invoke(app, [*arguments, "--yes", "--json"])
    assert json.loads(done.stdout)["deleted_files_count"] > 0


def _failing(*given: Any, **named: Any) -> Any:
    raise OSError("no disk")


def test_a_short_grace_needs_a_promise(table: Table) -> None:
    with pytest.raises(Refused, match="less than 1 d") as caught:
        sweep(NAME, grace=3600)
    assert "--no-concurrent-writers" in str(caught.value.hint)


def test_what_the_table_reaches_stays_and_loses_its_mark(lake: Lake, table: Table) -> None:
    live = [file.file_path for file in live_files(table)]
    snapshot = table.current_snapshot()
    assert snapshot is not None
    manifests = [one.manifest_path for one in snapshot.manifests(table.io)]
    mark_paths(lake, *live, *manifests, snapshot.manifest_list, table.metadata_location)
    mark_paths(lake, live[0].removeprefix("file://"), f"file:{local(live[0])}")  # the same file, spelt otherwise
    rows = rows_of(table)
    result = now()
    assert result.deleted_files_count == 0
    assert {one.reason for one in result.kept} == {"the table reaches it"}
    assert len(result.kept) == len(live) + len(manifests) + 4
    assert rows_of(lake.load("db.t")) == rows
    assert objects(lake) == []


def test_a_file_that_is_reached_again_between_plan_and_deletion_stays(lake: Lake, table: Table) -> None:
    file = lake.data_file(table, flights(7, 10))
    mark_paths(lake, file.file_path)
    plan = plan_sweep(NAME, grace=0, no_concurrent_writers=True)
    assert [one.path for one in plan.files] == [file.file_path]
    lake.land(table, file)
    assert apply_sweep(plan).deleted_files_count == 0
    assert len(lake.load("db.t").scan().to_arrow()) == 60


def test_a_file_that_is_reached_again_while_others_are_deleted_stays(
    lake: Lake, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = lake.data_file(table, flights(7, 10))
    mark_paths(lake, file.file_path)
    judge = marked_files.judge

    def judge_then_commit(*given: Any, **options: Any) -> marked_files.Judged:
        judged = judge(*given, **options)
        lake.land(table, file)
        return judged

    plan = plan_sweep(NAME, grace=0, no_concurrent_writers=True)
    monkeypatch.setattr("lakeopt.workflows.sweep.judge", judge_then_commit)
    result = apply_sweep(plan)
    assert (result.deleted_files_count, [one.reason for one in result.kept]) == (0, ["the table reaches it"])
    assert local(file.file_path).exists()


def test_a_missing_file_is_done(lake: Lake, table: Table) -> None:
    here, gone = stray(table), stray(table, "gone.parquet")
    mark_paths(lake, here, gone)
    local(gone).unlink()
    result = now()
    assert (result.deleted_files_count, result.missing_files_count, result.bytes) == (1, 1, 100)
    assert objects(lake) == []


def test_outside_the_location_only_when_asked(lake: Lake, table: Table, tmp_path: Path) -> None:
    outside = tmp_path / "lake" / "warehouse" / "db" / "t2.parquet"  # begins like the location, and is not in it
    outside.write_bytes(b"x" * 7)
    mark_paths(lake, outside.as_uri())
    result = now()
    assert "outside the table's location" in result.kept[0].reason
    assert outside.exists()
    assert len(objects(lake)) == 1
    assert now(include_outside=True).bytes == 7
    assert not outside.exists()


def test_files_of_a_running_plan_stay(lake: Lake, table: Table) -> None:
    from lakeopt.workflows.plan import plan

    decided = plan(NAME, strategy="bin-pack")
    log = journal.start(IcebergTable(table), decided, "rewrite", SETTINGS)
    written = stray(table, f"{decided.plan_id}-0123abcd-00000-00000.parquet")
    mark_paths(lake, written)
    assert [one.reason for one in now().kept] == [f"in use by the running plan {decided.plan_id}"]
    log.write("failed", error="given up")
    assert now().deleted_files_count == 1


def test_a_file_that_was_written_anew_stays(lake: Lake, table: Table) -> None:
    path = stray(table)
    mark_paths(lake, path)
    future = time.time() + 5
    os.utime(local(path), (future, future))
    assert [one.reason for one in now().kept] == ["it was written anew since it was marked"]
    assert objects(lake) == []


def test_a_folder_is_no_file(lake: Lake, table: Table) -> None:
    folder = f"{table.location()}/data/folder"
    local(folder).mkdir()
    mark_paths(lake, folder)
    assert [one.reason for one in now().kept] == ["it is no file"]


def test_what_cannot_be_deleted_is_counted_and_tried_again(
    lake: Lake, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = stray(table), stray(table, "bad.parquet")
    mark_paths(lake, good, bad)
    with monkeypatch.context() as patch:
        patch.setattr(marked_files, "_delete", _denying(marked_files._delete, "bad"))
        result = now()
    assert [(one.path, one.error) for one in result.failed] == [(bad, "Access Denied")]
    assert result.deleted_files_count == 1
    assert len(objects(lake)) == 1
    again = now()
    assert (again.deleted_files_count, again.missing_files_count) == (1, 1)
    assert objects(lake) == []


def _denying(delete: Any, name: str) -> Any:
    return lambda table, path: PermissionError("Access Denied") if name in path else delete(table, path)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_an_unreadable_manifest_stops_it(lake: Lake, table: Table, expiry: ExpiryResult, damage: str) -> None:
    plan = plan_sweep(NAME, grace=0, no_concurrent_writers=True)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    manifest = local(snapshot.manifests(table.io)[0].manifest_path)
    manifest.unlink() if damage == "missing" else manifest.write_bytes(manifest.read_bytes()[:-10])
    before = set(lake.warehouse.rglob("*.parquet"))
    for act in (now, lambda: apply_sweep(plan)):
        with pytest.raises(DataFileError, match=manifest.name):
            act()
    assert set(lake.warehouse.rglob("*.parquet")) == before


def test_another_location_stops_it(lake: Lake, table: Table, expiry: ExpiryResult) -> None:
    with table.transaction() as transaction:
        from pyiceberg.table.update import SetLocationUpdate

        transaction._apply((SetLocationUpdate(location=f"{table.location()}-moved"),))
    before = set(lake.warehouse.rglob("*.parquet"))
    with pytest.raises(StalePlan, match="another location"):
        now()
    assert set(lake.warehouse.rglob("*.parquet")) == before


def test_a_table_that_was_made_anew_loses_nothing(lake: Lake, table: Table, expiry: ExpiryResult) -> None:
    plan = plan_sweep(NAME, grace=0, no_concurrent_writers=True)
    assert plan.files
    location = table.location()
    lake.catalog.drop_table("db.t")
    lake.create("db.t", flights(0, 1).schema, location=location)
    before = set(lake.warehouse.rglob("*.parquet"))
    with pytest.raises(StalePlan, match="made anew"):
        apply_sweep(plan)
    assert now().deleted_files_count == 0
    assert set(lake.warehouse.rglob("*.parquet")) == before


def test_gc_switched_off_since_the_plan_stops_it(table: Table, expiry: ExpiryResult) -> None:
    plan = plan_sweep(NAME, grace=0, no_concurrent_writers=True)
    table.transaction().set_properties({"gc.enabled": "false"}).commit_transaction()
    with pytest.raises(Refused, match="keeps everything"):
        apply_sweep(plan)


def test_data_goes_before_what_leads_to_it(table: Table, expiry: ExpiryResult) -> None:
    kinds = [file.kind for file in plan_sweep(NAME, grace=0, no_concurrent_writers=True).files]
    assert kinds == sorted(kinds, key=["data", "manifest", "manifest-list"].index)
    assert set(kinds) == {"data", "manifest", "manifest-list"}
    assert in_order(["metadata", "unheard-of", "data"]) == [2, 0, 1]


def test_marks_come_in_objects_of_bounded_size(lake: Lake, table: Table) -> None:
    def paths() -> Iterator[MarkedFile]:
        for number in range(CHUNK + 1):
            yield MarkedFile(f"{table.location()}/data/{number}.parquet", "data", 1, "a test says so")

    assert mark(IcebergTable(table), SETTINGS, "by-hand", paths()) == CHUNK + 1
    assert [len(one.files) for one in marked(IcebergTable(table), SETTINGS)] == [CHUNK, 1]
    result = now()
    assert (result.missing_files_count, result.deleted_files_count) == (CHUNK + 1, 0)
    assert objects(lake) == []


def test_the_quarantine_is_emptied_after_the_grace(lake: Lake, table: Table) -> None:
    from lakeopt.workflows.remove_orphan_files import remove_orphan_files

    path, rows = stray(table), rows_of(table)
    moved = remove_orphan_files(NAME, older_than=0, no_concurrent_writers=True)
    assert (moved.quarantined_files_count, local(path).exists()) == (1, False)
    assert sweep(NAME).deleted_files_count == 0
    plan = plan_sweep(NAME, grace=0, no_concurrent_writers=True)
    assert (plan.quarantined_files_count, plan.quarantined_bytes, plan.files) == (1, 100, ())
    result = apply_sweep(plan)
    assert (result.deleted_files_count, result.bytes) == (1, 100)
    assert [file for file in (lake.warehouse / "_lakeopt" / "quarantine").rglob("*") if file.is_file()] == []
    assert rows_of(lake.load("db.t")) == rows


def test_a_file_in_the_quarantine_that_is_needed_again_comes_back(lake: Lake, table: Table) -> None:
    from lakeopt.workflows.remove_orphan_files import remove_orphan_files

    file = lake.data_file(table, flights(7, 10))
    assert remove_orphan_files(NAME, older_than=0, no_concurrent_writers=True).quarantined_files_count == 1
    lake.land(table, file)
    result = now()
    assert result.deleted_files_count == 0
    assert "brought back" in result.kept[0].reason
    assert len(lake.load("db.t").scan().to_arrow()) == 60
