"""Row groups that are copied, and a kill in the middle, a disk that fills, a signal: as for rows that are written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from faults.kills import Kills
from lake import Lake, flights
from pyiceberg.table import Table

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by file

from small_disk import PAGE, Disk, small_disk

import lakeopt
from lakeopt.cli.app import main
from lakeopt.errors import NoSpace

pytestmark = pytest.mark.fault

NAME = "lake.db.flights"
ROWS = 66_000
ROUNDS = 50 if os.environ.get("LAKEOPT_SOAK") else 4


def rows(table: Table) -> pa.Table:
    return table.scan().to_arrow().sort_by([(name, "ascending") for name in table.schema().column_names])


def parquet_files(lake: Lake) -> set[Path]:
    return set(lake.warehouse.rglob("*.parquet"))


def target_of(table: Table, files: float = 2) -> int:
    return int(sum(table.inspect.files()["file_size_in_bytes"].to_pylist()) / files)


def test_a_table_survives_a_kill_at_any_instant_of_a_copy(lake: Lake, request: pytest.FixtureRequest) -> None:
    kills = Kills(request, lake.warehouse / "_lakeopt", wanted=ROUNDS, seed=20261126)
    table = lake.flights(days=6, rows_per_day=ROWS)
    size = target_of(table, 6)
    # Each round has four files more, and a target for which all files are small.
    targets = (size * (12 + 8 * number) for number in range(1000))
    command = ["rewrite", NAME, "--strategy", "bin-pack", "--yes", "--quiet", "--target-file-size", str(next(targets))]
    kills.finish(command)
    for number in kills.rounds():
        for extra in range(4):
            table = lake.append(table, flights(100 + 4 * number + extra, ROWS))
        before, command[-1] = rows(table), str(next(targets))
        (group,) = lakeopt.plan(NAME, strategy="bin-pack", target_file_bytes=int(command[-1])).groups
        assert group.method == "copy"
        kills.kill(command)
        assert rows(lake.load("db.flights")).equals(before), f"round {number}"
        kills.finish(command)
        assert rows(lake.load("db.flights")).equals(before), f"round {number}, completed"
    assert main(["sweep", NAME, "--grace", "0s", "--no-concurrent-writers", "--yes", "--quiet"]) == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "lake") as made:
        yield made


def test_a_full_disk_ends_the_copy_and_keeps_the_table(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(tmp_path / "lake")
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LAKEOPT_STATE_DIR", (tmp_path / "state").as_uri())
    table = lake.flights(days=6, rows_per_day=ROWS)
    before, files = rows(table), parquet_files(lake)
    made = lakeopt.plan(NAME, strategy="bin-pack", target_file_bytes=target_of(table))
    assert [group.method for group in made.groups] == ["copy"]
    size = sum(path.stat().st_size for path in files)
    for pages in (0, 1, size // PAGE // 3, size // PAGE - 1):
        with disk.room_for(pages), pytest.raises(NoSpace):
            lakeopt.apply(made)
        assert parquet_files(lake) == files
    assert rows(lake.load("db.flights")).equals(before)
    assert lakeopt.apply(made).added_data_files_count == 2
    assert rows(lake.load("db.flights")).equals(before)
