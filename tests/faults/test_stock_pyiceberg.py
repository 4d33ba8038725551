"""Why lakeopt has a commit of its own: what pyiceberg's overwrite makes of the same races.

Another process changes the table between the planning of pyiceberg's own overwrite and its commit. Where it does
damage, lakeopt's side of the race stands in ``test_commit_races``. When one of these tests fails, pyiceberg has been
mended (or broken anew), and the reasons in ``replace_commit`` want another look.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from hand_rewrite import live_files, plan_for, stage
from lake import Lake
from plain_reader import read_ids
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by file

from second_process import SecondProcess

pytestmark = pytest.mark.fault

EVERYTHING = set(range(40))
APPEND = "lake.append(table, pa.table({'id': [100], 'p': [1]}))\n"
POSITION = "lake.land(table, lake.position_deletes(table, {files[0].file_path: [3, 4]}, like=files[0]))\n"
EQUALITY = "lake.land(table, lake.equality_deletes(table, pa.table({'id': [3, 4]}), like=files[0]))\n"
ISOLATION = "write.delete.isolation-level"

#: Statements of the other process that pyiceberg's overwrite gives way to: no damage.
GIVES_WAY: Mapping[str, str] = {
    "append": APPEND,
    "append to another partition": "lake.append(table, pa.table({'id': [100], 'p': [9]}))",
    "file delete": "table.delete('id < 10')",
    "row delete": "table.delete('id == 5')",
    "overwrite": "table.overwrite(pa.table({'id': [1], 'p': [0]}))",
    "another rewrite": "from hand_rewrite import rewrite; rewrite(table, files=files[:2])",
    "rollback": "table.manage_snapshots().rollback_to_snapshot(table.snapshots()[1].snapshot_id).commit()",
    "expiry of the base": (
        "base = table.current_snapshot().snapshot_id\n"
        + APPEND
        + "lake.load('db.t').maintenance.expire_snapshots().by_id(base).commit()"
    ),
    "position delete": POSITION,
}

#: Statements that it goes together with, and the ids that the table holds after both: no damage either.
KEPT: Mapping[str, tuple[str, set[int]]] = {
    "new column": (
        "from pyiceberg.types import LongType\n"
        "with table.update_schema() as update: update.add_column('z', LongType())",
        EVERYTHING,
    ),
    "property": ("table.transaction().set_properties(a='b').commit_transaction()", EVERYTHING),
    "expiry of older snapshots": (
        "table.maintenance.expire_snapshots().by_id(table.snapshots()[0].snapshot_id).commit()",
        EVERYTHING,
    ),
}


@pytest.fixture(scope="module")
def other() -> Iterator[SecondProcess]:
    with SecondProcess() as process:
        yield process


@pytest.fixture
def table(lake: Lake) -> Table:
    """Partition 0 holds the ids 0 to 19 in two files, partition 1 the ids 20 to 39."""
    made = lake.create("db.t", pa.schema([("id", pa.int64()), ("p", pa.int64())]), partition=[("p", "identity")])
    for start in range(0, 40, 10):
        made = lake.append(made, pa.table({"id": range(start, start + 10), "p": [start // 20] * 10}))
    return made


def snapshot_isolation(lake: Lake, table: Table) -> Table:
    table.transaction().set_properties({ISOLATION: "snapshot"}).commit_transaction()
    return lake.load("db.t")


def stock_rewrite(table: Table, partition: int, between: Callable[[], None]) -> None:
    """Replace a partition's files by pyiceberg's public overwrite, planned before and committed after ``between``."""
    files: list[DataFile] = [file for file in live_files(table) if file.partition[0] == partition]
    staged = stage(table, plan_for(table, files=files))
    new = [
        parquet_file_to_data_file(table.io, table.metadata, path)
        for group in staged.values()
        for path in group["file_path"].to_pylist()
    ]
    for file in new:
        file.spec_id = table.spec().spec_id
    between()
    transaction = table.transaction()
    with transaction.update_snapshot().overwrite() as overwrite:
        for file in files:
            overwrite.delete_data_file(file)
        for file in new:
            overwrite.append_data_file(file)
    transaction.commit_transaction()


@pytest.mark.parametrize("name", GIVES_WAY)
def test_gives_way(lake: Lake, table: Table, other: SecondProcess, name: str) -> None:
    left: list[str] = []

    def change() -> None:
        other.run(lake.root, GIVES_WAY[name])
        left.append(lake.load("db.t").metadata_location)

    with pytest.raises((ValidationException, CommitFailedException)):
        stock_rewrite(table, 0, change)
    assert left == [lake.load("db.t").metadata_location]


@pytest.mark.parametrize("name", KEPT)
def test_both_changes_are_kept(lake: Lake, table: Table, other: SecondProcess, name: str) -> None:
    statements, expected = KEPT[name]
    stock_rewrite(table, 0, lambda: other.run(lake.root, statements))
    assert read_ids(lake.load("db.t")) == sorted(expected)


def test_an_append_is_kept_under_snapshot_isolation_alone(lake: Lake, table: Table, other: SecondProcess) -> None:
    stock_rewrite(snapshot_isolation(lake, table), 0, lambda: other.run(lake.root, APPEND))
    assert read_ids(lake.load("db.t")) == sorted(EVERYTHING | {100})


@pytest.mark.parametrize("delete", [POSITION, EQUALITY], ids=["position", "equality"])
def test_deleted_rows_come_back(lake: Lake, table: Table, other: SecondProcess, delete: str) -> None:
    """B1: deletes older than the head of the window are not looked at, so an append after one hides it."""
    stock_rewrite(snapshot_isolation(lake, table), 0, lambda: other.run(lake.root, delete + APPEND))
    assert read_ids(lake.load("db.t")) == sorted(EVERYTHING | {100})  # without 3 and 4 is right


def test_deleted_rows_come_back_under_default_isolation(lake: Lake, table: Table, other: SecondProcess) -> None:
    """B1 again: of two position deletes, the second of an unrelated file, only the second is looked at."""
    elsewhere = "lake.land(table, lake.position_deletes(table, {files[3].file_path: [0]}, like=files[3]))\n"
    stock_rewrite(table, 0, lambda: other.run(lake.root, POSITION + elsewhere))
    assert read_ids(lake.load("db.t")) == sorted(EVERYTHING - {30})  # without 3 and 4 is right


def test_rows_are_filed_under_a_wrong_partition(lake: Lake, table: Table, other: SecondProcess) -> None:
    """B2: new files go under the default spec of the moment, with partition values of the old one."""
    change = (
        "from pyiceberg.transforms import IdentityTransform\n"
        "with table.update_spec() as update:\n"
        "    update.remove_field('p'); update.add_field('id', IdentityTransform(), 'id_itself')\n" + APPEND
    )
    stock_rewrite(snapshot_isolation(lake, table), 1, lambda: other.run(lake.root, change))
    table = lake.load("db.t")
    assert read_ids(table) == sorted(EVERYTHING | {100})
    assert len(table.scan("id == 25").to_arrow()) == 0  # 1 is right


def test_a_column_renamed_in_a_struct_is_null_to_duckdb(tmp_path: Path) -> None:
    """B4: DuckDB resolves top-level columns by field id, the fields of structs by name: values vanish silently."""
    import duckdb
    import pyarrow.parquet as pq

    def field(name: str, kind: pa.DataType, number: int) -> pa.Field:
        return pa.field(name, kind, metadata={b"PARQUET:field_id": str(number).encode()})

    rows = pa.table([[{"old": 7}]], schema=pa.schema([field("s", pa.struct([field("old", pa.int64(), 2)]), 1)]))
    pq.write_table(rows, tmp_path / "f.parquet")
    column = "MAP {1: {name: 's', type: 'STRUCT(\"new\" BIGINT)', default_value: NULL}}"
    with duckdb.connect() as connection:
        found = connection.sql(f"select s.new from read_parquet('{tmp_path}/f.parquet', schema={column})").fetchall()
    assert found == [(None,)]  # 7 is right
