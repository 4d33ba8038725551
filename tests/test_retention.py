"""Partitions of a Hive table go by age or value, are swept later, and come back while their files are there."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hive_lake import Folder, HiveDatabase, HiveParquet, rows

import lakeopt
from lakeopt.cli.app import main
from lakeopt.errors import Refused, StalePlan, Unreachable, UsageError, WorkFailed
from lakeopt.model.plan import SortField
from lakeopt.parquet.output_file import disk_errors
from lakeopt.tables.open import open_table
from lakeopt.workflows.restore import restore
from lakeopt.workflows.retention import apply_retention, plan_retention
from lakeopt.workflows.sweep import sweep


def day(ago: int) -> str:
    return f"{datetime.now(UTC).date() - timedelta(days=ago):%Y-%m-%d}"


@pytest.fixture(params=["folder", pytest.param("metastore", marks=pytest.mark.service("Hive metastore"))])
def table(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Days of today, of 10, 40 and 100 days ago, and one that is none."""
    made: Folder
    if request.param == "metastore":
        database = HiveDatabase(request.getfixturevalue("hive").uri, tmp_path / "hive")
        for name, value in database.environment.items():
            monkeypatch.setenv(name, value)
        made = HiveParquet(database, "t")
    else:
        monkeypatch.setenv("LAKEOPT_STATE_DIR", str(tmp_path / "state"))
        made = Folder(tmp_path / "hive" / "t")
    for number, name in enumerate([day(0), day(10), day(40), day(100), "unknown"]):
        made.add(name, rows(100 * number, 20), rows(100 * number + 50, 20))
    return made


def seen(table: Folder) -> dict[str, int]:
    """Rows by partition, as lakeopt finds the table now."""
    found: dict[str, int] = {}
    for part in open_table(table.name).files():
        for partition, count in zip(part["partition"].to_pylist(), part["record_count"].to_pylist(), strict=True):
            found[partition] = found.get(partition, 0) + count
    return found


def files(table: Folder) -> set[Path]:
    return set(table.root.rglob("*.parquet"))


def test_old_partitions_go_come_back_and_are_swept(table: Folder) -> None:
    before, held = seen(table), files(table)
    plan = plan_retention(table.name, older_than="30d")
    assert [one.name for one in plan.partitions] == [f"day={day(100)}", f"day={day(40)}"]
    assert [one.reason for one in plan.kept] == ["day names no day"]
    assert (seen(table), files(table)) == (before, held)

    result = apply_retention(plan)
    assert len(result.dropped) == 2
    assert sum(seen(table).values()) == 3 * 40
    assert len(files(table)) == len(held)

    back = restore(table.name, result.plan_id)
    assert back.restored_files_count == 4
    assert (seen(table), files(table)) == (before, held)

    again = lakeopt.retention(table.name, older_than="30d")
    swept = sweep(table.name, grace=0, no_concurrent_writers=True)
    assert swept.deleted_files_count == again.marked_files_count == 4
    assert len(files(table)) == len(held) - 4
    assert sum(seen(table).values()) == 3 * 40
    with pytest.raises(Refused):
        restore(table.name, again.plan_id)


def test_what_a_rewrite_has_left_goes_with_its_partition(table: Folder) -> None:
    """Rows that are to go are not kept by what was replaced before: MSCK REPAIR would find them there."""
    assert lakeopt.rewrite(table.name, strategy="sort", sort_by=(SortField("word"),)).groups_done == 5
    done = lakeopt.retention(table.name, older_than="60d")
    assert done.dropped == (f"day={day(100)}",)
    assert sweep(table.name, grace=0, no_concurrent_writers=True).failed == ()
    assert not any(day(100) in str(path) for path in files(table))
    assert sum(seen(table).values()) == 4 * 40


def test_a_partition_that_a_writer_is_at_work_in_stays(table: Folder) -> None:
    (table.place(day(100)) / "_temporary").mkdir()
    plan = plan_retention(table.name, older_than="60d")
    assert plan.partitions == ()
    assert "another writer is at work in it: _temporary" in [one.reason for one in plan.kept]


def test_a_value_rule_takes_partition_columns_only(table: Folder) -> None:
    assert lakeopt.retention(table.name, where=f"day = '{day(10)}'").dropped == (f"day={day(10)}",)
    assert lakeopt.retention(table.name, where=f"day = '{day(40)}'", older_than="60d").dropped == ()
    with pytest.raises(Refused, match="'word' is no partition column"):
        plan_retention(table.name, where="word = 'x'")
    with pytest.raises(UsageError):
        plan_retention(table.name)


def test_a_partition_that_changed_since_stays(table: Folder) -> None:
    plan = plan_retention(table.name, older_than="30d")
    table.write(day(40), rows(9000, 5))
    result = apply_retention(plan)
    assert result.dropped == (f"day={day(100)}",)
    assert [one.path for one in result.kept] == ["day=unknown", f"day={day(40)}"]
    table.write(day(10), rows(9100, 5))
    with pytest.raises(StalePlan):
        apply_retention(plan)
    assert sum(seen(table).values()) == 4 * 40 + 10


def test_an_archive_holds_the_same_files(table: Folder, tmp_path: Path) -> None:
    held = {path.name: path.read_bytes() for path in files(table) if day(100) in str(path)}
    place = tmp_path / "archive"
    (place / f"day={day(100)}").mkdir(parents=True)  # what a run left that was killed at it
    (place / f"day={day(100)}" / f".{next(iter(held))}.part").write_bytes(b"PAR")
    result = lakeopt.retention(table.name, older_than="60d", archive_to=place.as_uri())
    assert result.archived_to == place.as_uri()
    assert {path.name: path.read_bytes() for path in (place / f"day={day(100)}").iterdir()} == held
    assert sum(seen(table).values()) == 4 * 40


def test_the_command_shows_first_and_a_partition_made_anew_is_left_alone(
    table: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["retention", table.name, "--older-than", "60d", "--dry-run"]) == 0
    assert "over since" in capsys.readouterr().out
    result = lakeopt.retention(table.name, older_than="60d")
    table.add(day(100), rows(7000, 3))
    with pytest.raises((Refused, StalePlan)):
        restore(table.name, result.plan_id)
    sweep(table.name, grace=0, no_concurrent_writers=True)
    new = [count for partition, count in seen(table).items() if day(100) in partition]
    assert new == [
        3 if table.name == str(table.root) else 43
    ]  # a folder is new; a metastore's partition is what lies there


def test_a_folder_that_cannot_be_moved_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(tmp_path / "state"))
    table = Folder(tmp_path / "hive" / "t")
    table.add(day(100), rows(0, 20))
    (table.root / ".lakeopt").write_text("somebody's file")
    with pytest.raises(WorkFailed, match="cannot be moved"):
        lakeopt.retention(table.name, older_than="60d")
    assert sum(seen(table).values()) == 20


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_what_may_not_be_written_is_said_plainly(number: int) -> None:
    with pytest.raises(Unreachable, match="may not be written: "), disk_errors("/t/a.parquet"):
        raise OSError(number, "from the system")


def test_what_is_no_hive_table_is_refused(lake: Any) -> None:
    lake.flights(days=1, rows_per_day=5)
    with pytest.raises(Refused, match="is no Hive table"):
        plan_retention("lake.db.flights", older_than="1d")
