"""What maintenance refuses, and says so with a way out; what it must not lose where runs, names and hosts meet."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hand_rewrite import rows_of
from lake import Lake, flights
from orphans import age, files, plant
from pyiceberg.table.update import SetLocationUpdate

import lakeopt
from lakeopt.cli.app import main
from lakeopt.config import Settings
from lakeopt.errors import LakeoptError, Refused, UnknownName, UsageError
from lakeopt.maintenance.expire_snapshots import limits
from lakeopt.model.plan import SortField
from lakeopt.model.serde import to_json
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.units import parse_duration, parse_moment
from lakeopt.workflows.expire_snapshots import apply_expiry, expire_snapshots, plan_expiry
from lakeopt.workflows.marks import MarkedFile, mark, marked, unmark
from lakeopt.workflows.remove_orphan_files import find_orphan_files, quarantine_orphan_files, remove_orphan_files
from lakeopt.workflows.restore import plan_restore
from lakeopt.workflows.rewrite_manifests import plan_manifests
from lakeopt.workflows.saved_plans import read_plan
from lakeopt.workflows.sweep import apply_sweep, plan_sweep, sweep

NAME = "lake.db.flights"


@pytest.mark.parametrize("text", ["999999999999d", "1001d9999999h", "365300d"])
def test_a_duration_beyond_all_dates_is_refused(text: str) -> None:
    for parse in (parse_duration, lambda one: parse_moment(one, 0)):
        with pytest.raises(UsageError, match="more than 1000 years"):
            parse(text)
    assert parse_duration("365000d") == 365_000 * 86_400


def test_a_time_to_come_expires_nothing(lake: Lake) -> None:
    lake.flights(days=2)
    with pytest.raises(UsageError, match="in the future") as caught:
        plan_expiry(NAME, older_than="2999-01-01T00:00:00Z")
    assert "0s" in str(caught.value.hint)
    assert limits({}, 1000, older_than_ms=1000).older_than_ms == 1000


def test_refusals_say_a_way_out(lake: Lake) -> None:
    lake.flights(days=1)
    lake.flights("db.kept", days=1).transaction().set_properties({"gc.enabled": "false"}).commit_transaction()
    lake.create("db.secret", flights(0, 1).schema, properties={"encryption.key-id": "k"})
    caught: list[LakeoptError] = []
    for act in (
        lambda: find_orphan_files("lake.db.kept"),
        lambda: find_orphan_files("lake.db.secret"),
        lambda: plan_expiry("lake.db.secret"),
        lambda: plan_sweep("lake.db.secret"),
        lambda: plan_restore(NAME, "20200101T000000-00000000"),
    ):
        with pytest.raises((Refused, UnknownName)) as one:
            act()
        caught.append(one.value)
    assert [str(error) for error in caught if not error.hint] == []


def test_a_second_name_of_a_table_stops_its_sweep(lake: Lake) -> None:
    """What one name has expired is live under the other: without the refusal the second name reads no more."""
    table = lake.flights(days=2)
    lake.catalog.register_table("db.copy", table.metadata_location)
    table.overwrite(flights(9, 20))
    rows = rows_of(lake.load("db.copy"))
    assert expire_snapshots(NAME, older_than="0s").marked_files_count > 0
    with pytest.raises(Refused, match=r"lake\.db\.copy is this table under another name"):
        sweep(NAME, grace=0, no_concurrent_writers=True)
    assert rows_of(lake.load("db.copy")) == rows
    lake.catalog.drop_table("db.copy")
    plan = plan_sweep(NAME, grace=0, no_concurrent_writers=True)
    lake.catalog.register_table("db.again", table.metadata_location)
    with pytest.raises(Refused, match=r"lake\.db\.again"):
        apply_sweep(plan)
    lake.catalog.drop_table("db.again")
    assert apply_sweep(plan).deleted_files_count == len(plan.files) > 0


def test_a_table_that_cannot_be_read_keeps_no_other_from_its_sweep(lake: Lake) -> None:
    table, broken = lake.flights(days=2), lake.flights("db.broken", days=1)
    Path(broken.metadata_location.removeprefix("file://")).unlink()
    table.overwrite(flights(9, 20))
    expire_snapshots(NAME, older_than="0s")
    assert sweep(NAME, grace=0, no_concurrent_writers=True).deleted_files_count > 0


def test_marks_of_one_plan_never_go_over_each_other(lake: Lake) -> None:
    """A plan that is run again marks again, also after a sweep has taken some of its lists."""
    table = IcebergTable(lake.flights(days=1))

    def listed(name: str) -> MarkedFile:
        return MarkedFile(f"{table.location}/data/{name}", "data", 1, "a test says so")

    for name in ("a", "b"):
        mark(table, Settings(), "plan", [listed(name)])
    first = next(one for one in marked(table, Settings()) if one.files[0].path.endswith("/a"))
    unmark(table, first.name)
    mark(table, Settings(), "plan", [listed("c")])
    assert sorted(one.files[0].path[-1] for one in marked(table, Settings())) == ["b", "c"]


def test_the_quarantine_of_a_run_that_died_elsewhere_is_swept(lake: Lake) -> None:
    """Of another host's process nobody knows whether it lives: after the grace it counts as dead."""
    plant(lake.flights(days=1), "data/dead.parquet")
    moved = remove_orphan_files(NAME)
    state = lake.warehouse / "_lakeopt"
    for path in (state / "journal").rglob("*.json"):
        event = json.loads(path.read_text())
        if event["event"] != "started":
            path.unlink()
            continue
        elsewhere = event["process"] | {"host": "another", "boot_id": "another"}
        path.write_text(json.dumps(event | {"process": elsewhere}))
    for path in (state / "quarantine").rglob("manifest-*.json"):
        age(path, days=3)
    assert sweep(NAME).deleted_files_count == 0
    for path in (state / "journal").rglob("*-started.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"at": "2020-01-01T00:00:00.000+00:00"}))
    assert sweep(NAME).deleted_files_count == moved.quarantined_files_count == 1


def test_a_quarantine_of_a_location_that_the_table_has_left_stays(lake: Lake) -> None:
    """What the table reaches there is not looked at, so that nothing can be said to be needed no more."""
    table = lake.flights(days=1)
    plant(table, "data/dead.parquet")
    moved = remove_orphan_files(NAME)
    for path in (lake.warehouse / "_lakeopt" / "quarantine").rglob("manifest-*.json"):
        age(path, days=3)
    with table.transaction() as change:
        change._apply((SetLocationUpdate(location=(lake.warehouse / "elsewhere").as_uri()),))
    assert sweep(NAME).deleted_files_count == 0
    assert lakeopt.restore(NAME, moved.plan_id).restored_files_count == 1


@pytest.mark.parametrize("kind", ["expiry_plan", "sweep_plan", "orphan_plan", "rewrite_plan", "manifests_plan"])
def test_an_edited_id_leads_out_of_no_folder(lake: Lake, kind: str) -> None:
    table = lake.flights(days=2)
    table.append(flights(9, 20))
    plans = {
        "expiry_plan": lambda: plan_expiry(NAME, older_than="0s"),
        "sweep_plan": lambda: plan_sweep(NAME),
        "orphan_plan": lambda: find_orphan_files(NAME),
        "rewrite_plan": lambda: lakeopt.plan(NAME, strategy="sort", sort_by=[SortField("dest")]),
        "manifests_plan": lambda: plan_manifests(NAME),
    }
    plan = json.loads(to_json(plans[kind]()))
    before = files(lake.warehouse)
    with pytest.raises(UsageError, match="is no plan id"):
        read_plan(json.dumps(plan | {"plan_id": "../../../evil"}))
    if kind == "expiry_plan":
        expiry = replace(plan_expiry(NAME, older_than="0s"), plan_id="../evil")
        with pytest.raises(UsageError, match="is no plan id"):
            apply_expiry(expiry)
    assert files(lake.warehouse) == before


def test_no_edit_makes_a_young_file_an_orphan(lake: Lake) -> None:
    """What a writer is about to commit is young: a plan that names it was not made by looking at the store."""
    table = lake.flights(days=1)
    plant(table, "data/old.bin", days=10)
    young = plant(table, "data/young.bin", days=0)
    plan = find_orphan_files(NAME)
    assert [file.path for file in plan.orphans] == ["data/old.bin"]
    changed = datetime.fromtimestamp(young.stat().st_mtime, UTC).isoformat(timespec="microseconds")
    edited = replace(plan, orphans=(replace(plan.orphans[0], path="data/young.bin", modified_at=changed),))
    for one in (edited, replace(edited, younger_than=(datetime.now(UTC) + timedelta(hours=1)).isoformat())):
        with pytest.raises(UsageError, match="contradicts itself"):
            quarantine_orphan_files(one)
    assert young.exists()


def test_a_wrong_option_names_the_help_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["expire-snapshots", NAME, "--retain-last", "0"]) == 2
    assert "hint: lakeopt expire-snapshots --help" in capsys.readouterr().err
