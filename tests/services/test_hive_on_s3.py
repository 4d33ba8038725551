"""A Hive table of a metastore whose folders are an S3 server's: listed, rewritten by a switch, restored and swept."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hive_lake import HiveConnections, Row, _storage, rows
from pyarrow import fs
from servers.hive import S3A_JARS
from servers.process import need
from servers.s3 import S3

import lakeopt
from lakeopt.errors import Refused
from lakeopt.model.plan import RewritePlan, SortField
from lakeopt.model.table import TableProfile
from lakeopt.workflows.restore import restore
from lakeopt.workflows.sweep import sweep

pytestmark = [pytest.mark.service("Hive metastore"), pytest.mark.service("S3 (versitygw)")]
KEY = (SortField("word"),)
DAYS = ("a", "x y")


class TableOnS3:
    """An external table of two days of three files each."""

    def __init__(self, uri: str, s3: S3) -> None:
        from hive_metastore.ttypes import Database, FieldSchema, Partition, Table

        self.connections, self.s3, self.store = HiveConnections(uri), s3, s3.filesystem()
        self.database = f"d{uuid.uuid4().hex[:12]}"
        self.name, self.root = f"hms.{self.database}.t", f"s3a://{s3.bucket}/{self.database}/t"
        keys = [FieldSchema("day", "string", None)]
        made = Table(tableName="t", dbName=self.database, sd=_storage(self.root), partitionKeys=keys)
        made.tableType, made.parameters = "EXTERNAL_TABLE", {"EXTERNAL": "TRUE"}
        with self.connections.connected() as client:
            client.create_database(Database(name=self.database, locationUri=f"s3a://{s3.bucket}/{self.database}"))
            client.create_table(made)
            for day in DAYS:
                for number in range(3):
                    self.put(self.key(f"{self.root}/day={day}/part-{number}.parquet"), rows(1000 * number, 200))
                sd = _storage(f"{self.root}/day={day}")
                client.add_partition(
                    Partition(values=[day], dbName=self.database, tableName="t", sd=sd, parameters={"numRows": "600"})
                )

    @staticmethod
    def key(location: str) -> str:
        return location.removeprefix("s3a://")

    def put(self, key: str, table: pa.Table) -> None:
        with self.store.open_output_stream(key) as sink:
            pq.write_table(table, sink)

    def place(self, day: str) -> str:
        """Where the metastore says that a day lies."""
        with self.connections.connected() as client:
            return str(client.get_partition(self.database, "t", [day]).sd.location)

    def files(self, location: str) -> list[str]:
        """Names that a reader of a folder takes for data."""
        found = self.store.get_file_info(fs.FileSelector(self.key(location), allow_not_found=True))
        return sorted(one.base_name for one in found if one.is_file and not one.base_name.startswith((".", "_")))

    def rows(self) -> dict[str, Counter[Row]]:
        """Rows by day, as a reader that asks the metastore counts them."""
        found: dict[str, Counter[Row]] = {day: Counter() for day in DAYS}
        for day in DAYS:
            place = self.place(day)
            for name in self.files(place):
                with self.store.open_input_file(f"{self.key(place)}/{name}") as source:
                    found[day].update(zip(*pq.read_table(source).to_pydict().values(), strict=True))
        return found


@pytest.fixture
def table(hive: Any, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TableOnS3]:
    need("Hive metastore over S3", len(S3A_JARS) == 3, "install Maven and run `make services`")
    said = {"type": "hive", "uri": hive.uri, "warehouse": f"s3a://{s3.bucket}", "hive.hive2-compatible": "true"}
    for key, value in {**said, **s3.properties()}.items():
        spelt = key.replace(".", "__").replace("-", "_").upper()
        monkeypatch.setenv(f"PYICEBERG_CATALOG__HMS__{spelt}", value)
    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(tmp_path / "state"))
    return TableOnS3(hive.uri, s3)


def planned(table: TableOnS3) -> RewritePlan:
    return lakeopt.plan(table.name, strategy="sort", sort_by=KEY, partial_progress=True)


def test_partitions_are_switched_restored_and_swept(table: TableOnS3) -> None:
    before, old = table.rows(), {day: table.place(day) for day in DAYS}
    health = lakeopt.inspect(table.name)
    assert isinstance(health, TableProfile)
    assert (health.partition_count, health.data_file_count, health.record_count) == (2, 6, 1200)
    plan = planned(table)
    result = lakeopt.apply(plan)
    assert (result.groups_done, result.groups_failed, result.rewritten_data_files_count) == (2, 0, 6)
    assert table.rows() == before
    for day in DAYS:
        assert table.place(day).startswith(f"{table.root}/.lakeopt/")
        assert table.place(day).endswith(f"/day={day}")
        assert len(table.files(table.place(day))) == 1
        assert len(table.files(old[day])) == 3
    assert restore(table.name, plan.plan_id).restored_files_count == 6
    assert {day: table.place(day) for day in DAYS} == old
    assert table.rows() == before
    lakeopt.apply(planned(table))
    swept = sweep(table.name, grace=0, no_concurrent_writers=True)
    assert swept.failed == ()
    assert [table.files(old[day]) for day in DAYS] == [[], []]
    assert table.rows() == before


def test_a_file_that_is_put_again_in_the_same_second_is_seen_by_its_tag(table: TableOnS3) -> None:
    """Of the same size and, as the store tells it, of the same time."""
    plan = planned(table)
    path = table.s3.root / table.key(f"{table.root}/day=a/part-1.parquet")
    was, body = path.stat(), path.read_bytes()
    place = body.index(b"w0")  # a value of a dictionary
    with table.store.open_output_stream(table.key(f"{table.root}/day=a/part-1.parquet")) as sink:
        sink.write(body[:place] + b"v0" + body[place + 2 :])
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (was.st_size, was.st_mtime_ns)
    result = lakeopt.apply(plan)
    assert [one.partition for one in result.failed] == ['{"day": "a"}']
    assert "have changed since the plan" in result.failed[0].error
    assert result.groups_done == 1
    assert table.place("a") == f"{table.root}/day=a"


def test_a_folder_of_a_store_without_a_metastore_is_not_switched(
    table: TableOnS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in table.s3.properties().items():
        spelt = key.replace(".", "__").replace("-", "_").upper()
        monkeypatch.setenv(f"PYICEBERG_CATALOG__DEFAULT__{spelt}", value)
    with pytest.raises(Refused, match="local file systems alone"):
        lakeopt.rewrite(table.root, strategy="sort", sort_by=KEY)
