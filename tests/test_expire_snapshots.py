"""``expire-snapshots`` on real tables: what goes, what stays and why, what is marked, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hand_rewrite import live_files, rows_of
from lake import Lake, flights
from pyiceberg.table import Table
from pyiceberg.table.statistics import BlobMetadata, PartitionStatisticsFile, StatisticsFile
from pyiceberg.table.update import SetPartitionStatisticsUpdate
from typer.testing import CliRunner

from lakeopt.cli.app import app
from lakeopt.config import Settings
from lakeopt.errors import DataFileError, Refused, StalePlan, UsageError
from lakeopt.model.expiry import ExpiryPlan
from lakeopt.model.serde import from_json, to_json
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.workflows import journal
from lakeopt.workflows.expire_snapshots import apply_expiry, expire_snapshots, plan_expiry
from lakeopt.workflows.marks import marked
from lakeopt.workflows.sweep import sweep

#: Whole commands on tables of their own, half a second each: left out of `make check`.
pytestmark = pytest.mark.slow

NAME = "lake.db.t"


@pytest.fixture
def table(lake: Lake) -> Table:
    return lake.flights("db.t", days=4, rows_per_day=50)


def ids(table: Table) -> list[int]:
    return [snapshot.snapshot_id for snapshot in table.snapshots()]


def expired(**options: Any) -> list[int]:
    return [int(one) for one in expire_snapshots(NAME, **options).expired]


def marks(table: Table) -> dict[str, str]:
    return {file.path: file.kind for one in marked(IcebergTable(table), Settings()) for file in one.files}


def test_nothing_is_old_enough_by_default(lake: Lake, table: Table) -> None:
    before = table.metadata_location
    result = expire_snapshots(NAME)
    assert (result.expired_snapshots_count, result.marked_files_count, result.bytes_freed_now) == (0, 0, 0)
    assert {one.reason for one in result.retained} == {
        "head of branch main",
        "younger than the limit of branch main",
    }
    assert lake.load("db.t").metadata_location == before  # nothing to do makes no commit


def test_old_ones_expire_and_the_table_reads_as_before(lake: Lake, table: Table) -> None:
    rows = rows_of(table)
    assert expired(older_than="0s") == ids(table)[:-1]
    after = lake.load("db.t")
    assert ids(after) == ids(table)[-1:]
    assert rows_of(after) == rows
    # Files of appends are live; only the lists of expired snapshots are dead, and nothing is deleted.
    assert set(marks(after).values()) == {"manifest-list"}
    assert all(Path(path.removeprefix("file://")).exists() for path in marks(after))


def test_a_branch_keeps_the_newest(table: Table) -> None:
    assert expired(older_than="0s", retain_last=3) == ids(table)[:1]


def test_the_tables_own_values_hold(lake: Lake, table: Table) -> None:
    table.transaction().set_properties(
        {"history.expire.max-snapshot-age-ms": "0", "history.expire.min-snapshots-to-keep": "2"}
    ).commit_transaction()
    assert expired() == ids(table)[:2]


def test_tags_and_branches_keep_theirs_with_every_row(lake: Lake, table: Table) -> None:
    first, second, *_ = ids(table)
    table.manage_snapshots().create_tag(first, "v1").create_branch(second, "side", min_snapshots_to_keep=1).commit()
    tagged, side = rows_of(table, snapshot_id=first), rows_of(table, snapshot_id=second)
    result = expire_snapshots(NAME, older_than="0s")
    assert {one.snapshot_id: one.reason for one in result.retained} == {
        str(first): "tag v1",
        str(second): "head of branch side",
        str(ids(table)[-1]): "head of branch main",
    }
    sweep(NAME, grace=0, no_concurrent_writers=True)
    after = lake.load("db.t")
    assert rows_of(after, snapshot_id=first) == tagged
    assert rows_of(after, snapshot_id=second) == side


def test_a_ref_past_its_age_goes(lake: Lake, table: Table) -> None:
    first = ids(table)[0]
    table.manage_snapshots().create_tag(first, "old", max_ref_age_ms=1).create_tag(ids(table)[1], "kept").commit()
    result = expire_snapshots(NAME, older_than="0s")
    assert result.removed_refs == ("old",)
    assert set(lake.load("db.t").refs()) == {"main", "kept"}
    assert str(first) in result.expired


def test_files_of_replaced_data_are_marked_and_freed(lake: Lake, table: Table) -> None:
    table.delete("origin == 'JFK'")
    table = lake.load("db.t")
    rows, live = rows_of(table), {file.file_path for file in live_files(table)}
    plan = plan_expiry(NAME, older_than="0s")
    result = apply_expiry(plan)
    found = marks(table)
    assert (plan.files_to_mark, plan.bytes_to_free) == (result.marked_files_count, result.marked_bytes)
    assert set(found.values()) == {"data", "manifest", "manifest-list"}
    assert live.isdisjoint(found)
    swept = sweep(NAME, grace=0, no_concurrent_writers=True)
    assert (swept.deleted_files_count, swept.bytes) == (len(found), result.marked_bytes)
    assert rows_of(lake.load("db.t")) == rows


def test_delete_files_are_marked_too(lake: Lake, table: Table) -> None:
    file = live_files(table)[0]
    delete = lake.position_deletes(table, {file.file_path: [0, 1]}, like=file)
    table.manage_snapshots().create_branch(ids(table)[-1], "side").commit()
    lake.land(table, delete, branch="side")
    lake.load("db.t").manage_snapshots().remove_branch("side").commit()
    found = _after_expiry(lake)
    assert [path for path, kind in found.items() if kind in ("data", "delete")] == [delete.file_path]
    assert found[delete.file_path] == "delete"


def test_a_file_that_only_a_delete_entry_names_is_found_once(lake: Lake, table: Table) -> None:
    """Another tool expired the snapshots in which a replaced file was live, and deleted nothing."""
    old, before = {file.file_path for file in live_files(table)}, ids(table)
    table.overwrite(flights(9, 20))
    lake.load("db.t").maintenance.expire_snapshots().by_ids(before).commit()
    table = lake.append(lake.load("db.t"), flights(10, 20))
    table.overwrite(flights(11, 20))
    found = _after_expiry(lake)
    assert old <= found.keys()
    sweep(NAME, grace=0, no_concurrent_writers=True)
    lake.append(table, flights(12, 5))
    assert old.isdisjoint(_after_expiry(lake))  # gone: not promised to be freed a second time


def _after_expiry(lake: Lake) -> dict[str, str]:
    expire_snapshots(NAME, older_than="0s")
    return marks(lake.load("db.t"))


def test_sinks_find_what_they_have_committed(lake: Lake) -> None:
    table = lake.create("db.t", flights(0, 1).schema)
    summaries: list[dict[str, str]] = [
        {"flink.job-id": "a", "flink.operator-id": "1"},
        {"flink.job-id": "a", "flink.operator-id": "1"},
        {"flink.job-id": "a", "flink.operator-id": "2"},
        {"kafka.connect.offsets.control.g1": "{}", "kafka.connect.commit-id": "x"},
        {"kafka.connect.offsets.control.g2": "{}"},
        {},
    ]
    for day, properties in enumerate(summaries):
        table.append(flights(day, 5), snapshot_properties=properties)
    made = [str(one) for one in ids(lake.load("db.t"))]
    result = expire_snapshots(NAME, older_than="0s")
    reasons = {one.snapshot_id: one.reason for one in result.retained}
    assert reasons.keys() == set(made[1:])
    assert "newest of flink.job-id a flink.operator-id 1" in reasons[made[1]]
    assert "newest of flink.job-id a flink.operator-id 2" in reasons[made[2]]
    assert "newest of kafka.connect.offsets.control.g1" in reasons[made[3]]
    assert "newest of kafka.connect.offsets.control.g2" in reasons[made[4]]


def test_a_snapshot_in_use_by_a_running_plan_stays(lake: Lake, table: Table) -> None:
    from lakeopt.workflows.plan import plan

    decided = plan(NAME, strategy="bin-pack")
    log = journal.start(IcebergTable(table), decided, "rewrite", Settings())
    lake.append(table, flights(9, 5))
    result = expire_snapshots(NAME, older_than="0s")
    reasons = {one.snapshot_id: one.reason for one in result.retained}
    assert decided.base_snapshot_id is not None
    assert reasons[decided.base_snapshot_id] == f"in use by the running plan {decided.plan_id}"
    log.write("failed", error="given up")
    assert expired(older_than="0s") == [int(decided.base_snapshot_id)]


def test_statistics_go_with_their_snapshot(lake: Lake, table: Table) -> None:
    first, last = ids(table)[0], ids(table)[-1]
    for number, snapshot_id in enumerate((first, last)):
        location = f"{table.location()}/metadata/{number}.stats"
        for path in (location, f"{location}.parquet"):
            with table.io.new_output(path).create() as sink:
                sink.write(b"x" * 10)
        blob = BlobMetadata(type="apache-datasketches-theta-v1", snapshot_id=snapshot_id, sequence_number=1, fields=[1])  # type: ignore[call-arg]
        with lake.load("db.t").update_statistics() as update:
            update.set_statistics(
                StatisticsFile(  # type: ignore[call-arg]
                    snapshot_id=snapshot_id,
                    statistics_path=location,
                    file_size_in_bytes=10,
                    file_footer_size_in_bytes=1,
                    blob_metadata=[blob],
                )
            )
        transaction = lake.load("db.t").transaction()
        of_partitions = PartitionStatisticsFile(  # type: ignore[call-arg]
            snapshot_id=snapshot_id, statistics_path=f"{location}.parquet", file_size_in_bytes=10
        )
        transaction._apply((SetPartitionStatisticsUpdate(partition_statistics=of_partitions),))
        transaction.commit_transaction()
    found = _after_expiry(lake)
    metadata = lake.load("db.t").metadata
    assert [one.snapshot_id for one in metadata.statistics] == [last]
    assert [one.snapshot_id for one in metadata.partition_statistics] == [last]
    assert {path.rpartition("/")[2] for path, kind in found.items() if kind == "statistics"} == {
        "0.stats",
        "0.stats.parquet",
    }


def test_staged_snapshots_are_kept_by_age(lake: Lake, table: Table) -> None:
    table.manage_snapshots().create_branch(ids(table)[0], "side").commit()
    lake.load("db.t").append(flights(8, 5), branch="side")
    staged = lake.load("db.t").refs()["side"].snapshot_id
    lake.load("db.t").manage_snapshots().remove_branch("side").commit()
    result = expire_snapshots(NAME, retain_last=1)
    assert {one.snapshot_id: one.reason for one in result.retained}[str(staged)] == (
        "in no ref, but younger than the limit"
    )
    assert staged in expired(older_than="0s")


@pytest.mark.parametrize("moment", ["2026-11-24T08:00:00", "2026-11-24", "2026-11-24 08:00"])
def test_a_time_without_a_zone_is_refused(table: Table, moment: str) -> None:
    with pytest.raises(UsageError, match="has no zone") as caught:
        plan_expiry(NAME, older_than=moment)
    hint = str(caught.value.hint)
    assert "+00:00" in hint
    suggested = hint.split("write ")[1].split(" for")[0]
    assert plan_expiry(NAME, older_than=suggested).older_than.startswith("2026-11-24T")


def test_a_zone_counts(table: Table) -> None:
    assert plan_expiry(NAME, older_than="2020-01-01T08:00:00+08:00").older_than == "2020-01-01T00:00:00.000+00:00"
    with pytest.raises(UsageError, match="neither a duration nor a time"):
        plan_expiry(NAME, older_than="yesterday")


def test_tables_that_keep_everything_are_refused(lake: Lake, table: Table) -> None:
    table.transaction().set_properties({"gc.enabled": "false"}).commit_transaction()
    for act in (expire_snapshots, sweep):
        with pytest.raises(Refused, match=r"gc\.enabled=false"):
            act(NAME)


def test_tables_that_cannot_be_committed_to_are_refused(lake: Lake, table: Table) -> None:
    with pytest.raises(Refused, match="only a catalog can commit"):
        expire_snapshots(table.metadata_location)
    lake.flights("db.v3", days=1)
    metadata = Path(lake.load("db.v3").metadata_location.removeprefix("file://"))
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"format-version": 3, "next-row-id": 0}))
    with pytest.raises(Refused, match="format version 3"):
        expire_snapshots("lake.db.v3")
    lake.create("db.secret", flights(0, 1).schema, properties={"encryption.key-id": "k"})
    with pytest.raises(Refused, match="encrypted"):
        expire_snapshots("lake.db.secret")


def test_a_table_without_snapshots_has_none_to_expire(lake: Lake) -> None:
    lake.create("db.t", flights(0, 1).schema)
    assert expire_snapshots(NAME, older_than="0s").retained == ()


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_manifest_that_cannot_be_read_is_an_error_and_nothing_is_marked(
    lake: Lake, table: Table, damage: str
) -> None:
    table.overwrite(flights(9, 20))
    table = lake.load("db.t")
    manifest = Path(table.current_snapshot().manifests(table.io)[0].manifest_path.removeprefix("file://"))
    if damage == "missing":
        manifest.unlink()
    else:
        manifest.write_bytes(manifest.read_bytes()[:-10])
    with pytest.raises(DataFileError, match=manifest.name):
        plan_expiry(NAME, older_than="0s")
    with pytest.raises(DataFileError, match=manifest.name):
        expire_snapshots(NAME, older_than="0s")
    assert marks(table) == {}


def test_a_saved_plan_expires_what_it_names_and_no_more(lake: Lake, table: Table) -> None:
    saved = from_json(ExpiryPlan, to_json(plan_expiry(NAME, older_than="0s", measure=False)))
    lake.append(table, flights(9, 5))
    result = apply_expiry(saved)
    assert [int(one) for one in result.expired] == ids(table)[:-1]
    reasons = {one.snapshot_id: one.reason for one in result.retained}
    assert "plan does not name it" in reasons[str(ids(table)[-1])] or "younger" in reasons[str(ids(table)[-1])]
    lake.catalog.drop_table("db.t")
    lake.flights("db.t", days=1)
    with pytest.raises(StalePlan, match="made anew"):
        apply_expiry(saved)


def test_command_line(lake: Lake, table: Table) -> None:
    shown = CliRunner().invoke(app, ["expire-snapshots", NAME, "--older-than", "0s", "--dry-run", "--json"])
    plan = json.loads(shown.stdout)
    assert (plan["kind"], len(plan["expired"]), plan["files_to_mark"]) == ("expiry_plan", 3, 3)
    assert ids(lake.load("db.t")) == ids(table)
    done = CliRunner().invoke(app, ["expire-snapshots", NAME, "--older-than", "0s", "--yes", "--json"])
    result = json.loads(done.stdout)
    assert (result["kind"], result["expired_snapshots_count"], result["bytes_freed_now"]) == ("expiry_result", 3, 0)
    freed = CliRunner().invoke(app, ["sweep", NAME, "--grace", "0s", "--no-concurrent-writers", "--yes", "--json"])
    swept = json.loads(freed.stdout)
    assert (swept["kind"], swept["deleted_files_count"], swept["bytes"]) == ("sweep_result", 3, result["marked_bytes"])
    told = json.loads(CliRunner().invoke(app, ["history", NAME, "--json"]).stdout)["entries"]
    assert [(one["command"], one["status"]) for one in told] == [
        ("expire-snapshots", "committed"),
        ("sweep", "committed"),
    ]


def test_a_location_that_is_spelt_in_two_ways_is_one_file(lake: Lake) -> None:
    """A live file that metadata names as ``/x`` and an expired snapshot as ``file:///x`` is not dead."""
    rows = pa.table({"id": range(5)})
    table = lake.create("db.t", rows.schema)
    file = lake.data_file(table, rows)
    table = lake.land(table, file)
    table.delete("id >= 0")
    file[1] = file.file_path.removeprefix("file://")
    table = lake.land(lake.load("db.t"), file)
    assert "data" not in _after_expiry(lake).values()
    sweep(NAME, grace=0, no_concurrent_writers=True)
    assert rows_of(lake.load("db.t")) == rows_of(table)
