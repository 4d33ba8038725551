"""kill -9 at random instants of an expiry and of a sweep: the table reads as before, and the next run cleans up."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hand_rewrite import rows_of
from lake import Lake, flights

from lakeopt.tables.iceberg.deletion.reachable import reachable_files

pytestmark = pytest.mark.fault
ROUNDS = 50 if os.environ.get("LAKEOPT_SOAK") else 5

#: Both commands, loaded before the clock starts: kills are to land in the work, not in imports.
PROGRAM = """
import sys, time
import lakeopt.tables.open, lakeopt.tables.iceberg.commits.expiry_commit, lakeopt.tables.iceberg.deletion.dead_files
import lakeopt.tables.iceberg.deletion.listing, lakeopt.tables.iceberg.deletion.reach, pyiceberg.catalog.sql
from lakeopt.workflows.expire_snapshots import expire_snapshots
from lakeopt.workflows.sweep import sweep
print("ready", flush=True)
began = time.perf_counter()
if sys.argv[1] == "expire":
    expire_snapshots("lake.db.t", older_than="0s")
else:
    sweep("lake.db.t", grace=0, no_concurrent_writers=True)
print(time.perf_counter() - began, flush=True)
"""


class Worker:
    """One command in a process of its own, about to begin."""

    def __init__(self, command: str) -> None:
        arguments = [sys.executable, "-W", "ignore", "-c", PROGRAM, command]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()[1]

    def kill_after(self, seconds: float) -> None:
        time.sleep(seconds)
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def finish(self) -> float:
        """Let it end; the seconds that its work took."""
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, err
        return float(out)


def unexplained(lake: Lake) -> set[Path]:
    """Files of the table that it does not reach."""
    table = lake.load("db.t")
    reached = {
        path.removeprefix("file://") for part in reachable_files(table) for path in part["file_path"].to_pylist()
    }
    location = Path(table.location().removeprefix("file://"))
    return {file for file in location.rglob("*") if file.is_file() and str(file) not in reached}


@pytest.mark.slow
def test_kills_leave_nothing_dangling(lake: Lake, record_property: Callable[[str, object], None]) -> None:
    table = lake.flights("db.t", days=3, rows_per_day=50)
    table.manage_snapshots().create_tag(table.snapshots()[0].snapshot_id, "first").commit()
    tagged = rows_of(lake.load("db.t"), snapshot_id=table.snapshots()[0].snapshot_id)
    lasting = {"expire": Worker("expire").finish(), "sweep": Worker("sweep").finish()}
    chance = random.Random(20261124)
    landed = 0
    for round_number in range(ROUNDS):
        for day in range(3):
            lake.load("db.t").overwrite(flights(100 * round_number + day, 60))
        before = rows_of(lake.load("db.t"))
        for command in ("expire", "sweep"):
            worker = Worker(command)
            worker.kill_after(chance.uniform(0, lasting[command] * 1.5))
            landed += worker.process.returncode == -signal.SIGKILL
            assert rows_of(lake.load("db.t")) == before, f"round {round_number}: {command}"
        for command in ("expire", "sweep"):
            lasting[command] = Worker(command).finish()
        after = lake.load("db.t")
        assert rows_of(after) == before, f"round {round_number}"
        assert rows_of(after, snapshot_id=after.refs()["first"].snapshot_id) == tagged
        assert len(after.snapshots()) == 2
        assert unexplained(lake) == set(), f"round {round_number}"
        assert list(lake.warehouse.glob("_lakeopt/marks/*/*/*.json")) == []
    record_property("kills", landed)
    assert landed > 0
