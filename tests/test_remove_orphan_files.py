"""Orphans of real tables go to the quarantine and come back; what anything reaches or may reach never moves."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from lake import Lake, flights
from orphans import DAY, age, files, folder, local, plant, reached
from pyiceberg.table import StaticTable, Table
from pyiceberg.table.statistics import StatisticsFile

import lakeopt
from lakeopt.cli.app import main
from lakeopt.config import Settings, load_settings
from lakeopt.errors import ConfigurationError, DataFileError, LakeoptError, Refused, StalePlan, UsageError
from lakeopt.model.json_schema import schema_of
from lakeopt.model.orphans import OrphanPlan, OrphanResult, RestoreResult
from lakeopt.model.serde import to_data
from lakeopt.tables.open import open_table
from lakeopt.workflows import journal
from lakeopt.workflows.marks import MarkedFile, mark
from lakeopt.workflows.remove_orphan_files import find_orphan_files, quarantine_orphan_files

#: Whole commands on tables of their own, half a second each: left out of `make check`.
pytestmark = pytest.mark.slow

NAME = "lake.db.flights"


def paths(plan: OrphanPlan) -> list[str]:
    return [file.path for file in plan.orphans]


def rows(table: Table) -> list[dict[str, Any]]:
    return sorted(table.scan().to_arrow().to_pylist(), key=str)


def test_orphans_move_and_come_back_as_they_were(lake: Lake) -> None:
    table = lake.flights(days=2)
    plant(table, "data/dead.parquet", b"dead")
    plant(table, "metadata/.hidden/_x/dead.avro", b"hidden")
    plant(table, "data/young.parquet", days=2.9)
    age(folder(table) / "metadata")
    before, changed = files(folder(table)), (folder(table) / "data/dead.parquet").stat().st_mtime_ns
    result = lakeopt.remove_orphan_files(NAME)
    assert (result.quarantined_files_count, result.bytes, result.failed) == (2, 10, ())
    assert set(before) - set(files(folder(table))) == {"data/dead.parquet", "metadata/.hidden/_x/dead.avro"}
    assert ("data/young.parquet", "younger than 3 d") in {(kept.path, kept.reason) for kept in result.kept}
    assert rows(lake.load("db.flights")) == rows(table)
    assert find_orphan_files(NAME).orphans == ()
    back = lakeopt.restore(NAME, result.plan_id)
    assert (back.restored_files_count, back.bytes, back.failed) == (2, 10, ())
    assert files(folder(table)) == before
    assert (folder(table) / "data/dead.parquet").stat().st_mtime_ns == changed
    assert list(lake.warehouse.glob("_lakeopt/quarantine/*/*")) == []
    assert lakeopt.restore(NAME, result.plan_id).restored_files_count == 0


def test_everything_that_any_ref_statistics_or_log_reaches_stays(lake: Lake) -> None:
    table = lake.flights(days=3)
    first = table.metadata.snapshots[0].snapshot_id
    table.manage_snapshots().create_tag(first, "kept").create_branch(first, "side").commit()
    file = lake.data_file(table, flights(7, 10))
    lake.land(table, file, branch="side")
    table = lake.load("db.flights")
    lake.land(table, lake.position_deletes(table, {file.file_path: [1, 2]}, like=file), branch="side")
    table = lake.load("db.flights")
    puffin = plant(table, "metadata/stats.puffin")
    statistics = StatisticsFile(
        snapshot_id=first,
        statistics_path=puffin.as_uri(),
        file_size_in_bytes=1,
        file_footer_size_in_bytes=1,
        blob_metadata=[],
    )
    with table.update_statistics() as update:
        update.set_statistics(statistics)
    table.manage_snapshots().rollback_to_snapshot(first).commit()  # the newer ones are still in the metadata
    plant(table, "metadata/version-hint.text", b"3")
    table = lake.load("db.flights")
    age(folder(table))
    wanted = reached(table)
    plan = find_orphan_files(NAME)
    assert plan.orphans == ()
    assert plan.kept_counts["the table reaches it"] >= len(wanted)
    assert plan.listed_files_count == sum(plan.kept_counts.values())
    assert all(path.exists() for path in wanted)


def test_file_of_a_writer_that_has_not_committed_stays_until_it_is_old(lake: Lake) -> None:
    table = lake.flights(days=1)
    pending = lake.data_file(table, flights(5, 20))
    age(folder(table))
    age(local(pending.file_path), days=2.5)
    assert lakeopt.remove_orphan_files(NAME).quarantined_files_count == 0
    lake.land(table, pending)
    assert len(lake.load("db.flights").scan().to_arrow()) == 220


@pytest.mark.parametrize("hours", [0, 1, 23.9])
def test_less_than_a_day_needs_a_promise(lake: Lake, hours: float) -> None:
    table = lake.flights(days=1)
    plant(table, "data/dead.parquet", days=hours / 24 + 0.01)
    with pytest.raises(Refused, match=r"younger than (24 h|1 d)"):
        find_orphan_files(NAME, older_than=hours * 3600)
    promised = find_orphan_files(NAME, older_than=hours * 3600, no_concurrent_writers=True)
    assert "data/dead.parquet" in paths(promised)


def test_property_gc_enabled_false_is_refused(lake: Lake) -> None:
    table = lake.flights(days=1, properties={"gc.enabled": "false"})
    plant(table, "data/dead.parquet")
    with pytest.raises(Refused, match=r"gc\.enabled"):
        find_orphan_files(NAME)


def test_encrypted_table_is_refused(lake: Lake) -> None:
    lake.flights(days=1, properties={"encryption.key-id": "k1"})
    with pytest.raises(Refused, match="encrypted"):
        find_orphan_files(NAME)


def test_table_named_by_a_metadata_file_is_refused(lake: Lake) -> None:
    table = lake.flights(days=1)
    assert isinstance(StaticTable.from_metadata(table.metadata_location), StaticTable)
    with pytest.raises(Refused, match="metadata file"):
        find_orphan_files(table.metadata_location)


@pytest.mark.parametrize("where", ["at", "below", "above"])
def test_other_table_at_below_or_above_is_refused_and_named(lake: Lake, where: str) -> None:
    table = lake.flights(days=1)
    places = {"at": "/", "below": "/inner//", "above": "/.."}
    location = os.path.normpath(folder(table) / places[where].strip("/"))
    lake.create("other.guest", flights(0, 1).schema, location=f"file:{location}")
    plant(table, "data/dead.parquet")
    with pytest.raises(Refused, match=rf"lake\.other\.guest has files {where} "):
        find_orphan_files(NAME)


def test_other_table_whose_data_path_leads_here_is_refused(lake: Lake) -> None:
    table = lake.flights(days=1)
    lake.create("db.guest", flights(0, 1).schema, properties={"write.data.path": f"{table.location()}/guest"})
    with pytest.raises(Refused, match=r"lake\.db\.guest has files below"):
        find_orphan_files(NAME)


def test_other_table_that_cannot_be_read_is_refused(lake: Lake) -> None:
    lake.flights(days=1)
    broken = lake.create("db.broken", flights(0, 1).schema)
    local(broken.metadata_location).write_text("{")
    with pytest.raises(Refused, match=r"nobody knows where the table lake\.db\.broken"):
        find_orphan_files(NAME)


def test_metadata_of_a_table_that_no_catalog_knows_is_refused_and_named(lake: Lake) -> None:
    table = lake.flights(days=1)
    guest = lake.create("db.guest", flights(0, 1).schema, location=f"{table.location()}/deep/down")
    lake.catalog.drop_table(("db", "guest"))
    name = Path(guest.metadata_location).name
    with pytest.raises(
        Refused, match=rf"deep/down/metadata/{name} is metadata of another table \({guest.metadata.table_uuid}"
    ):
        find_orphan_files(NAME)


def test_table_dropped_and_made_anew_at_the_same_location_is_refused(lake: Lake) -> None:
    lake.flights(days=1)
    lake.catalog.drop_table(("db", "flights"))
    table = lake.flights(days=1)
    age(folder(table))
    with pytest.raises(Refused, match="metadata of another table"):
        find_orphan_files(NAME)


def test_metadata_that_says_nothing_is_refused_and_an_empty_one_is_an_orphan(lake: Lake) -> None:
    table = lake.flights(days=1)
    empty = plant(table, "metadata/00099-empty.metadata.json", b"")
    assert paths(find_orphan_files(NAME)) == ["metadata/00099-empty.metadata.json"]
    empty.write_text("{}")
    with pytest.raises(Refused, match=r"00099-empty\.metadata\.json is metadata that cannot be read"):
        find_orphan_files(NAME)


def test_own_metadata_that_fell_off_the_log_is_an_orphan(lake: Lake) -> None:
    table = lake.flights(days=1)
    plant(table, "metadata/00000-lost.metadata.json", local(table.metadata_location).read_bytes())
    assert paths(find_orphan_files(NAME)) == ["metadata/00000-lost.metadata.json"]


def test_table_in_the_folder_of_one_that_no_catalog_knows_is_refused(lake: Lake) -> None:
    outer = lake.create("db.outer", flights(0, 1).schema)
    lake.create("db.flights", flights(0, 1).schema, location=f"{outer.location()}/inner")
    lake.catalog.drop_table(("db", "outer"))
    with pytest.raises(Refused, match="lies in the folder of another table"):
        find_orphan_files(NAME)


@pytest.mark.parametrize("name", ["_delta_log/00000000000000000000.json", "sub/.hoodie/hoodie.properties"])
def test_table_of_another_format_at_the_location_is_refused(lake: Lake, name: str) -> None:
    plant(lake.flights(days=1), name, days=0)
    with pytest.raises(Refused, match="another format"):
        find_orphan_files(NAME)


@pytest.mark.parametrize("damage", ["missing", "truncated"])
@pytest.mark.parametrize("what", ["manifest", "manifest list"])
def test_damaged_manifest_is_an_error_never_an_empty_one(lake: Lake, damage: str, what: str) -> None:
    table = lake.flights(days=2)
    snapshot = table.metadata.snapshots[0]
    path = local(snapshot.manifest_list if what == "manifest list" else snapshot.manifests(table.io)[0].manifest_path)
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-20])
    age(folder(table))
    before = files(folder(table))
    with pytest.raises(DataFileError, match=f"{what} is .*{path.name}"):
        lakeopt.remove_orphan_files(NAME)
    assert files(folder(table)) == before


def test_scheme_or_authority_that_differs_is_an_error_never_an_orphan(lake: Lake) -> None:
    table = lake.flights(days=1)
    file = lake.data_file(table, flights(3, 10), name="elsewhere.parquet")
    file[1] = file.file_path.replace("file:///", "file://otherhost/")
    lake.land(table, file)
    age(folder(table))
    with pytest.raises(Refused, match="elsewhere"):
        find_orphan_files(NAME)


def test_table_replaced_between_plan_and_moves_is_stale(lake: Lake) -> None:
    table = lake.flights(days=1)
    orphan = plant(table, "data/dead.parquet")
    plan = find_orphan_files(NAME)
    lake.catalog.drop_table(("db", "flights"))
    lake.create("db.flights", flights(0, 1).schema)
    with pytest.raises(StalePlan, match="another table"):
        quarantine_orphan_files(plan)
    assert orphan.exists()


@pytest.mark.parametrize("path", ["../guest/data.parquet", "/etc/passwd", "data//x", "data/..", ""])
def test_plan_that_was_edited_to_lead_out_of_the_table_is_refused(lake: Lake, path: str) -> None:
    plant(lake.flights(days=1), "data/dead.parquet")
    plan = find_orphan_files(NAME)
    edited = dataclasses.replace(plan, orphans=(dataclasses.replace(plan.orphans[0], path=path),))
    with pytest.raises(UsageError, match="contradicts itself"):
        quarantine_orphan_files(edited)


def test_saved_plan_is_carried_out_and_looks_at_each_file_anew(lake: Lake, tmp_path: Path) -> None:
    table = lake.flights(days=1)
    orphan = plant(table, "data/dead.parquet")
    saved = tmp_path / "plan.json"
    assert main(["remove-orphan-files", NAME, "--dry-run", "--quiet", "-o", str(saved)]) == 0
    live = next(iter(lake.files(table))).file_path.rpartition("/")[2]
    age(folder(table) / "data" / live)
    stamp = (folder(table) / "data" / live).stat()
    text = json.loads(saved.read_text())
    moment = datetime.fromtimestamp(stamp.st_mtime_ns // 1000 / 1e6, UTC).isoformat(timespec="microseconds")
    text["orphans"].append({"path": f"data/{live}", "bytes": stamp.st_size, "modified_at": moment, "reason": "edited"})
    text["orphan_files_count"] += 1
    saved.write_text(json.dumps(text))
    assert main(["apply", str(saved), "--yes", "--quiet"]) == 0
    assert not orphan.exists()
    assert len(lake.load("db.flights").scan().to_arrow()) == 200


def test_neighbour_that_came_between_plan_and_moves_is_refused(lake: Lake) -> None:
    table = lake.flights(days=1)
    orphan = plant(table, "guest/dead.parquet")
    plan = find_orphan_files(NAME)
    lake.create("db.guest", flights(0, 1).schema, location=f"{table.location()}/guest")
    with pytest.raises(Refused, match="guest"):
        quarantine_orphan_files(plan)
    assert orphan.exists()


def test_file_that_changed_or_vanished_since_it_was_listed_stays(lake: Lake) -> None:
    table = lake.flights(days=1)
    written, touched, gone, dead = (plant(table, f"data/{name}.parquet") for name in ("w", "touched", "gone", "dead"))
    plan = find_orphan_files(NAME)
    stamp = written.stat()
    written.write_bytes(b"other size")
    os.utime(written, ns=(stamp.st_mtime_ns, stamp.st_mtime_ns))
    touched.touch()
    gone.unlink()
    result = quarantine_orphan_files(plan)
    assert (result.quarantined_files_count, result.kept_counts["changed since it was listed"]) == (1, 3)
    assert (written.exists(), touched.exists(), dead.exists()) == (True, True, False)


def test_file_that_was_committed_between_plan_and_moves_stays(lake: Lake) -> None:
    table = lake.flights(days=1)
    late = lake.data_file(table, flights(3, 10))
    age(folder(table))
    plan = find_orphan_files(NAME)
    assert len(plan.orphans) == 1
    lake.land(table, late)
    result = quarantine_orphan_files(plan)
    assert (result.quarantined_files_count, result.failed) == (0, ())
    assert len(lake.load("db.flights").scan().to_arrow()) == 210


def test_files_of_a_run_that_may_be_on_and_marked_files_stay(lake: Lake) -> None:
    table = lake.flights(days=1)
    opened, settings = open_table(NAME), load_settings()
    going = lakeopt.plan(NAME, strategy="bin-pack")
    log = journal.start(opened, going, "rewrite", settings)
    mine = plant(table, f"data/{going.plan_id}-0a1b2c3d-00000-00000.parquet")
    dead = plant(table, "data/20200101T000000-0a1b2c3d-0a1b2c3d-00000-00000.parquet")
    marked = plant(table, "data/marked.parquet")
    mark(opened, settings, "20260101T000000-00000000", [MarkedFile(marked.as_uri(), "data", 1, "replaced")])
    plan = find_orphan_files(NAME)
    assert paths(plan) == [f"data/{dead.name}"]
    assert {kept.path for kept in plan.kept} >= {f"data/{mine.name}", "data/marked.parquet"}
    log.write("failed", error="test")
    assert f"data/{mine.name}" in paths(find_orphan_files(NAME))


def test_table_at_the_root_of_the_warehouse(lake: Lake, tmp_path: Path) -> None:
    table = lake.create("db.flights", flights(0, 1).schema, location=lake.warehouse.as_uri())
    table = lake.append(table, flights(0, 10))
    plant(table, "_lakeopt/journal/x/y/0001-started.json", b"{}")
    plant(table, "dead.parquet")
    with pytest.raises(ConfigurationError, match="inside the table"):
        find_orphan_files(NAME)
    settings = Settings(state_dir=str(tmp_path / "state"))
    plan = find_orphan_files(NAME, settings=settings)
    assert paths(plan) == ["dead.parquet"]
    assert quarantine_orphan_files(plan, settings=settings).quarantined_files_count == 1
    assert [path.name for path in (tmp_path / "state" / "quarantine").glob("*/*/*dead.parquet")]


def test_links_are_not_followed_and_what_they_lead_to_stays(lake: Lake, tmp_path: Path) -> None:
    table = lake.flights(days=1)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.txt").write_text("not the table's")
    age(outside)
    (folder(table) / "data" / "link").symlink_to(outside)
    target = plant(table, "data/target.parquet")
    (folder(table) / "data" / "name.parquet").symlink_to(target)
    os.mkfifo(folder(table) / "data" / "pipe")
    plan = find_orphan_files(NAME)
    assert plan.orphans == ()
    assert plan.kept_counts["a symbolic link"] == 2
    assert plan.kept_counts["a symbolic link leads to it"] == plan.kept_counts["neither file nor folder"] == 1


def test_checksum_files_go_and_stay_with_their_files(lake: Lake) -> None:
    table = lake.flights(days=1)
    live = next(iter(lake.files(table))).file_path.rpartition("/")[2]
    plant(table, f"data/.{live}.crc")
    plant(table, "data/dead.parquet")
    plant(table, "data/.dead.parquet.crc")
    assert paths(find_orphan_files(NAME)) == ["data/.dead.parquet.crc", "data/dead.parquet"]


def test_names_that_are_no_text_or_hard_to_keep(lake: Lake) -> None:
    table = lake.flights(days=1)
    odd = os.fsencode(folder(table) / "data") + b"/\xff\xfe"
    Path(os.fsdecode(odd)).write_bytes(b"x")
    hard = ["a b", "%2F", "ü\n", "x" * 255, "é" * 127, "?#", "day=2013-01-01/o=u+s%2F1/-", "a'\"\\"]
    for name in hard:
        plant(table, f"data/{name}/{name[:1]}" if "/" not in name and len(name) < 9 else f"data/{name}")
    before = files(folder(table))
    result = lakeopt.remove_orphan_files(NAME)
    assert (result.quarantined_files_count, result.failed) == (len(hard), ())
    assert result.kept_counts["its name is not UTF-8"] == 1
    assert lakeopt.restore(NAME, result.plan_id).restored_files_count == len(hard)
    assert files(folder(table)) == before


@pytest.mark.parametrize(
    "spelling",
    ["{}", "{}/", "file:{}", "file:///{}", "file://{}//", "file:{}/./", "file://{} b/ü/%2F", "{}/a%20b/?x#y"],
)
def test_spellings_of_a_location(lake: Lake, spelling: str) -> None:
    """Metadata, manifests and data files that each spell the location in another way."""
    location = spelling.format(lake.warehouse / "db" / "t")
    table = lake.create("db.flights", flights(0, 1).schema, location=location)
    for day, head in enumerate(["file://", "file:", "", "file://localhost"]):
        table = lake.load("db.flights")
        file = lake.data_file(table, flights(day, 10))
        plain = "/" + file.file_path.removeprefix("file:").lstrip("/")
        file[1] = head + plain.replace("/data/", ["/data/", "//data/", "/./data/", "/data/"][day])
        table = lake.land(table, file)
    home = Path(os.path.normpath(local(location)))
    plant_at = home / "data" / "dead.parquet"
    plant_at.write_bytes(b"dead")
    age(lake.warehouse)
    plan = find_orphan_files(NAME)
    assert paths(plan) == ["data/dead.parquet"]
    result = quarantine_orphan_files(plan)
    assert (result.quarantined_files_count, plant_at.exists()) == (1, False)
    assert lakeopt.restore(NAME, result.plan_id).restored_files_count == 1
    assert plant_at.read_bytes() == b"dead"


def test_warehouse_behind_a_link(lake: Lake) -> None:
    link = lake.root / "by-another-name"
    link.symlink_to(lake.warehouse)
    table = lake.create("db.flights", flights(0, 1).schema, location=f"file://{link}/db/flights")
    table = lake.append(table, flights(0, 10))
    file = lake.data_file(table, flights(1, 10))
    file[1] = file.file_path.replace(str(link), str(lake.warehouse))
    table = lake.land(table, file)
    plant(table, "data/dead.parquet")
    age(lake.warehouse)
    assert paths(find_orphan_files(NAME)) == ["data/dead.parquet"]


def test_folder_that_may_not_be_read_is_an_error(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = lake.flights(days=1)
    closed = plant(table, "data/closed/dead.parquet").parent
    plant(table, "data/dead.parquet")
    real = os.scandir

    def refusing(path: str) -> Any:  # as root may read everything, the answer of the system is given here
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(LakeoptError, match=r"cannot be listed.*Permission denied"):
        lakeopt.remove_orphan_files(NAME)
    assert (folder(table) / "data/dead.parquet").exists()


def test_command_line(lake: Lake, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = lake.flights(days=1)
    orphan = plant(table, "data/dead.parquet")
    saved = tmp_path / "plan.json"
    assert main(["remove-orphan-files", NAME, "--dry-run", "--json", "-o", str(saved)]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["orphans"][0]["path"] == "data/dead.parquet"
    assert json.loads(saved.read_text()) == plan
    assert orphan.exists()
    Draft202012Validator(schema_of(OrphanPlan)).validate(plan)
    assert main(["remove-orphan-files", NAME, "--json"]) == 2  # nobody to ask
    capsys.readouterr()
    assert main(["remove-orphan-files", NAME, "--older-than", "1h", "--yes"]) == 2
    assert "hint: take --older-than 24h" in capsys.readouterr().err
    assert main(["remove-orphan-files", NAME, "--yes", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of(OrphanResult)).validate(result)
    assert not orphan.exists()
    assert main(["restore", NAME, "--plan", "nonsense", "--yes"]) == 2
    assert "no plan" in capsys.readouterr().err
    shutil.copy(folder(table) / "metadata" / Path(table.metadata_location).name, orphan)
    assert main(["restore", NAME, "--plan", result["plan_id"], "--yes", "--json"]) == 1
    back = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of(RestoreResult)).validate(back)
    assert back["failed"] == [{"path": "data/dead.parquet", "error": "another file has its name now"}]
    orphan.unlink()
    assert main(["restore", NAME, "--plan", result["plan_id"], "--yes", "--quiet"]) == 0
    assert orphan.read_bytes() == b"nobody needs this"


def test_history_shows_what_was_done(lake: Lake) -> None:
    plant(lake.flights(days=1), "data/dead.parquet")
    result = lakeopt.remove_orphan_files(NAME)
    lakeopt.restore(NAME, result.plan_id)
    entries = lakeopt.history(NAME).entries
    assert [(entry.command, entry.status) for entry in entries] == [
        ("remove-orphan-files", "committed"),
        ("restore", "committed"),
    ]
    assert entries[0].plan is not None
    assert entries[0].plan["kind"] == "orphan_plan"
    assert entries[0].result == to_data(result) | {"kept": []}


def test_age_is_told_by_the_clock_of_the_store(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose clock is a week ahead must not take young files for old ones."""
    import lakeopt.workflows.remove_orphan_files as module

    table = lake.flights(days=1)
    plant(table, "data/young.parquet", days=1)

    class Ahead(module.datetime):  # type: ignore[name-defined, misc]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return super().now(tz) + module.timedelta(seconds=7 * DAY)

    monkeypatch.setattr(module, "datetime", Ahead)
    assert find_orphan_files(NAME).orphans == ()
