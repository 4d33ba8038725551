"""A run is stopped (SIGSTOP) directly before its commit, taken for dead and cleaned up after, and goes on (SIGCONT).

It must see that others may have had its files away, commit nothing and end with 4; the table is right all the while.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from lake import Lake
from pyiceberg.table import Table

import lakeopt
from lakeopt.config import load_settings
from lakeopt.model.plan import SortField
from lakeopt.model.serde import to_json
from lakeopt.tables.committer import committer
from lakeopt.tables.open import open_table
from lakeopt.workflows.marks import marked
from lakeopt.workflows.settle import settle

MEMORY = 4 * 10**9
KEY = (SortField("dest"),)
STOPPED = f"""
import os, pathlib, signal, sys
import lakeopt
from lakeopt.errors import LakeoptError
from lakeopt.model.plan import RewritePlan
from lakeopt.model.serde import from_json

def stop(phase, done, total):
    if phase == "proving" and done == total:
        os.kill(os.getpid(), signal.SIGSTOP)

plan = from_json(RewritePlan, pathlib.Path(sys.argv[1]).read_text())
try:
    lakeopt.apply(plan, memory_bytes={MEMORY}, progress=stop)
except LakeoptError as error:
    print(error)
    sys.exit(error.exit_code)
"""

pytestmark = pytest.mark.fault


def rows(table: Table) -> Counter[str]:
    return Counter(json.dumps(row, default=str) for row in table.scan().to_arrow().to_pylist())


def age(lake: Lake, token: str, hours: float) -> None:
    """Set back the times that the leases and the journal of a run bear."""
    for path in lake.warehouse.rglob("_lakeopt/**/*.json"):
        said = json.loads(path.read_text())
        if said.get("run") == token:
            said["at"] = (datetime.fromisoformat(said["at"]) - timedelta(hours=hours)).isoformat()
            path.write_text(json.dumps(said))


@contextmanager
def stopped_run(lake: Lake, *, partial: bool) -> Iterator[tuple[subprocess.Popen[str], str, list[Path]]]:
    """A run that stands still before its (last) commit, its token, and its files of that commit."""
    plan = lakeopt.plan("lake.db.flights", sort_by=KEY, partial_progress=partial)
    saved = lake.root / "plan.json"
    saved.write_text(to_json(plan))
    process = subprocess.Popen([sys.executable, "-c", STOPPED, str(saved)], stdout=subprocess.PIPE, text=True)
    try:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        (started,) = lake.warehouse.rglob(f"{plan.plan_id}/*-started.json")
        token = json.loads(started.read_text())["run"]
        committed = set()
        for path in lake.warehouse.rglob(f"{plan.plan_id}/*-group-committed.json"):
            committed |= {f"-{number:05d}-" for number in json.loads(path.read_text())["group_ids"]}
        files = lake.warehouse.rglob(f"{plan.plan_id}-{token}-*.parquet")
        yield process, token, [path for path in files if not any(part in path.name for part in committed)]
    finally:
        process.kill()
        process.wait()


def ends(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGCONT)
    said, _ = process.communicate()
    return process.returncode, said


@pytest.fixture
def table(lake: Lake) -> Table:
    return lake.flights(days=3, partition=[("origin", "identity")])


@pytest.mark.parametrize("partial", [False, True], ids=["at once", "in parts"])
def test_stopped_run_whose_work_another_did(lake: Lake, table: Table, partial: bool) -> None:
    before = rows(table)
    with stopped_run(lake, partial=partial) as (process, token, files):
        held = lakeopt.rewrite("lake.db.flights", sort_by=(SortField("flight"),), memory_bytes=MEMORY)
        assert any(f"pid {process.pid}" in reason for reason in held.skipped), "it lives, as far as anyone can tell"
        age(lake, token, 25)
        other = lakeopt.rewrite("lake.db.flights", sort_by=(SortField("distance"),), memory_bytes=MEMORY)
        assert other.groups_done == 3
        assert other.skipped == {}
        table = open_table("lake.db.flights")
        listed = {file.path.removeprefix("file://") for some in marked(table, load_settings()) for file in some.files}
        assert {str(path) for path in files} <= listed
        code, said = ends(process)
    # In parts, the run did two groups of three before: the third counts as failed, which is no error of the whole.
    assert (code, "nothing is committed" in said) == ((0, False) if partial else (4, True)), said
    assert rows(lake.load("db.flights")) == before
    head = lake.load("db.flights").current_snapshot()
    assert head is not None
    assert str(head.snapshot_id) == other.snapshot_ids[-1]


def clean_up(lake: Lake, token: str, files: list[Path]) -> None:
    """Another run takes it for dead; a day later a sweep deletes what was marked."""
    age(lake, token, 25)
    table = open_table("lake.db.flights")
    settle(table, committer("lakeopt"), load_settings())
    swept = lakeopt.sweep("lake.db.flights", grace=0.0, no_concurrent_writers=True)
    assert swept.deleted_files_count >= len(files)
    assert not any(path.exists() for path in files)


def only_files(lake: Lake, token: str, files: list[Path]) -> None:
    files[0].unlink()


def half_the_grace(lake: Lake, token: str, files: list[Path]) -> None:
    age(lake, token, 12.1)


@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [(clean_up, "no longer held by this run"), (only_files, "is gone: "), (half_the_grace, "was taken 12.")],
)
def test_stopped_run_commits_nothing_that_may_be_gone(
    lake: Lake, table: Table, meanwhile: Callable[[Lake, str, list[Path]], None], reason: str
) -> None:
    before, head = rows(table), table.current_snapshot()
    with stopped_run(lake, partial=False) as (process, token, files):
        assert len(files) == 3
        meanwhile(lake, token, files)
        code, said = ends(process)
    assert (code, said[:22], reason in said) == (4, "nothing is committed: ", True), said
    table = lake.load("db.flights")
    assert table.current_snapshot() == head
    assert rows(table) == before
    assert not any(path.exists() for path in files)
    result = lakeopt.rewrite("lake.db.flights", sort_by=KEY, memory_bytes=MEMORY)
    assert result.groups_done == 3
    assert rows(lake.load("db.flights")) == before
