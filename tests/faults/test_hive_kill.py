"""kill -9 at random instants of rewrites of Hive tables: no row lost or doubled, and every file is explained."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from faults.kills import Kills
from hive_lake import Folder, HiveDatabase, HiveParquet, rows, visible

from lakeopt.config import load_settings
from lakeopt.tables.hive import layout_memory
from lakeopt.tables.hive.switch.record import NAME
from lakeopt.tables.open import open_table
from lakeopt.workflows.marks import marked
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


@pytest.mark.fault
@pytest.mark.parametrize(
    "kind", ["folder", pytest.param("metastore", marks=[pytest.mark.full, pytest.mark.service("Hive metastore")])]
)
def test_rows_and_files_survive_kill_at_any_instant(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(state))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    table = Folder(tmp_path / "hive" / "t")
    if kind == "metastore":
        database = HiveDatabase(request.getfixturevalue("hive").uri, tmp_path / "hive")
        for name, value in database.environment.items():
            monkeypatch.setenv(name, value)
        table = HiveParquet(database, "t")
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
        assert table.rows() == before, f"round {round_number}"
        kills.finish(command)
        assert table.rows() == before, f"round {round_number}, completed"
        assert unexplained(table) == [], f"round {round_number}"
        assert list(state.rglob("leases/*/*/*.json")) == []
        if round_number % 5 == 4:
            done = sweep(table.name, grace=0, no_concurrent_writers=True)
            assert (done.kept, done.failed) == ((), ())
            assert table.rows() == before
            assert unexplained(table) == []
