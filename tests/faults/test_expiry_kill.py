"""kill -9 at random instants of an expiry and of a sweep: the table reads as before, and the next run cleans up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from faults.kills import Kills
from hand_rewrite import rows_of
from lake import Lake, flights

from lakeopt.tables.iceberg.deletion.reachable import reachable_files

pytestmark = pytest.mark.fault
ROUNDS = 50 if os.environ.get("LAKEOPT_SOAK") else 5

EXPIRE = ["expire-snapshots", "lake.db.t", "--older-than", "0s", "--yes", "--quiet"]
SWEEP = ["sweep", "lake.db.t", "--grace", "0s", "--no-concurrent-writers", "--yes", "--quiet"]


def unexplained(lake: Lake) -> set[Path]:
    """Files of the table that it does not reach."""
    table = lake.load("db.t")
    reached = {
        path.removeprefix("file://") for part in reachable_files(table) for path in part["file_path"].to_pylist()
    }
    location = Path(table.location().removeprefix("file://"))
    return {file for file in location.rglob("*") if file.is_file() and str(file) not in reached}


@pytest.mark.slow
def test_kills_leave_nothing_dangling(lake: Lake, request: pytest.FixtureRequest) -> None:
    kills = Kills(request, lake.warehouse / "_lakeopt", wanted=ROUNDS, seed=20261124)
    # By default the log of metadata files forgets the hundredth, which then lies there for good.
    remember = {"write.metadata.previous-versions-max": "100000"}
    table = lake.flights("db.t", days=3, rows_per_day=50, properties=remember)
    table.manage_snapshots().create_tag(table.snapshots()[0].snapshot_id, "first").commit()
    tagged = rows_of(lake.load("db.t"), snapshot_id=table.snapshots()[0].snapshot_id)
    for command in (EXPIRE, SWEEP):
        kills.finish(command)
    for round_number in kills.rounds():
        for day in range(3):
            lake.load("db.t").overwrite(flights(100 * round_number + day, 60))
        before = rows_of(lake.load("db.t"))
        for command in (EXPIRE, SWEEP):
            kills.kill(command)
            assert rows_of(lake.load("db.t")) == before, f"round {round_number}: {command[0]}"
            if round_number % 2:  # else the sweep has what a killed expiry left, and may be all that there is to mark
                kills.finish(EXPIRE)
        for command in (EXPIRE, SWEEP):
            kills.finish(command)
        after = lake.load("db.t")
        assert rows_of(after) == before, f"round {round_number}"
        assert rows_of(after, snapshot_id=after.refs()["first"].snapshot_id) == tagged
        assert len(after.snapshots()) == 2
        assert unexplained(lake) == set(), f"round {round_number}"
        assert list(lake.warehouse.glob("_lakeopt/marks/*/*/*.json")) == []
