"""Rewrites of Hive tables by a switch: of a metastore's partition, and of a folder by an exchange of directories."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hive_lake import Folder, HiveDatabase, HiveParquet, read, rows, visible

import lakeopt
from lakeopt.cli.app import main
from lakeopt.config import load_settings
from lakeopt.errors import CommitConflict, Refused, StalePlan
from lakeopt.maintenance.sweep import REACHED
from lakeopt.model.plan import RewritePlan, SortField
from lakeopt.tables.hive.switch import locks
from lakeopt.tables.hive.switch.record import Switch, read_record, write_record
from lakeopt.tables.iceberg.catalog import connect
from lakeopt.tables.open import open_table
from lakeopt.workflows import journal
from lakeopt.workflows.late_files import adopt_late
from lakeopt.workflows.marks import marked
from lakeopt.workflows.migrate import migrate
from lakeopt.workflows.restore import plan_restore, restore
from lakeopt.workflows.sweep import plan_sweep, sweep

KEY = (SortField("word"),)


@pytest.fixture(params=["folder", pytest.param("metastore", marks=pytest.mark.service("Hive metastore"))])
def table(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Two days of three files each."""
    made: Folder
    if request.param == "metastore":
        database = HiveDatabase(request.getfixturevalue("hive").uri, tmp_path / "hive")
        for name, value in database.environment.items():
            monkeypatch.setenv(name, value)
        made = HiveParquet(database, "t")
    else:
        monkeypatch.setenv("LAKEOPT_STATE_DIR", str(tmp_path / "state"))
        made = Folder(tmp_path / "hive" / "t")
    for number, day in enumerate(("a", "b")):
        made.add(day, *(rows(1000 * number + 100 * file, 100) for file in range(3)))
    return made


def planned(table: Folder, **more: Any) -> RewritePlan:
    return lakeopt.plan(table.name, strategy="sort", sort_by=KEY, **more)


def swept(table: Folder) -> Any:
    return sweep(table.name, grace=0, no_concurrent_writers=True)


def local(location: str) -> Path:
    """The path of a location, which a metastore spells with one slash."""
    return Path(re.sub("^file:/*", "/", location))


def marks(table: Folder) -> set[Path]:
    found = marked(open_table(table.name), load_settings())
    return {local(file.path) for some in found for file in some.files}


def hidden(table: Folder) -> list[Path]:
    """What lies in lakeopt's own folder of the table, but for the note of its layout."""
    return sorted(
        path for path in (table.root / ".lakeopt").rglob("*") if path.is_file() and path.name != "layout.json"
    )


def test_a_rewrite_lets_each_partition_lie_in_a_folder_that_is_whole(table: Folder) -> None:
    before, places = table.rows(), {day: table.place(day) for day in ("a", "b")}
    result = lakeopt.apply(planned(table))
    assert (result.groups_done, result.groups_failed, result.rewritten_data_files_count) == (2, 0, 6)
    assert table.rows() == before
    assert [len(visible(table.place(day))) for day in ("a", "b")] == [1, 1]
    for day in ("a", "b"):
        assert table.place(day).name == f"day={day}"
        [switch] = read_record(open_table(table.name), str(table.place(day)))
        assert str(switch.switch_id) in result.snapshot_ids
        assert read(local(switch.replaced)) == before[day]  # the old files are whole, and marked
    assert len([path for path in marks(table) if path.suffix == ".parquet"]) == 6
    if isinstance(table, HiveParquet):
        assert all(table.place(day) != places[day] for day in places)
        said = table.described("a").parameters
        assert (said["numRows"], said["numFiles"]) == ("300", "1")
        assert said["totalSize"] == str(visible(table.place("a"))[0].stat().st_size)
        assert said["lakeopt.switch-id"] in result.snapshot_ids
    again = lakeopt.apply(planned(table))
    assert (again.groups_done, again.groups_failed) == (0, 0)


def test_restore_switches_back_and_sweep_deletes_what_is_out_of_use(table: Folder) -> None:
    before, files = table.rows(), {day: visible(table.place(day)) for day in ("a", "b")}
    plan = planned(table)
    lakeopt.apply(plan)
    assert [column.name for column in open_table(table.name).sort_key()] == ["word"]
    back = restore(table.name, plan.plan_id)
    assert open_table(table.name).sort_key() == ()  # the files are not in it any more
    assert (back.restored_files_count, back.kept, back.failed) == (6, (), ())
    assert table.rows() == before
    assert {day: visible(table.place(day)) for day in ("a", "b")} == files
    assert restore(table.name, plan.plan_id).restored_files_count == 6  # done before: nothing happens
    done = swept(table)
    assert {one.reason for one in done.kept} <= {REACHED}  # of a metastore: what was marked before is read again
    assert done.failed == ()
    assert table.rows() == before
    assert hidden(table) == []
    assert lakeopt.apply(planned(table)).groups_done == 2
    assert table.rows() == before
    assert swept(table).failed == ()
    assert table.rows() == before
    assert marks(table) == set()
    with pytest.raises(StalePlan, match=r"old files are gone|someone else"):
        restore(table.name, plan.plan_id)


