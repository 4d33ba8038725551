"""Rewrites against a stream of appends: short retries and small commits make progress where long waits starve.

Stock pyiceberg processes append to the table, 3 to 4 commits a second together, while two ``lakeopt rewrite
--partial-progress`` rewrite disjoint partitions of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from lake import Lake
from pyiceberg.table.snapshots import Operation

SOAK = bool(os.environ.get("LAKEOPT_SOAK"))
#: Partitions that each rewrite has to do, and how long both have for at least ``LANDED`` of them (seconds).
PARTITIONS = 100 if SOAK else 3
WITHIN, LANDED = 30.0, 10
#: Each tries three times a second; stock retries with long waits make it less.
APPENDERS = 4 if SOAK else 2
APPENDER = """
import sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import pyarrow as pa
from pyiceberg.catalog import load_catalog
table, number, stop = load_catalog("lake").load_table("db.t"), int(sys.argv[1]), Path(sys.argv[2])
count = 0
while not stop.exists():
    began = time.monotonic()
    try:
        table.append(pa.table({"id": [(number + 1) * 10**6 + count], "p": [1000 + number]}))
        count += 1
    except Exception as error:
        assert "Commit" in type(error).__name__ or "locked" in str(error), error
    table.refresh()
    time.sleep(max(0.0, 0.3 - (time.monotonic() - began)))
print(count)
"""


def rewrite(where: str) -> subprocess.Popen[str]:
    options = ["--sort-by", "id", "--where", where, "--partial-progress", "--yes", "--json"]
    command = [sys.executable, "-m", "lakeopt", "rewrite", "lake.db.t", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def appender(number: int, stop: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", APPENDER, str(number), str(stop)], stdout=subprocess.PIPE, text=True)


@pytest.mark.fault
def test_rewrites_make_progress_under_a_stream_of_appends(
    lake: Lake, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    table = lake.create("db.t", pa.schema([("id", pa.int64()), ("p", pa.int64())]), partition=[("p", "identity")])
    partitions = [number % (2 * PARTITIONS) for number in range(2 * PARTITIONS * 50)]
    for part in range(2):
        ids = pa.array(range(len(partitions) * (2 - part) - 1, len(partitions) * (1 - part) - 1, -1), pa.int64())
        table = lake.append(table, pa.table({"id": ids, "p": partitions}))
    before = Counter(table.scan().to_arrow()["id"].to_pylist())
    stop = tmp_path / "stop"
    appenders = [appender(number, stop) for number in range(APPENDERS)]
    while len(lake.load("db.t").snapshots()) < 2 + 2 * APPENDERS:  # they are at it
        time.sleep(0.1)
    first = lake.load("db.t").last_sequence_number
    began = time.time()
    rewrites = [rewrite(f"p < {PARTITIONS}"), rewrite(f"p >= {PARTITIONS} and p < 1000")]
    results = [process.communicate() for process in rewrites]
    ended = time.time()
    stop.touch()
    appended = sum(int(process.communicate()[0]) for process in appenders)
    assert [process.returncode for process in rewrites] == [0, 0], results
    table = lake.load("db.t")
    landed, appends = Counter[str](), 0
    for snapshot in table.snapshots():
        at = snapshot.timestamp_ms / 1000
        if snapshot.summary is not None and snapshot.summary.operation == Operation.REPLACE:
            landed[snapshot.summary["lakeopt.plan-id"]] += not SOAK or at < began + WITHIN
        elif (snapshot.sequence_number or 0) > first and began <= at <= min(ended, began + WITHIN):
            appends += 1
    rate = appends / min(ended - began, WITHIN)
    record_property("commits of each rewrite within 30 s", sorted(landed.values()))
    record_property("appends a second meanwhile", round(rate, 2))
    assert len(landed) == 2
    assert min(landed.values()) >= (LANDED if SOAK else PARTITIONS)
    assert appends > 0
    ids = Counter(table.scan().to_arrow()["id"].to_pylist())
    assert all(count == 1 for count in ids.values())
    assert before <= ids
    assert len(ids) == len(before) + appended
