"""Why lakeopt has a commit of its own: what pyiceberg's overwrite makes of the same races.

When one of these tests fails, pyiceberg has been mended, and the reasons in ``replace_commit`` want another look.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from hand_rewrite import live_files, plan_for, stage
from lake import Lake
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform

pytestmark = pytest.mark.fault


def stock_rewrite(lake: Lake, table: Table, files: list[DataFile], between: Callable[[], None]) -> None:
    """Replace files by pyiceberg's public overwrite, planned before and committed after ``between``."""
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


@pytest.fixture
def table(lake: Lake) -> Table:
    schema = pa.schema([("id", pa.int64()), ("p", pa.int64())])
    made = lake.create(
        "db.t", schema, partition=[("p", "identity")], properties={"write.delete.isolation-level": "snapshot"}
    )
    for start in range(0, 40, 10):
        made = lake.append(made, pa.table({"id": range(start, start + 10), "p": [start // 20] * 10}))
    return made


def test_deleted_rows_come_back(lake: Lake, table: Table) -> None:
    """B1: deletes older than the head of the window are not looked at, so an append after one hides it."""
    files = [file for file in live_files(table) if file.partition[0] == 0]

    def delete_then_append() -> None:
        lake.land(table, lake.position_deletes(table, {files[0].file_path: [3, 4]}, like=files[0]))
        lake.append(table, pa.table({"id": [100], "p": [1]}))

    stock_rewrite(lake, table, files, delete_then_append)
    assert len(lake.load("db.t").scan().to_arrow()) == 41  # 39 is right


def test_deleted_rows_come_back_under_default_isolation(lake: Lake, table: Table) -> None:
    table.transaction().remove_properties("write.delete.isolation-level").commit_transaction()
    table = lake.load("db.t")
    files = [file for file in live_files(table) if file.partition[0] == 0]
    other = next(file for file in live_files(table) if file.partition[0] == 1)

    def delete_twice() -> None:
        lake.land(table, lake.position_deletes(table, {files[0].file_path: [3, 4]}, like=files[0]))
        lake.land(table, lake.position_deletes(table, {other.file_path: [0]}, like=other))

    stock_rewrite(lake, table, files, delete_twice)
    assert len(lake.load("db.t").scan().to_arrow()) == 39  # 37 is right


def test_files_are_put_under_the_wrong_spec(lake: Lake, table: Table) -> None:
    """B2: new files go under the default spec of the moment, with partition values of the old one."""
    files = [file for file in live_files(table) if file.partition[0] == 1]

    def change_spec_and_append() -> None:
        with lake.load("db.t").update_spec() as update:
            update.remove_field("p")
            update.add_field("id", IdentityTransform(), "id_itself")
        lake.append(table, pa.table({"id": [100], "p": [7]}))

    stock_rewrite(lake, table, files, change_spec_and_append)
    table = lake.load("db.t")
    assert len(table.scan().to_arrow()) == 41
    assert len(table.scan("id == 25").to_arrow()) == 0  # 1 is right
