"""A plain Hive table of the same metastore may have files at an Iceberg table's location: it is found and named."""

from __future__ import annotations

from pathlib import Path

import pytest
from lake import flights
from orphans import plant
from pyiceberg.catalog import load_catalog
from servers.hive import Hive

from lakeopt.errors import Refused
from lakeopt.workflows.remove_orphan_files import find_orphan_files


@pytest.mark.service("Hive metastore")
def test_hive_table_below_the_location_is_refused_and_named(
    hive: Hive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hive_metastore.ttypes import FieldSchema, SerDeInfo, StorageDescriptor
    from hive_metastore.ttypes import Table as HiveTable

    properties = {"type": "hive", "uri": hive.uri, "warehouse": tmp_path.as_uri(), "hive.hive2-compatible": "true"}
    for name, value in properties.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__HMS__{name.upper().replace('.', '__').replace('-', '_')}", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    catalog = load_catalog("hms", **properties)
    catalog.create_namespace("orphans")
    table = catalog.create_table("orphans.t", flights(0, 1).schema, location=(tmp_path / "t").as_uri())
    table.append(flights(0, 10))
    plant(table, "guest/part-0.parquet")
    assert [file.path for file in find_orphan_files("hms.orphans.t").orphans] == ["guest/part-0.parquet"]
    storage = StorageDescriptor(
        cols=[FieldSchema("id", "bigint", "")],
        location=f"file:{tmp_path}/t/guest",
        inputFormat="org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        outputFormat="org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        serdeInfo=SerDeInfo(serializationLib="org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"),
        parameters={},
    )
    plain = HiveTable(
        dbName="orphans", tableName="guest", sd=storage, partitionKeys=[], parameters={}, tableType="EXTERNAL_TABLE"
    )
    with catalog._client as metastore:
        metastore.create_table(plain)
    with pytest.raises(Refused, match=r"hms\.orphans\.guest has files below"):
        find_orphan_files("hms.orphans.t")
