"""Orphan removal against a second process that writes, and against kill -9: no file is lost, whatever the instant."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.kills import Kills
from faults.second_process import SecondProcess
from lake import Lake, flights
from orphans import age, files, folder, local, plant, reached

import lakeopt
from lakeopt.maintenance.remove_orphan_files import Candidates
from lakeopt.tables.iceberg.deletion.reach import Reach
from lakeopt.workflows import quarantine
from lakeopt.workflows.remove_orphan_files import find_orphan_files, quarantine_orphan_files

NAME = "lake.db.t"
REMOVE = ["remove-orphan-files", NAME, "--yes", "--json"]
COMMAND = [sys.executable, "-m", "lakeopt", *REMOVE]
ROUNDS = 40 if os.environ.get("LAKEOPT_SOAK") else 3
#: Files to move, so that a kill comes between two of them.
FILES = 1200 if os.environ.get("LAKEOPT_SOAK") else 400


@pytest.fixture
def second() -> Iterator[SecondProcess]:
    with SecondProcess() as process:
        yield process


#: A data file that is written and waits for its commit; its time says that it is old, as that of a copied file does.
WRITE = """
import os
from lake import flights
file = lake.data_file(table, flights(9, 50), name="pending.parquet")
os.utime(file.file_path.removeprefix("file://"), (1, 1))
"""
COMMIT = """
from lake import flights
file = lake.data_file(table, flights(9, 50), name="again.parquet")
file[1] = file.file_path.replace("again", "pending")
lake.land(table, file)
"""


@pytest.mark.fault
@pytest.mark.parametrize("instant", ["listed", "read", "planned", "moved"])
def test_commit_of_an_old_file_at_each_instant(
    lake: Lake, second: SecondProcess, monkeypatch: pytest.MonkeyPatch, instant: str
) -> None:
    """The hardest case: a writer's file is as old as an orphan, and its commit comes while orphans are removed."""
    table = lake.append(lake.create("db.t", flights(0, 1).schema), flights(0, 100))
    second.run(lake.root, WRITE)
    dead = plant(table, "data/dead.parquet")

    def commit() -> None:
        second.run(lake.root, COMMIT)

    def after(owner: type | object, name: str, once: list[bool]) -> None:
        real = getattr(owner, name)

        def then(*arguments: object, **options: object) -> object:
            value = real(*arguments, **options)
            if not once:
                once.append(True)
                commit()
            return value

        monkeypatch.setattr(owner, name, then)

    if instant == "listed":
        after(Candidates, "add", [])
    elif instant == "read":
        after(Reach, "require_same_spelling", [])
    plan = find_orphan_files(NAME)
    if instant == "planned":
        commit()
    elif instant == "moved":
        after(quarantine, "move_in", [])
    result = quarantine_orphan_files(plan)
    assert not dead.exists()
    assert result.failed == ()
    assert result.restored_files_count == (1 if instant == "moved" else 0)
    assert len(lake.load("db.t").scan().to_arrow()) == 150


@pytest.mark.fault
def test_the_incident_and_its_remedy(lake: Lake, second: SecondProcess) -> None:
    """One process commits while another removes what it takes for orphans: naive removal breaks the table."""
    append = "from lake import flights; lake.append(table, flights(3, 100))"
    lake.append(lake.create("db.t", flights(0, 1).schema), flights(0, 100))
    age(folder(lake.load("db.t")))
    view = reached(lake.load("db.t"))
    second.run(lake.root, append)
    result = lakeopt.remove_orphan_files(NAME)  # as late as the naive one, with nothing known of the other process
    assert result.quarantined_files_count == 0
    table = lake.load("db.t")
    assert len(table.scan().to_arrow()) == 200
    for path in [path for path in folder(table).rglob("*") if path.is_file() and path not in view]:
        path.unlink()
    with pytest.raises(FileNotFoundError):
        lake.load("db.t")


@pytest.fixture(params=["rename", "copy"])
def state(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory in the warehouse's file system, and one in another, where a move is a copy."""
    if request.param == "rename":
        yield tmp_path / "lake" / "warehouse" / "_lakeopt"
        return
    other = Path("/dev/shm")
    if not os.access(other, os.W_OK) or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("this machine has no second file system at /dev/shm")
    place = other / f"lakeopt-{os.getpid()}-{tmp_path.name}"
    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(place))
    yield place
    subprocess.run(["rm", "-rf", str(place)], check=True)


def everywhere(place: Path, state: Path) -> dict[str, bytes]:
    """All files of the table by their path below it: those in place, and those in the quarantine by its manifests.

    Copies that are not whole yet are left out; at the end there must be none.
    """
    found = {path: content for path, content in files(place).items() if not path.endswith(".part")}
    for manifest in state.glob("quarantine/*/*/manifest-*.json"):
        for file in json.loads(manifest.read_text())["files"]:
            stored = manifest.parent / file["stored"]
            if stored.exists() and file["path"] not in found:
                found[file["path"]] = stored.read_bytes()
    return found


@pytest.mark.fault
def test_kill_at_any_instant_loses_no_file(lake: Lake, state: Path, request: pytest.FixtureRequest) -> None:
    kills = Kills(request, state, wanted=ROUNDS, seed=20261124)
    table = lake.append(lake.create("db.t", flights(0, 1).schema), flights(0, 100))
    for number in range(FILES):
        plant(table, f"data/{number}.parquet", str(number).encode())
    age(folder(table))
    whole = files(folder(table))
    lakeopt.restore(NAME, json.loads(kills.finish(REMOVE))["plan_id"])
    for number in kills.rounds():
        kills.kill(REMOVE)
        assert everywhere(folder(table), state) == whole, f"round {number}"
        assert len(lake.load("db.t").scan().to_arrow()) == 100
        if number % 2:
            assert json.loads(kills.finish(REMOVE))["failed"] == []
            assert everywhere(folder(table), state) == whole, f"round {number}, completed"
            assert find_orphan_files(NAME).orphans == ()
        for plan in sorted(path.name for path in state.glob("quarantine/*/*")):
            back = lakeopt.restore(NAME, plan)
            assert back.failed == ()
        assert files(folder(table)) == whole, f"round {number}, restored"
        assert [path for path in state.glob("quarantine/*/*/*") if path.is_file()] == []


@pytest.mark.fault
def test_kill_while_files_are_brought_back(lake: Lake, state: Path) -> None:
    table = lake.append(lake.create("db.t", flights(0, 1).schema), flights(0, 100))
    for number in range(600):
        plant(table, f"data/{number}.parquet", str(number).encode())
    whole = files(folder(table))
    plan = lakeopt.remove_orphan_files(NAME).plan_id
    command = [sys.executable, "-m", "lakeopt", "restore", NAME, "--plan", plan, "--yes", "--quiet"]
    chance = random.Random(5)
    for number in range(ROUNDS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.5, 2.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert everywhere(folder(table), state) == whole, f"round {number}"
    assert subprocess.run(command, check=False).returncode == 0
    assert files(folder(table)) == whole


@pytest.mark.fault
def test_two_removals_at_once(lake: Lake) -> None:
    table = lake.append(lake.create("db.t", flights(0, 1).schema), flights(0, 100))
    for number in range(300):
        plant(table, f"data/{number}.parquet")
    both = [subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    results = [json.loads(process.communicate()[0]) for process in both]
    assert sum(result["quarantined_files_count"] for result in results) == 300
    assert [result["failed"] for result in results] == [[], []]
    assert all(path in {str(one) for one in folder(table).rglob("*")} for path in map(str, reached(table)))
    assert local(table.metadata_location).exists()
