"""Rewrites of tables with delete files: deleted rows are gone for good, all others stay, the second plan is empty."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lake import Lake, flights
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.table import Table

import lakeopt
from lakeopt.errors import WorkFailed
from lakeopt.model.plan import SortField
from lakeopt.parquet.scan import read_batches
from lakeopt.tables.open import open_table

#: Whole rewrites, each a second or two: left out of `make check`.
pytestmark = pytest.mark.slow

MEMORY = 2 * 1024**3
KEY = (SortField("carrier"), SortField("day"))
STRATEGIES: list[dict[str, Any]] = [{"strategy": "bin-pack"}, {"strategy": "sort", "sort_by": KEY}]


def live(identifier: str = "lake.db.flights") -> Counter[str]:
    """Rows of a table, by the reader that applies deletes on its own, as text."""
    table = open_table(identifier)
    found = pa.concat_tables(table.files())
    return Counter(repr(row) for batch in read_batches(table.scan(found), threads=1) for row in batch.to_pylist())


def data_files(lake: Lake, table: Table) -> list[DataFile]:
    found = [file for file in lake.files(table) if file.content == DataFileContent.DATA]
    return sorted(found, key=lambda file: str(file.file_path))


def deleted_from(lake: Lake, table: Table) -> int:
    """Positions of one file, of several together, and keys; rows that are left."""
    files = data_files(lake, table)
    lake.land(table, lake.position_deletes(table, {files[0].file_path: [0, 7, 7]}, like=files[0]))
    lake.land(table, lake.position_deletes(table, {file.file_path: [1, 2] for file in files[:3]}, like=files[0]))
    keys = pa.table({"carrier": pa.array(["UA", None]), "dep_delay": pa.array([None, 1.0], pa.float64())})
    lake.land(table, lake.equality_deletes(table, keys, like=files[0]))
    return sum(live().values())


@pytest.mark.parametrize("choices", STRATEGIES, ids=["bin-pack", "sort"])
@pytest.mark.parametrize("verify", ["rows", "counts"])
def test_rows_stay_deleted_and_the_second_plan_is_empty(lake: Lake, choices: dict[str, Any], verify: str) -> None:
    table = lake.flights(days=4)
    left = deleted_from(lake, table)
    assert 0 < left < 800 - 8
    before = live()
    decided = lakeopt.plan("lake.db.flights", verify=verify, **choices)
    (group,) = decided.groups
    assert group.record_count == 800
    assert len(group.delete_files) == 3
    assert group.bytes == sum(file.bytes for file in group.data_files)
    result = lakeopt.apply(decided, memory_bytes=MEMORY)
    assert live() == before
    assert result.record_count == left
    assert result.verification is not None
    assert result.verification.record_count == left
    assert [file.content for file in lake.files(table)] == [DataFileContent.DATA] * result.added_data_files_count
    assert result.removed_delete_files_count == 3
    assert lakeopt.plan("lake.db.flights", **choices).groups == ()


def test_a_key_that_is_written_again_after_its_delete_stays(lake: Lake) -> None:
    table = lake.flights(days=2)
    lake.land(table, lake.equality_deletes(table, pa.table({"carrier": ["UA", "DL"]})))
    lake.append(table, flights(2, 200))
    before = live()
    assert any("'UA'" in row for row in before)
    lakeopt.rewrite("lake.db.flights", strategy="bin-pack", memory_bytes=MEMORY)
    assert live() == before


@pytest.mark.parametrize("choices", STRATEGIES, ids=["bin-pack", "sort"])
def test_a_group_without_any_row_left_leaves_no_file(lake: Lake, choices: dict[str, Any]) -> None:
    table = lake.flights(days=2, partition=[("origin", "identity")])
    gone = [file for file in data_files(lake, table) if file.partition[0] == "EWR"]
    every = {file.file_path: range(file.record_count) for file in gone}
    lake.land(table, lake.position_deletes(table, every, like=gone[0]))
    before = live()
    result = lakeopt.rewrite("lake.db.flights", memory_bytes=MEMORY, **choices)
    assert live() == before
    assert result.record_count <= sum(before.values())
    assert "EWR" not in {file.partition[0] for file in lake.files(table)}
    assert lakeopt.plan("lake.db.flights", **choices).groups == ()


@pytest.mark.parametrize("choices", STRATEGIES, ids=["bin-pack", "sort"])
def test_no_byte_of_a_deleted_value_is_written(lake: Lake, choices: dict[str, Any]) -> None:
    """Neither as a value nor in a dictionary or a bound: who deletes rows wants them gone."""
    table = lake.create("db.people", pa.schema([("id", pa.int64()), ("name", pa.string())]))
    for number in range(6):
        names = ["somebody", "erased-person", "another"] * 50
        table = lake.append(table, pa.table({"id": range(number * 150, number * 150 + 150), "name": names}))
    lake.land(table, lake.equality_deletes(table, pa.table({"name": ["erased-person"]})))
    choices = choices | ({"sort_by": (SortField("name"), SortField("id"))} if "sort_by" in choices else {})
    lakeopt.rewrite("lake.db.people", memory_bytes=MEMORY, **choices)
    for file in lake.files(lake.load("db.people")):
        content = Path(file.file_path.removeprefix("file://")).read_bytes()
        assert b"somebody" in content
        assert b"erased" not in content


def test_delete_files_of_another_format_are_skipped_with_the_reason(lake: Lake) -> None:
    from pyiceberg.manifest import FileFormat

    table = lake.flights(days=3, partition=[("origin", "identity")])
    file = data_files(lake, table)[0]
    deletes = lake.position_deletes(table, {file.file_path: [0, 1]}, like=file)
    deletes[2] = FileFormat.AVRO
    lake.land(table, deletes)
    decided = lakeopt.plan("lake.db.flights", strategy="sort", sort_by=KEY)
    assert len(decided.groups) == 2
    (skipped,) = decided.skipped
    assert json.loads(skipped.partition)["origin"] == file.partition[0]
    assert skipped.reason == "has avro delete files; only Parquet ones are applied"


def test_rows_out_of_order_are_an_error() -> None:
    from lakeopt.engines.duckdb.remaining import without

    batch = pa.RecordBatch.from_pydict({"c0": ["a", "b"], "arrival": [5, 4]})
    with pytest.raises(WorkFailed, match="out of order"):
        list(without([batch], iter([])))
