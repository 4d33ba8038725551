"""Hourly partitions, two written at a time, each write followed by a clean-up: the incident, and that it is over.

Expiring after every write and deleting at once what the writer's own view does not reach broke such a table: one
writer deleted what another had just committed. ``expire-snapshots`` commits only where no ref moved, marks what the
metadata after its commit does not reach, and deletes nothing; the sweep comes once all are done.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from lake import Lake
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by file

from hourly_writer import ROWS, rows

from lakeopt.config import Settings
from lakeopt.tables.iceberg.deletion.reachable import reachable_files
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.workflows.marks import marked
from lakeopt.workflows.sweep import sweep

pytestmark = pytest.mark.fault
HOURS = 24
ROUNDS = 5 if os.environ.get("LAKEOPT_SOAK") else 1
WRITER = Path(__file__).with_name("hourly_writer.py")


@pytest.fixture
def hours(lake: Lake) -> Table:
    made = lake.create("db.hours", rows(0, 0).schema, partition=[("hour", "identity")])
    return lake.append(made, pa.concat_tables([rows(hour, 0) for hour in range(HOURS)]))


def held(table: Table) -> Counter[tuple[int, int]]:
    """Rows of each (hour, seed)."""
    read = table.scan().to_arrow()
    return Counter(zip(read["hour"].to_pylist(), read["seed"].to_pylist(), strict=True))


def local(location: str) -> Path:
    return Path(location.removeprefix("file://"))


@pytest.mark.slow
def test_every_hour_survives(lake: Lake, hours: Table, record_property: Callable[[str, object], None]) -> None:
    commands = [
        [
            sys.executable,
            "-W",
            "ignore",
            str(WRITER),
            str(lake.root),
            "1",
            str(ROUNDS),
            *map(str, range(first, HOURS, 2)),
        ]
        for first in (0, 1)
    ]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    told = [one for writer in writers for one in json.loads(writer.communicate(timeout=500)[0])]
    assert [one["error"] for one in told if "error" in one] == []
    assert len(told) == HOURS * ROUNDS
    after = lake.load("db.hours")
    assert held(after) == {(hour, ROUNDS): ROWS for hour in range(HOURS)}
    # Each overwrite makes two snapshots, a deletion and an append; all of them but the last are replaced.
    replaced = 2 * HOURS * ROUNDS
    left = len(after.snapshots()) - 1
    assert left <= 0.1 * replaced
    marks = {file.path: file for one in marked(IcebergTable(after), Settings()) for file in one.files}
    assert all(local(path).exists() for path in marks)
    result = sweep("lake.db.hours", grace=0, no_concurrent_writers=True)
    assert (result.deleted_files_count, result.failed) == (len(marks), ())
    assert result.bytes == sum(file.bytes or 0 for file in marks.values()) > 0
    assert held(lake.load("db.hours")) == {(hour, ROUNDS): ROWS for hour in range(HOURS)}
    record_property("writes", len(told))
    record_property("replaced_snapshots_expired", 1 - left / replaced)
    record_property("bytes_freed", result.bytes)


def naive_clean_up(lake: Lake, view: Table, change: Callable[[], None]) -> None:
    """Expire all old snapshots, then delete at once what the writer's view does not reach."""
    old = [snapshot.snapshot_id for snapshot in view.snapshots()[:-1]]
    view.maintenance.expire_snapshots().by_ids(old).commit()
    mine = lake.load("db.hours")
    change()
    reached = {local(path) for part in reachable_files(mine) for path in part["file_path"].to_pylist()}
    for file in local(mine.location()).rglob("*"):
        if file.is_file() and file not in reached:
            file.unlink()


def test_the_naive_clean_up_breaks_the_table(lake: Lake, hours: Table) -> None:
    """The incident, step by step: writer 00 commits while writer 01 cleans up by the view that it has."""
    lake.load("db.hours").overwrite(rows(1, 1), overwrite_filter="hour == 1")

    def other_hour() -> None:
        lake.load("db.hours").overwrite(rows(0, 1), overwrite_filter="hour == 0")

    naive_clean_up(lake, lake.load("db.hours"), other_hour)
    with pytest.raises((FileNotFoundError, NoSuchTableError)):
        lake.load("db.hours").scan().to_arrow()
