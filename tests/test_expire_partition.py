"""``expire-snapshots --partition``: dead files of these partitions are marked, nobody else's; the rest is not lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lake import Lake
from pyiceberg.table import Table

import lakeopt
from lakeopt.config import load_settings
from lakeopt.errors import UnknownName, UsageError
from lakeopt.tables.open import open_table
from lakeopt.workflows.expire_snapshots import plan_expiry
from lakeopt.workflows.marks import marked

NOW: dict[str, Any] = {"older_than": "0s", "retain_last": 1}


@pytest.fixture
def table(lake: Lake) -> Table:
    """Two days, each written twice: the first files of both are dead but for the snapshots."""
    made = lake.create(
        "db.t", pa.schema([("id", pa.int64()), ("day", pa.int64()), ("x", pa.int64())]), partition=[("day", "identity")]
    )
    for version in range(2):
        for day in (1, 2):
            rows = pa.table({"id": [10 * version + day] * 3, "day": [day] * 3, "x": [day] * 3})
            made.overwrite(rows, f"day == {day}")
    return made


def data_files(lake: Lake) -> dict[int, set[Path]]:
    root = lake.warehouse / "db" / "t" / "data"
    return {day: set((root / f"day={day}").glob("*.parquet")) for day in (1, 2)}


def marks() -> set[str]:
    return {file.path for mark in marked(open_table("lake.db.t"), load_settings()) for file in mark.files}


def live(lake: Lake) -> set[Path]:
    entries = lake.load("db.t").inspect.files().to_pylist()
    return {Path(entry["file_path"].removeprefix("file://")) for entry in entries}


def test_only_dead_files_of_the_partition_are_marked_and_swept(lake: Lake, table: Table) -> None:
    before = data_files(lake)
    plan = plan_expiry("lake.db.t", partition="day = 1", **NOW)
    result = lakeopt.expire_snapshots("lake.db.t", partition="day = 1", **NOW)
    assert (plan.files_to_mark, result.marked_files_count, result.partition) == (1, 1, "day = 1")
    assert result.expired_snapshots_count == len(plan.expired) > 1
    (path,) = marks()
    assert Path(path.removeprefix("file://")) in before[1] - live(lake)
    lakeopt.sweep("lake.db.t", grace=0.0, no_concurrent_writers=True)
    assert data_files(lake) == {1: before[1] & live(lake), 2: before[2]}
    assert len(lake.load("db.t").scan().to_arrow()) == 6


def test_the_rest_is_marked_by_the_next_expiry_without_a_partition(lake: Lake, table: Table) -> None:
    lakeopt.expire_snapshots("lake.db.t", partition="day = 1", **NOW)
    assert len(marks()) == 1
    result = lakeopt.expire_snapshots("lake.db.t", **NOW)
    assert result.expired_snapshots_count == 0
    assert result.marked_files_count == len(marks()) - 1 > 1
    lakeopt.sweep("lake.db.t", grace=0.0, no_concurrent_writers=True)
    assert data_files(lake)[1] | data_files(lake)[2] == live(lake)
    assert lakeopt.expire_snapshots("lake.db.t", **NOW).marked_files_count == 0


def test_a_killed_expiry_marks_within_its_partition_later(
    lake: Lake, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakeopt.workflows import expire_snapshots

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(expire_snapshots, "mark_dead", die)
        with pytest.raises(KeyboardInterrupt):
            lakeopt.expire_snapshots("lake.db.t", partition="day = 1", **NOW)
    assert marks() == set()
    lakeopt.expire_snapshots("lake.db.t", partition="day = 3", **NOW)
    assert {Path(path).parent.name for path in marks()} == {"day=1"}


def test_the_rest_is_marked_by_the_expiry_of_its_own_partition(lake: Lake, table: Table) -> None:
    lakeopt.expire_snapshots("lake.db.t", partition="day = 1", **NOW)
    result = lakeopt.expire_snapshots("lake.db.t", partition="day = 2", **NOW)
    assert (result.expired_snapshots_count, result.marked_files_count) == (0, 1)
    assert {Path(path).parent.name for path in marks()} == {"day=1", "day=2"}
    assert lakeopt.expire_snapshots("lake.db.t", partition="day = 2", **NOW).marked_files_count == 0


def test_a_filter_that_partition_values_cannot_decide_is_refused(lake: Lake, table: Table) -> None:
    with pytest.raises(UsageError, match="'x' is no identity partition column"):
        lakeopt.expire_snapshots("lake.db.t", partition="day = 1 and x = 1", **NOW)
    with pytest.raises(UnknownName):
        lakeopt.expire_snapshots("lake.db.t", partition="dey = 1", **NOW)
    assert len(lake.load("db.t").metadata.snapshots) > 1
