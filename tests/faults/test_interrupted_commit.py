"""Ctrl-C while a commit loses one race after another: it is heard after the attempt that is under way."""

from __future__ import annotations

import signal

import pyarrow as pa
import pytest
from hand_rewrite import metadata_files, plan_for, stage
from lake import Lake
from pyiceberg.table.snapshots import Operation

from lakeopt.tables.committer import committer
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.tables.shield import shielded

pytestmark = pytest.mark.fault


def test_an_interrupt_is_heard_between_attempts(lake: Lake) -> None:
    """Also behind a shield around the whole commit, which holds the signal back until its end."""
    table = lake.create("db.t", pa.schema([("id", pa.int64())]))
    for start in (10, 0):
        table = lake.append(table, pa.table({"id": range(start, start + 10)}))
    plan = plan_for(table, sort=("id",))
    staged = stage(table, plan)
    attempts: list[int] = []

    def overtake() -> None:
        """Another writer moves the branch, so that the attempt that follows must fail."""
        lake.append(table, pa.table({"id": [100 + len(attempts)]}))
        attempts.append(len(attempts))
        if len(attempts) == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), shielded():
        committer("lakeopt").commit(
            IcebergTable(table), plan, staged, on_snapshot_id=lambda number: None, before_attempt=overtake
        )
    assert len(attempts) == 2
    table = lake.load("db.t")
    assert [snapshot.summary.operation for snapshot in table.snapshots() if snapshot.summary] == [Operation.APPEND] * 4
    assert sorted(table.scan().to_arrow()["id"].to_pylist()) == [*range(20), 100, 101]
    left = {name for name in map(str, metadata_files(table)) if "snap-" in name and "-m" not in name}
    assert len(left) == 4, "the manifest lists of the appends, and none of ours"
