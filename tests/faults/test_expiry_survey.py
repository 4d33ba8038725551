"""What is read before an expiry's commit says the same as all read after it, whatever others commit between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from lake import Lake
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from lakeopt.tables.iceberg.deletion.dead_files import dead_files, survey
from lakeopt.tables.iceberg.table import IcebergTable

pytestmark = pytest.mark.fault


@pytest.fixture
def table(lake: Lake) -> Table:
    """Three appends, the first of which is deleted again, so that its file dies with the snapshots before that."""
    made = lake.create("db.t", pa.schema([("id", pa.int64())]))
    for start in range(0, 30, 10):
        made = lake.append(made, pa.table({"id": range(start, start + 10)}))
    made.delete("id < 10")
    return lake.load("db.t")


def first_file(lake: Lake, table: Table) -> DataFile:
    manifest = table.snapshots()[0].manifests(table.io)[0]
    return manifest.fetch_manifest_entry(table.io)[0].data_file


def nothing(lake: Lake, table: Table) -> None:
    pass


def append(lake: Lake, table: Table) -> None:
    lake.append(table, pa.table({"id": [99]}))


def bring_the_file_back(lake: Lake, table: Table) -> None:
    lake.land(table, first_file(lake, table))


def expire_the_newest_that_stays(lake: Lake, table: Table) -> None:
    newest = table.snapshots()[-1].snapshot_id
    append(lake, table)
    lake.load("db.t").maintenance.expire_snapshots().by_id(newest).commit()


BETWEEN = [nothing, append, bring_the_file_back, expire_the_newest_that_stays]


@pytest.mark.parametrize("between", BETWEEN)
def test_a_survey_says_what_reading_all_anew_says(
    lake: Lake, table: Table, between: Callable[[Lake, Table], None]
) -> None:
    gone = [one.snapshot_id for one in table.snapshots()[:3]]
    surveyed = survey(IcebergTable(table), gone)
    between(lake, table)
    before = lake.load("db.t")
    lake.load("db.t").maintenance.expire_snapshots().by_ids(gone).commit()
    after = lake.load("db.t")
    anew = dead_files(IcebergTable(before), gone, IcebergTable(after))
    told = dead_files(IcebergTable(before), gone, IcebergTable(after), surveyed)
    assert sorted(told.to_pylist(), key=str) == sorted(anew.to_pylist(), key=str)
    dead = {path.as_py() for path in told["file_path"]}
    assert (first_file(lake, table).file_path in dead) is (between is not bring_the_file_back)


def test_what_was_surveyed_is_not_read_again(lake: Lake, table: Table) -> None:
    gone = [one.snapshot_id for one in table.snapshots()[:3]]
    surveyed = survey(IcebergTable(table), gone)
    lake.load("db.t").maintenance.expire_snapshots().by_ids(gone).commit()
    for path in (Path(table.location().removeprefix("file://")) / "metadata").glob("*.avro"):
        path.unlink()
    told = dead_files(IcebergTable(table), gone, IcebergTable(lake.load("db.t")), surveyed)
    assert told.num_rows == surveyed.dead.num_rows > 0
