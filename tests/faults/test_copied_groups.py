"""Row groups that are copied while the disk fills: the table is as it was, and nothing is left behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from lake import Lake
from pyiceberg.table import Table

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by file

from small_disk import PAGE, Disk, small_disk

import lakeopt
from lakeopt.errors import NoSpace

pytestmark = pytest.mark.fault

NAME = "lake.db.flights"
ROWS = 66_000


def rows(table: Table) -> pa.Table:
    return table.scan().to_arrow().sort_by([(name, "ascending") for name in table.schema().column_names])


def parquet_files(lake: Lake) -> set[Path]:
    return set(lake.warehouse.rglob("*.parquet"))


def target_of(table: Table, files: float = 2) -> int:
    return int(sum(table.inspect.files()["file_size_in_bytes"].to_pylist()) / files)


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
