"""A stream of upserts, as Flink writes them, beside a loop of rewrites: each row has its last value, once.

Each upsert is one commit of a data file and an equality delete for the row's older versions. A rewrite that gave its
files a newer sequence number would bring old versions back, one that dropped a delete too early as well.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
from lake import Lake
from plain_reader import entries_of, read_rows
from pyiceberg.manifest import DataFileContent

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by file

from second_process import SecondProcess

import lakeopt

pytestmark = pytest.mark.fault

ROUNDS = 300 if os.environ.get("LAKEOPT_SOAK") else 15
IDS = 10

UPSERTS = f"""
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table.snapshots import Operation
from sqlalchemy.exc import OperationalError

def upsert(rows):
    while True:
        table = lake.load("db.t")
        files = [lake.data_file(table, rows), lake.equality_deletes(table, rows.select(["id"]))]
        try:
            return lake.land(table, *files, operation=Operation.OVERWRITE)
        except (CommitFailedException, OperationalError):  # overtaken, or the catalog was busy: nothing was written
            pass

for version in range({ROUNDS}):
    upsert(pa.table({{"id": [version * 7 % {IDS}], "v": [version]}}))
"""


def test_each_row_has_its_last_value_once(lake: Lake, record_property: Callable[[str, object], None]) -> None:
    table = lake.create("db.t", pa.schema([("id", pa.int64()), ("v", pa.int64())]))
    lake.append(table, pa.table({"id": range(IDS), "v": [-1] * IDS}))
    results = []
    with SecondProcess() as other, ThreadPoolExecutor(1) as beside:
        writing = beside.submit(other.run, lake.root, UPSERTS)
        while not writing.done():
            results.append(lakeopt.rewrite("lake.db.t", strategy="bin-pack", engine="reference"))
        writing.result()
    results.append(lakeopt.rewrite("lake.db.t", strategy="bin-pack", engine="reference"))
    record_property("rewrites", len([result for result in results if result.snapshot_ids]))
    record_property("delete_files_removed", sum(result.removed_delete_files_count for result in results))
    table = lake.load("db.t")
    last = {version * 7 % IDS: version for version in range(ROUNDS)}
    assert sorted((row["id"], row["v"]) for row in read_rows(table)) == sorted(last.items())
    assert {entry.data_file.content for entry in entries_of(table)} == {DataFileContent.DATA}
    assert sum(result.removed_delete_files_count for result in results) == ROUNDS
