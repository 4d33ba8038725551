"""kill -9 at random instants of a rewrite: the table reads the same rows each time, and the next run completes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pytest
from faults.kills import Kills
from lake import Lake, flights
from pyiceberg.table import Table

REWRITE = ["rewrite", "lake.db.flights", "--sort-by", "dest,carrier", "--yes", "--quiet"]
COMMAND = [sys.executable, "-m", "lakeopt", *REWRITE]
SOAK = bool(os.environ.get("LAKEOPT_SOAK"))
ROUNDS = 50 if SOAK else 5


def rows(table: Table) -> pa.Table:
    return table.scan().to_arrow().sort_by([(name, "ascending") for name in table.schema().column_names])


def rewrite(**more: object) -> subprocess.Popen[str]:
    return subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)  # type: ignore[call-overload, no-any-return]


@pytest.mark.fault
def test_table_survives_kill_at_any_instant(lake: Lake, request: pytest.FixtureRequest) -> None:
    kills = Kills(request, lake.warehouse / "_lakeopt", wanted=ROUNDS, seed=20261124)
    table = lake.flights(days=8, rows_per_day=8000)
    kills.finish(REWRITE)
    for number in kills.rounds():
        table = lake.append(table, flights(100 + number, 500))
        before = rows(table)
        kills.kill(REWRITE)
        assert rows(lake.load("db.flights")).equals(before), f"round {number}"
        kills.finish(REWRITE)
        assert rows(lake.load("db.flights")).equals(before), f"round {number}, completed"


@pytest.mark.fault
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_the_table_and_removes_our_files(lake: Lake, which: signal.Signals) -> None:
    table = lake.flights(days=8, rows_per_day=30_000)
    chance = random.Random(1)
    codes = set()
    for round_number in range(10 if SOAK else 3):
        if 130 in codes and not SOAK:
            break  # one round is a tenth; more are for a run that ended before it was told to
        table = lake.append(table, flights(100 + round_number, 500))
        before, files = rows(table), set(lake.warehouse.rglob("*.parquet"))
        begun = set(lake.warehouse.glob("_lakeopt/journal/*/*/*-started.json"))
        process = rewrite()
        while process.poll() is None and set(lake.warehouse.glob("_lakeopt/journal/*/*/*-started.json")) == begun:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.6))
        process.send_signal(which)
        codes.add(process.wait())
        assert rows(lake.load("db.flights")).equals(before)
        if process.returncode == 130:
            assert set(lake.warehouse.rglob("*.parquet")) == files
    assert codes <= {0, 130}
    assert 130 in codes