def test_who_may_read_a_partition_may_read_it_after_a_switch(table: Folder) -> None:
    """And nobody else: a private partition stays private, one that is shared is so whatever the process's mask is."""
    modes = {"a": (0o2770, 0o660), "b": (0o755, 0o444)}
    for day, (folder, file) in modes.items():
        table.place(day).chmod(folder)
        for path in visible(table.place(day)):
            path.chmod(file)
    table.root.chmod(0o751)
    mask = os.umask(0o077)
    try:
        assert lakeopt.apply(planned(table)).groups_done == 2
    finally:
        os.umask(mask)
    for day, (folder, file) in modes.items():
        place = table.place(day)
        assert [stat.S_IMODE(path.stat().st_mode) for path in (place, *visible(place))] == [folder, file]
        above = [one for one in place.parents if table.root in one.parents]
        assert [stat.S_IMODE(one.stat().st_mode) for one in above] == [0o751] * len(above)
    assert (len(above) > 0) == isinstance(table, HiveParquet)


def test_a_sweep_and_a_restore_leave_each_other_alone(table: Folder) -> None:
    """What one is about to delete the other would let be read again, between two looks of either."""
    before, plan = table.rows(), planned(table)
    lakeopt.apply(plan)
    opened, settings = open_table(table.name), load_settings()
    sweeping = journal.start(opened, plan_sweep(table.name, grace=0, no_concurrent_writers=True), "sweep", settings)
    with pytest.raises(StalePlan, match="is deleting files of"):
        restore(table.name, plan.plan_id)
    sweeping.write("interrupted", error="test")
    restoring = journal.start(opened, plan_restore(table.name, plan.plan_id), "restore", settings)
    done = swept(table)
    assert done.deleted_files_count == 0
    assert all(one.reason.startswith("in use by the running plan") for one in done.kept)
    restoring.write("interrupted", error="test")
    assert restore(table.name, plan.plan_id).restored_files_count == 6
    assert table.rows() == before


def test_rows_added_since_the_plan_stop_the_rewrite_of_their_partition(table: Folder) -> None:
    plan = planned(table)
    table.write("a", rows(5000, 10), table.place("a"))
    result = lakeopt.apply(plan)
    assert (result.groups_done, result.groups_failed) == (1, 1)
    assert "changed since the plan" in result.failed[0].error
    assert len(table.rows()["a"]) == 310
    one = planned(table, where="day = 'a'")
    table.write("a", rows(6000, 10), table.place("a"))
    with pytest.raises(StalePlan) as caught:
        lakeopt.apply(one)
    assert caught.value.exit_code == 4
    assert len(table.rows()["a"]) == 320


def test_a_record_forgets_what_was_swept(table: Folder) -> None:
    opened, place = open_table(table.name), str(table.place("a"))
    gone = [
        Switch(one, "p", ("a",), f"{table.root}/.lakeopt/{one}/day=a", place, {"x": (1, 1)}, {}) for one in range(20)
    ]
    there = replace(gone[7], replaced=str(table.place("b")))
    write_record(opened, place, [*gone[:7], there, *gone[8:]])
    assert lakeopt.apply(planned(table, where="day = 'a'")).groups_done == 1
    found = read_record(open_table(table.name), str(table.place("a")))
    assert [one.switch_id for one in found[1:]] == [7]
    assert read(local(found[0].replaced)) == table.rows()["a"]


def test_rows_added_since_the_rewrite_keep_it_from_being_undone(table: Folder) -> None:
    plan = planned(table)
    lakeopt.apply(plan)
    table.write("a", rows(5000, 10), table.place("a"))
    back = restore(table.name, plan.plan_id)
    assert back.restored_files_count == 3
    [kept] = back.kept
    assert "files were added to it" in kept.reason
    assert len(table.rows()["a"]) == 310
    assert len(visible(table.place("b"))) == 3


