"""The disk fills at each write, or may only be read: every clean-up command says so, and the table is as it was.

The disk is a real one: a small tmpfs, filled so that only so many pages are free. Once all lies on it, once only the
state directory, and once only the tables: then moves to the quarantine and back are copies. The commands run in a
process of their own, which is gone when the clean-ups come after it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hand_rewrite import rows_of
from lake import Lake, flights
from pyiceberg.table import Table

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by file

from small_disk import Disk, small_disk

import lakeopt
from lakeopt.cli.app import main
from lakeopt.model.plan import SortField
from lakeopt.tables.iceberg.deletion.reachable import reachable_files

pytestmark = pytest.mark.fault

NAME = "lake.db.flights"
NOW = ["--no-concurrent-writers", "--yes"]
COMMANDS = {
    "rewrite-manifests": ["rewrite-manifests", NAME, "--yes"],
    "expire-snapshots": ["expire-snapshots", NAME, "--older-than", "0s", "--yes"],
    "sweep": ["sweep", NAME, "--grace", "0s", *NOW],
    "remove-orphan-files": ["remove-orphan-files", NAME, "--older-than", "0s", *NOW],
}
#: Free pages: with none nothing can be written at all; none of the commands writes as many as the most here.
PAGES = range(14) if os.environ.get("LAKEOPT_SOAK") else (0, 1, 2, 3, 6)
#: What lies on the small disk, and the commands for which it is full, one after the other.
CASES = {
    "all": ["rewrite-manifests", "expire-snapshots", "sweep", "remove-orphan-files"],
    "state": ["rewrite-manifests", "expire-snapshots", "remove-orphan-files"],
    "table": ["restore"],
}
CHILD = """
import contextlib, io, json, sys
from lakeopt.cli.app import main
for line in sys.stdin:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(json.loads(line))
    print(json.dumps([code, said.getvalue()]), flush=True)
"""


class Worker:
    """A process that carries out one command after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, words: Sequence[str]) -> tuple[int, str]:
        """The exit code of a command, and what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        code, said = json.loads(self._process.stdout.readline())
        return code, said


@contextmanager
def worker() -> Iterator[Worker]:
    command = [sys.executable, "-W", "ignore", "-c", CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Worker(process)


@pytest.fixture
def where() -> str:
    """What lies on the small disk."""
    return "all"


@pytest.fixture
def disk(tmp_path: Path, where: str) -> Iterator[Disk]:
    folder = {"all": "lake", "state": "state", "table": "lake/warehouse"}[where]
    with small_disk(tmp_path / folder) as made:
        yield made


@pytest.fixture
def own_lake(disk: Disk, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    lake = Lake(tmp_path / "lake")
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    if where != "all":
        monkeypatch.setenv("LAKEOPT_STATE_DIR", (tmp_path / "state").as_uri())
    return lake


def prepare(lake: Lake) -> Table:
    """Many small manifests, snapshots to expire, marked files, and orphans of several pages."""
    made = lake.flights(days=3, rows_per_day=20)
    lakeopt.rewrite(NAME, strategy="sort", sort_by=(SortField("dest"),))
    assert main([*COMMANDS["expire-snapshots"], "--quiet"]) == 0
    for day in range(3, 6):
        made = lake.append(made, flights(day, 20))
    for number, path in enumerate(orphans(made)):
        path.write_bytes(bytes([number]) * 9_000)
    return lake.load("db.flights")


def orphans(table: Table) -> list[Path]:
    folder = Path(table.location().removeprefix("file://"))
    return [folder / "data" / f"orphan-{number}.parquet" for number in range(3)]


def state_of(lake: Lake) -> Path:
    state = os.environ.get("LAKEOPT_STATE_DIR", (lake.warehouse / "_lakeopt").as_uri())
    return Path(state.removeprefix("file://"))


def unexplained(lake: Lake) -> set[str]:
    """Files that neither the table nor lakeopt's journal can account for after all clean-ups are done."""
    table = lake.load("db.flights")
    known = {path.removeprefix("file://") for part in reachable_files(table) for path in part["file_path"].to_pylist()}
    folder = Path(table.location().removeprefix("file://"))
    found = {str(path) for path in folder.rglob("*") if path.is_file()} - known
    state = [path for path in state_of(lake).rglob("*") if path.is_file()]
    return found | {
        str(path) for path in state if path.suffix != ".json" or state_of(lake) / "journal" not in path.parents
    }


def clean_up(lake: Lake) -> None:
    """Every clean-up once more, with room for all; the last sweep empties the quarantine."""
    for name in ("expire-snapshots", "sweep", "remove-orphan-files", "sweep"):
        assert main([*COMMANDS[name], "--quiet"]) == 0, name
    assert unexplained(lake) == set()


@pytest.mark.slow
@pytest.mark.parametrize("where", CASES)
def test_a_disk_that_fills_at_each_write(own_lake: Lake, disk: Disk, where: str) -> None:
    table = prepare(own_lake)
    rows = rows_of(table)
    with worker() as process:
        for name in CASES[where]:
            words = COMMANDS.get(name) or restore_words()
            codes = []
            for pages in PAGES:
                with disk.room_for(pages):
                    code, said = process.run(words)
                codes.append(code)
                assert code in (0, 1, 3), (name, pages, code, said)
                assert code == 0 or "no space left" in said.lower(), (name, pages, code, said)
                assert "internal error" not in said
                assert rows_of(own_lake.load("db.flights")) == rows, (name, pages)
            assert codes[0] == 1, name
            assert process.run(words)[0] == 0, name
            if name == "restore":
                assert [path.read_bytes() for path in orphans(table)] == [bytes([n]) * 9_000 for n in range(3)]
    clean_up(own_lake)
    assert rows_of(own_lake.load("db.flights")) == rows


def restore_words() -> list[str]:
    """Move the orphans to the quarantine; the command that brings them back."""
    plan = lakeopt.remove_orphan_files(NAME, older_than=0, no_concurrent_writers=True).plan_id
    return ["restore", NAME, "--plan", plan, "--yes"]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["table", "state"])
def test_a_disk_that_may_only_be_read(own_lake: Lake, disk: Disk, where: str) -> None:
    """The table, or what lakeopt remembers of it, cannot be written: it is refused or said, and nothing is lost."""
    table = prepare(own_lake)
    rows, location = rows_of(table), table.metadata_location
    with worker() as process, disk.read_only():
        for name, words in COMMANDS.items():
            code, said = process.run(words)
            assert code in (1, 2, 3), (name, code, said)
            assert "Read-only file system" in said, name
            assert "internal error" not in said
            assert own_lake.load("db.flights").metadata_location == location
    assert all(path.stat().st_size == 9_000 for path in orphans(table))
    for name, words in COMMANDS.items():
        assert main([*words, "--quiet"]) == 0, name
    clean_up(own_lake)
    assert rows_of(own_lake.load("db.flights")) == rows
