"""kill -9 at random instants of work on Hive tables: no row lost or doubled, and every file is explained."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from faults.kills import Kills
from hive_lake import Folder, HiveDatabase, HiveParquet, rows, visible

import lakeopt
from lakeopt.config import load_settings
from lakeopt.errors import Refused
from lakeopt.tables.hive import layout_memory
from lakeopt.tables.hive.switch.record import NAME
from lakeopt.tables.open import open_table
from lakeopt.workflows.leases import is_void
from lakeopt.workflows.marks import marked
from lakeopt.workflows.restore import restore
from lakeopt.workflows.sweep import sweep

ROUNDS = 50 if os.environ.get("LAKEOPT_SOAK") else 5


def unexplained(table: Folder) -> list[Path]:
    """Files that are neither read nor marked nor a record, and folders of ours with nothing in them."""
    opened = open_table(table.name)
    marks = {file.path.removeprefix("file:") for some in marked(opened, load_settings()) for file in some.files}
    known = {path for day in table.days() for path in visible(table.place(day))}
    known |= {table.place(day) / NAME for day in table.days()}
    own = table.root / ".lakeopt"
    known |= {
        own / layout_memory.NAME,
        own / f"{layout_memory.NAME}.part",
    }  # the latter is written over by the next run
    found = [path for path in table.root.rglob("*") if path.is_file() and path not in known and str(path) not in marks]
    folders = [path for path in own.rglob("*") if path.is_dir() and ".exchange-" not in str(path)]
    return found + [path for path in folders if not any(path.iterdir())]


def _table(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Folder, Path]:
    """An empty table of a kind, and where its state is."""
    state = tmp_path / "state"
    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(state))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    if kind != "metastore":
        return Folder(tmp_path / "hive" / "t"), state
    database = HiveDatabase(request.getfixturevalue("hive").uri, tmp_path / "hive")
    for name, value in database.environment.items():
        monkeypatch.setenv(name, value)
    return HiveParquet(database, "t"), state


@pytest.mark.fault
@pytest.mark.parametrize(
    "kind", ["folder", pytest.param("metastore", marks=[pytest.mark.full, pytest.mark.service("Hive metastore")])]
)
def test_rows_and_files_survive_kill_at_any_instant(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, state = _table(kind, request, tmp_path, monkeypatch)
    days = ("a", "b", "c")
    for number, day in enumerate(days):
        table.add(day, *(rows(10_000 * number + 1000 * file, 1000) for file in range(3)))
    kills = Kills(request, state, wanted=ROUNDS, seed=20261127)
    command = ["rewrite", table.name, "--sort-by", "word", "--yes", "--json"]
    kills.finish(command)
    for round_number in kills.rounds():
        for day in days:
            table.write(day, rows(1_000_000 + 1000 * round_number, 300), table.place(day))
        before = table.rows()
        kills.kill(command)
        table.unlock()
        assert table.rows() == before, f"round {round_number}"
        kills.finish(command)
        assert table.rows() == before, f"round {round_number}, completed"
        assert unexplained(table) == [], f"round {round_number}"
        # Killed between its last event and the return of its leases a run keeps nobody away, and nobody clears them.
        assert all(is_void(json.loads(lease.read_text())) for lease in state.rglob("leases/*/*/*.json"))
        if round_number % 5 == 4:
            done = sweep(table.name, grace=0, no_concurrent_writers=True)
            assert done.failed == ()
            # A metastore may still be at work on the switch of a process that is gone: its files wait for the grace.
            assert not done.kept or kind == "metastore", done.kept
            assert all(kept.reason.startswith("in use by the running plan") for kept in done.kept), done.kept
            assert table.rows() == before
            assert unexplained(table) == []


@pytest.mark.fault
@pytest.mark.parametrize(
    "kind", ["folder", pytest.param("metastore", marks=[pytest.mark.full, pytest.mark.service("Hive metastore")])]
)
def test_partitions_go_whole_or_not_at_all_and_come_back(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention killed anywhere and run again: what is young stays, what went can come back until a sweep."""
    table, state = _table(kind, request, tmp_path, monkeypatch)
    table.add("2099-01-01", rows(0, 100), rows(100, 100))
    kills = Kills(request, state, wanted=ROUNDS, seed=20261128)
    command = ["retention", table.name, "--older-than", "30d", "--yes", "--json"]
    for round_number in range(2):  # how long it takes is known from runs that have work to do
        _old_days(table, round_number)
        kills.finish(command)
    for round_number in kills.rounds():
        _old_days(table, 10 + round_number)
        before, known = table.rows(), {entry.plan_id for entry in lakeopt.history(table.name).entries}
        kills.kill(command)
        table.unlock()
        left = table.rows()
        assert left == {day: before[day] for day in left}, f"round {round_number}"
        kills.finish(command)
        assert list(table.rows()) == ["2099-01-01"], f"round {round_number}, completed"
        plans = {entry.plan_id for entry in lakeopt.history(table.name).entries} - known
        for plan in plans:
            with contextlib.suppress(Refused):  # it was hit before it took anything out
                restore(table.name, plan)
        assert table.rows() == before, f"round {round_number}, restored"
        kills.finish(command)
        done = sweep(table.name, grace=0, no_concurrent_writers=True)
        assert done.failed == ()
        assert table.rows() == {"2099-01-01": before["2099-01-01"]}
        assert [path for path in table.root.rglob("*.parquet") if "2099" not in str(path)] == []


def _old_days(table: Folder, number: int) -> None:
    for month in (1, 2, 3):
        table.add(f"{2000 + number // 28}-{month:02d}-{number % 28 + 1:02d}", rows(1000 * month, 20), rows(0, 20))