def late_file(table: Folder, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Another writer's file comes between the last check and the switch of day ``a``."""
    from lakeopt.tables.hive.switch import directory_switch
    from lakeopt.tables.hive.switch.metastore_switch import MetastoreSwitch

    came: list[Path] = []

    def write() -> None:
        if not came:
            came.append(table.write("a", rows(7000, 5), table.place("a")))

    alter, exchange = MetastoreSwitch._alter, directory_switch.exchange
    monkeypatch.setattr(MetastoreSwitch, "_alter", lambda self, change: (write(), alter(self, change)))
    monkeypatch.setattr(directory_switch, "exchange", lambda left, right: (write(), exchange(left, right)))
    return came


def test_a_file_that_comes_while_its_partition_is_switched_is_kept_reported_and_adopted(
    table: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = table.rows()
    saved = tmp_path / "plan.json"
    words = ["rewrite", table.name, "--sort-by", "word", "--where", "day = 'a'", "--yes", "-o", str(saved), "--json"]
    with monkeypatch.context() as during:
        came = late_file(table, during)
        assert main(words) == 1
    result = json.loads(capsys.readouterr().out)
    assert "came late to the old folder" in result["failed"][0]["error"]
    assert result["groups_done"] == 1
    assert table.rows() == before
    done = swept(table)
    assert done.deleted_files_count == 0
    assert any("came late" in one.error for one in done.failed)
    assert main(["apply", str(saved), "--yes", "--json"]) == 0
    assert len(table.rows()["a"]) == 305
    assert came[0].name in [path.name for path in visible(table.place("a"))]
    assert swept(table).failed == ()
    assert len(table.rows()["a"]) == 305
    assert adopt_late(open_table(table.name), load_settings()) == {}


def test_restore_brings_back_a_late_file_with_the_old_ones(table: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(table, where="day = 'a'")
    with monkeypatch.context() as during:
        late_file(table, during)
        assert lakeopt.apply(plan).groups_failed == 1
    assert len(table.rows()["a"]) == 300
    restore(table.name, plan.plan_id)
    assert len(table.rows()["a"]) == 305


def test_a_writer_that_prepares_files_stops_the_rewrite(table: Folder) -> None:
    plan = planned(table)
    (table.root / "_temporary" / "0").mkdir(parents=True)
    with pytest.raises(CommitConflict, match="another writer is at work"):
        lakeopt.apply(plan)
    assert hidden(table) == []


@pytest.mark.service("Hive metastore")
class TestOfAMetastore:
    """What only a metastore has: locks, partitions that are dropped and added, tables without partitions."""

    @pytest.fixture
    def database(self, hive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HiveDatabase:
        made = HiveDatabase(hive.uri, tmp_path / "hive")
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        return made

    def test_a_partition_that_was_dropped_is_left_alone_and_reported(self, database: HiveDatabase) -> None:
        table = HiveParquet(database, "t")
        table.add("a", rows(0, 50), rows(50, 50))
        table.add("b", rows(100, 50), rows(150, 50))
        plan = planned(table)
        lakeopt.apply(plan)
        table.drop("a")
        done = swept(table)
        assert {one.reason for one in done.kept} == {
            "its partition was dropped, made anew or moved by someone else since"
        }
        assert len(visible(table.root / "day=a")) == 2
        assert not (table.root / "day=b").exists()
        table.add("a", rows(900, 10))  # at the old place, with what still lies there: as of an external table
        assert swept(table).deleted_files_count == 0
        assert len(table.rows()["a"]) == 110

    @pytest.mark.parametrize("below", ["", "day=a"])
    def test_files_of_a_folder_that_two_tables_lie_in_stay(self, database: HiveDatabase, below: str) -> None:
        """An external table over the folder of another, or over one partition's, is an old way to share rows."""
        table, other = HiveParquet(database, "t"), HiveParquet(database, "u", managed=False)
        table.add("a", rows(0, 50), rows(50, 50))
        plan = planned(table)
        lakeopt.apply(plan)
        other.relocate(table.root / below)
        with pytest.raises(Refused, match=rf"the table {other.name} may read its files"):
            swept(table)
        assert len(visible(table.root / "day=a")) == 2
        table.add("b", rows(100, 50), rows(150, 50))
        skipped = {one.partition: one.reason for one in planned(table).skipped}
        assert skipped['{"day": "b"}'].startswith(f"the table {other.name} may read its files")
        other.relocate(other.root)
        assert swept(table).failed == ()
        assert not (table.root / "day=a").exists()
        saved = planned(table)
        other.relocate(table.root / below)
        with pytest.raises(Refused, match="may read its files"):
            lakeopt.apply(saved)

    def test_a_table_without_partitions_is_switched_as_a_whole(self, database: HiveDatabase) -> None:
        table = HiveParquet(database, "whole", managed=False, partitioned=False)
        table.add("", rows(0, 100), rows(100, 100))
        before = table.rows()
        plan = planned(table)
        assert lakeopt.apply(plan).groups_done == 1
        assert table.rows() == before
        assert table.place() != table.root
        assert restore(table.name, plan.plan_id).restored_files_count == 2
        assert table.place() == table.root
        swept(table)
        assert table.rows() == before

    def test_a_table_that_only_spark_can_read_is_switched_where_spark_reads_it(self, database: HiveDatabase) -> None:
        """Its storage descriptor names a folder that is not there; ``path`` says where it lies."""
        table = HiveParquet(database, "spark", managed=False, partitioned=False)
        table.add("", rows(0, 100), rows(100, 100))
        with database.connected() as client:
            described = client.get_table(database.name, "spark")
            described.parameters |= {"spark.sql.sources.provider": "parquet"}
            described.sd.serdeInfo.parameters |= {"path": f"file:{table.root}"}
            described.sd.location = f"file:{table.root}-__PLACEHOLDER__"
            client.alter_table(database.name, "spark", described)
        plan = planned(table)
        assert lakeopt.apply(plan).groups_done == 1
        sd = table.described().sd
        assert sd.serdeInfo.parameters["path"] == sd.location
        assert read(local(sd.location)) == read(table.root)
        assert len(visible(local(sd.location))) == 1
        assert restore(table.name, plan.plan_id).restored_files_count == 2
        assert local(table.described().sd.serdeInfo.parameters["path"]) == table.root

    def test_a_lock_of_another_writer_is_waited_for_and_named(
        self, database: HiveDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from hive_metastore.ttypes import LockComponent, LockRequest, UnlockRequest

        table = HiveParquet(database, "t")
        table.add("a", rows(0, 50), rows(50, 50))
        monkeypatch.setattr(locks, "PATIENCE", 0.3)
        with database.connected() as client:
            component = LockComponent(type=3, level=2, dbname=database.name, tablename="t", isTransactional=True)
            held = client.lock(LockRequest(component=[component], user="someone", hostname="elsewhere")).lockid
        plan = planned(table)
        with pytest.raises(CommitConflict, match=rf"lock {held} of someone@elsewhere"):
            lakeopt.apply(plan)
        assert hidden(table) == []
        with database.connected() as client:
            client.unlock(UnlockRequest(lockid=held))
        assert lakeopt.apply(plan).groups_done == 1

    def test_spark_statistics_and_what_hive_calls_accurate_stay_true(self, database: HiveDatabase) -> None:
        table = HiveParquet(database, "t")
        table.add("a", rows(0, 50), rows(50, 50))
        with database.connected() as client:
            partition = client.get_partition(database.name, "t", ["a"])
            partition.parameters |= {
                "COLUMN_STATS_ACCURATE": '{"BASIC_STATS":"true","COLUMN_STATS":{"id":"true"}}',
                "spark.sql.statistics.totalSize": "1",
                "numRows": "7",  # of a writer that did not count
            }
            client.alter_partition(database.name, "t", partition)
        lakeopt.apply(planned(table))
        said = table.described("a").parameters
        assert json.loads(said["COLUMN_STATS_ACCURATE"]) == {"BASIC_STATS": "true"}
        assert (said["numRows"], said["spark.sql.statistics.totalSize"]) == ("100", said["totalSize"])


def test_where_folders_cannot_be_exchanged_only_a_copy_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakeopt.tables.hive.switch import exchange

    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(tmp_path / "state"))
    table = Folder(tmp_path / "t")
    table.add("a", rows(0, 50), rows(50, 50))
    before = table.rows()
    monkeypatch.setattr(exchange, "_renameat2", lambda: None)
    with pytest.raises(Refused, match="exchanges no directories") as caught:
        lakeopt.apply(planned(table))
    assert "--in-new-location" in str(caught.value.hint)
    result = lakeopt.apply(planned(table, in_new_location=True))
    assert result.groups_done == 1
    assert table.rows() == before
    [copy] = {path.parent for path in hidden(table) if path.suffix == ".parquet"}
    assert read(copy) == before["a"]
    assert len(visible(table.place("a"))) == 2


@pytest.mark.parametrize(
    "table", [pytest.param("metastore", marks=pytest.mark.service("Hive metastore"))], indirect=True
)  # a folder is not rewritten then: tests/test_migrate.py
@pytest.mark.parametrize("journalled", [True, False])
def test_files_that_an_iceberg_table_reads_in_place_are_never_swept(
    table: Folder, journalled: bool, tmp_path: Path
) -> None:
    """Whoever made it: Spark's ``snapshot`` is in no journal, and a table that was renamed has a journal of its own."""
    made = table.name.rpartition(".")[0] + ".in_place"
    migrate(table.name, made)
    iceberg = connect(made.split(".")[0]).load_table(made.split(".", 1)[1])
    before, held = table.rows(), iceberg.scan().to_arrow()
    if not journalled:
        shutil.rmtree(tmp_path / "state")
    lakeopt.apply(planned(table))
    done = swept(table)
    assert done.deleted_files_count == 0
    assert {one.reason for one in done.kept} == {
        f"{made} was made of this table in place and reads it" if journalled else f"{made} reads it"
    }
    assert iceberg.scan().to_arrow().equals(held)
    assert table.rows() == before
    iceberg.catalog.drop_table(iceberg.name())
    assert swept(table).deleted_files_count >= 6
    assert table.rows() == before
