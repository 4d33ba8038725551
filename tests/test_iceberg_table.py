"""What an Iceberg table says of itself: refs, keys, scans, views, properties, places, and why it cannot be written."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake import Lake, flights
from pyiceberg.avro.file import AvroOutputFile
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    data_file_with_partition,
    manifest_entry_schema_with_data_file,
)
from pyiceberg.table import StaticTable, Table
from pyiceberg.table.sorting import NullOrder, SortDirection
from pyiceberg.transforms import BucketTransform, IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import StructType

from lakeopt.errors import ConfigurationError, Refused, StalePlan, UnknownName
from lakeopt.model.plan import FileGroup, Layout, PlannedFile, SortField
from lakeopt.model.serde import to_json
from lakeopt.tables.iceberg.metadata.partitions import Partitioning
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.tables.open import open_table

SCHEMA = pa.schema([("id", pa.int64()), ("p", pa.int32())])
ROWS = pa.table({"id": pa.array([3, 1, 2], pa.int64()), "p": pa.array([7, 7, 7], pa.int32())})


def every_file(table: IcebergTable) -> pa.Table:
    return pa.concat_tables(table.files())


def edited(table: Table, edit: Callable[[dict[str, Any]], None]) -> IcebergTable:
    """The table as a metadata file says that another engine changed by hand."""
    path = Path(table.metadata_location.removeprefix("file://"))
    metadata = json.loads(path.read_text())
    edit(metadata)
    made = path.with_name(f"{uuid.uuid4()}.metadata.json")
    made.write_text(json.dumps(metadata))
    return IcebergTable(StaticTable.from_metadata(str(made)))


def test_snapshots_are_found_by_ref_and_by_id(lake: Lake) -> None:
    table = lake.create("db.t", SCHEMA)
    assert open_table("db.t").snapshot_id() is None
    table = lake.append(table, ROWS)
    first = table.current_snapshot().snapshot_id
    table.manage_snapshots().create_tag(first, "v1").create_branch(first, "🌿 x").commit()
    table = lake.append(lake.load("db.t"), ROWS)
    opened = open_table("db.t")
    assert opened.snapshot_id() == table.current_snapshot().snapshot_id != first
    assert opened.snapshot_id("v1") == opened.snapshot_id("🌿 x") == opened.snapshot_id(str(first)) == first
    assert len(pa.concat_tables(opened.files(first))) == 1
    with pytest.raises(UnknownName) as caught:
        opened.snapshot_id("mian")
    assert caught.value.hint == "did you mean 'main'?"
    for missing in (12345, first + 1):
        with pytest.raises(UnknownName, match=str(missing)):
            opened.files(missing)


def test_a_table_answers_from_one_moment_until_it_is_refreshed(lake: Lake) -> None:
    table = lake.append(lake.create("db.t", SCHEMA), ROWS)
    opened = open_table("db.t")
    lake.append(table, ROWS)
    assert len(every_file(opened)) == 1
    assert len(every_file(opened.refresh())) == 2


def test_the_sort_key_is_the_default_order_where_it_is_plain_columns(lake: Lake) -> None:
    lake.create("db.t", SCHEMA, sort=["p", "id"])
    opened = open_table("db.t")
    assert opened.sort_key() == (SortField("p"), SortField("id"))
    assert opened.sort_order_id(opened.sort_key()) == 1
    assert opened.sort_order_id((SortField("p"),)) is None
    assert opened.sort_order_id(()) is None
    with lake.load("db.t").update_sort_order() as order:
        order.desc("id", IdentityTransform(), NullOrder.NULLS_LAST)
    key = open_table("db.t").sort_key()
    assert key == (SortField("id", "desc", "last"),)
    assert open_table("db.t").sort_order_id(key) == 2
    with lake.load("db.t").update_sort_order() as order:
        order.asc("p", BucketTransform(4), NullOrder.NULLS_FIRST)
    assert open_table("db.t").sort_key() == ()
    assert SortDirection.ASC.value == "asc"


@pytest.mark.parametrize(
    ("summary", "key"),
    [
        (to_json(Layout("sort", (SortField("id", "desc", "last"),))), (SortField("id", "desc", "last"),)),
        (to_json(Layout("sort", (SortField("gone"),))), (SortField("p"),)),
        (to_json(Layout("bin-pack")), (SortField("p"),)),
        ("{not json", (SortField("p"),)),
    ],
)
def test_the_last_layout_goes_before_the_default_order(lake: Lake, summary: str, key: tuple[SortField, ...]) -> None:
    table = lake.create("db.t", SCHEMA, sort=["p"])
    older = to_json(Layout("sort", (SortField("p"), SortField("id"))))
    table.append(ROWS, snapshot_properties={"lakeopt.layout": older})
    table.append(ROWS, snapshot_properties={"lakeopt.layout": summary})
    table.append(ROWS)
    table.append(ROWS, snapshot_properties={"lakeopt.layout": older}, branch="aside")
    assert open_table("db.t").sort_key() == key


PARTITION_VALUES: list[tuple[pa.DataType, Any, Any]] = [
    (pa.int32(), 5, 5),
    (pa.int64(), -(2**40), -(2**40)),
    (pa.string(), 'u s/1 "é"', 'u s/1 "é"'),
    (pa.bool_(), True, True),
    (pa.date32(), dt.date(1969, 12, 31), -1),
    (pa.timestamp("us"), dt.datetime(2026, 1, 2, 3, 4, 5, 678901), 1767323045678901),
    (pa.timestamp("us", "UTC"), dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.UTC), 1767323045678901),
    (pa.time64("us"), dt.time(1, 2, 3, 4), 3723000004),
    (pa.decimal128(9, 2), Decimal("-1.25"), Decimal("-1.25")),
    (pa.binary(), b"\0\xff", b"\0\xff"),
    (pa.uuid(), uuid.UUID(int=7), uuid.UUID(int=7)),
    (pa.float64(), float("inf"), float("inf")),
    (pa.float64(), -0.0, -0.0),
]


@pytest.mark.parametrize(("kind", "value", "internal"), PARTITION_VALUES, ids=lambda v: str(v)[:20])
def test_identity_partitions_give_constants_of_the_columns_type(
    lake: Lake, kind: pa.DataType, value: Any, internal: Any
) -> None:
    table = lake.create("db.t", pa.schema([("id", pa.int64()), ("p", kind)]), partition=[("p", "identity")])
    only_id = ROWS.select(["id"])
    files = [lake.data_file(table, only_id, partition=[v]) for v in (internal, None)]
    lake.land(table, *files)
    opened = open_table("db.t")
    scan = opened.scan(every_file(opened))
    constant = scan.constants[files[0].file_path][2]
    assert pa.scalar(constant, scan.schema.field("p").type) == pa.scalar(value, scan.schema.field("p").type)
    assert str(constant) == str(value)  # -0.0 is not 0.0
    assert scan.constants[files[1].file_path] == {2: None}
    assert scan.files.num_rows == 2


def test_other_transforms_give_no_constants(lake: Lake) -> None:
    table = lake.create("db.t", SCHEMA, partition=[("id", "bucket[4]")])
    lake.land(table, lake.data_file(table, ROWS, partition=[2]))
    opened = open_table("db.t")
    assert opened.scan(every_file(opened)).constants == {}
    assert every_file(opened)["partition"].to_pylist() == ['{"id_bucket": 2}']


def test_dates_beyond_what_python_knows_are_kept_as_numbers(lake: Lake) -> None:
    table = lake.create("db.t", pa.schema([("id", pa.int64()), ("d", pa.date32())]), partition=[("d", "identity")])
    partitioning = Partitioning(table.metadata)
    text = partitioning.text(0, Record(4_000_000))
    assert partitioning.constants(0, text) == {2: 4_000_000}
    with pytest.raises(Refused, match="4000000"):
        partitioning.path(0, Record(4_000_000))


def test_files_of_a_spec_whose_column_is_gone_are_planned_and_filtered(lake: Lake) -> None:
    table = lake.create("db.t", SCHEMA, partition=[("p", "identity")])
    lake.land(table, *[lake.data_file(table, ROWS, partition=[p]) for p in (7, 8)])
    with lake.load("db.t").update_spec() as spec:
        spec.remove_field("p")
    with lake.load("db.t").update_schema() as schema:
        schema.delete_column("p")
    opened = open_table("db.t")
    assert sorted(every_file(opened)["partition"].to_pylist()) == ['{"p": 7}', '{"p": 8}']
    assert len(pa.concat_tables(opened.files(where="id = 1"))) == 2
    with pytest.raises(UnknownName, match="no column named 'p'"):
        opened.files(where="p = 7")
    assert opened.new_data_location(group_of(every_file(opened), 0), "x.parquet").endswith("/p=7/x.parquet")


def test_the_name_mapping_is_handed_on_as_the_spec_writes_it(lake: Lake) -> None:
    mapping = [{"field-id": 1, "names": ["id", "ID"]}, {"field-id": 2, "names": ["p"]}]
    table = lake.create("db.t", SCHEMA, properties={"schema.name-mapping.default": json.dumps(mapping)})
    lake.append(table, ROWS)
    opened = open_table("db.t")
    assert opened.scan(every_file(opened)).name_mapping == tuple(mapping)
    table.transaction().set_properties({"schema.name-mapping.default": "[1]"}).commit_transaction()
    with pytest.raises(ConfigurationError, match="name-mapping"):
        opened.refresh().scan(every_file(opened))


def group_of(files: pa.Table, row: int, **more: Any) -> FileGroup:
    path = files.sort_by("partition")["file_path"][row].as_py()
    spec_id = files.sort_by("partition")["spec_id"][row].as_py()
    return FileGroup(0, spec_id, "some words for people", 1, 1, 1, (PlannedFile(path, 1, 1),), **more)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, "{location}/data/p=7/x.parquet"),
        ({"write.data.path": "file:///else/where/"}, "file:///else/where/p=7/x.parquet"),
        ({"write.object-storage.enabled": "true"}, "{location}/data/*/*/*/*/p=7/x.parquet"),
        (
            {"write.object-storage.enabled": "true", "write.object-storage.partitioned-paths": "false"},
            "{location}/data/*/*/*/*-x.parquet",
        ),
    ],
)
def test_new_files_go_where_the_location_provider_says(lake: Lake, properties: dict[str, str], expected: str) -> None:
    table = lake.create("db.t", SCHEMA, partition=[("p", "identity")], properties=properties)
    lake.land(table, *[lake.data_file(table, ROWS, partition=[p]) for p in (7, 8)])
    opened = open_table("db.t")
    made = opened.new_data_location(group_of(every_file(opened), 0), "x.parquet")
    pattern = expected.format(location=table.location())
    assert Path(made).match(pattern)
    assert made.count("/") == pattern.count("/")


def test_new_files_of_an_unpartitioned_table_and_of_vanished_files(lake: Lake) -> None:
    table = lake.append(lake.create("db.t", SCHEMA), ROWS)
    opened = open_table("db.t")
    group = group_of(every_file(opened), 0)
    assert opened.new_data_location(group, "x.parquet") == f"{table.location()}/data/x.parquet"
    lost = FileGroup(0, 0, "", 1, 1, 1, (PlannedFile("file:///gone.parquet", 1, 1),))
    with pytest.raises(StalePlan, match=r"file:///gone\.parquet"):
        opened.new_data_location(lost, "x.parquet")


def test_a_location_provider_that_is_not_there_is_a_matter_of_configuration(lake: Lake) -> None:
    table = lake.append(lake.create("db.t", SCHEMA), ROWS)
    setting = {"write.py-location-provider.impl": "no.such.Provider"}
    opened = edited(table, lambda metadata: metadata["properties"].update(setting))
    with pytest.raises(ConfigurationError, match="location provider"):
        opened.new_data_location(group_of(every_file(opened), 0), "x.parquet")


def test_local_locations_resolve_in_each_spelling(lake: Lake) -> None:
    lake.create("db.t", SCHEMA)
    opened = open_table("db.t")
    for location in ("/a b/c#d?e%20.parquet", "file:/a b/c#d?e%20.parquet", "file:///a b/c#d?e%20.parquet"):
        filesystem, path = opened.resolve(location)
        assert (filesystem.type_name, path) == ("local", "/a b/c#d?e%20.parquet")
    with pytest.raises(Refused, match="gopher"):
        opened.resolve("gopher://a/b")


def test_other_schemes_resolve_through_the_tables_own_properties(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__S3__ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__S3__REGION", "us-east-1")
    lake.create("db.t", SCHEMA)
    filesystem, path = open_table("db.t").resolve("s3a://bucket/k//x%20y")
    assert (filesystem.type_name, path) == ("s3", "bucket/k//x%20y")
    assert filesystem.region == "us-east-1"


def test_views_are_rows_of_metadata(lake: Lake) -> None:
    table = lake.flights(days=3, partition=[("origin", "identity")])
    file = next(lake.files(table))
    table = lake.land(table, lake.position_deletes(table, {file.file_path: [0]}, like=file))
    table.manage_snapshots().create_tag(table.current_snapshot().snapshot_id, "now").commit()
    opened = open_table("db.flights")
    snapshots = opened.view("snapshots").to_pylist()
    assert [row["operation"] for row in snapshots] == ["append"] * 3 + ["delete"]
    assert [row["parent_id"] for row in snapshots] == [None, *(row["snapshot_id"] for row in snapshots[:-1])]
    assert all(dt.datetime.fromisoformat(row["committed_at"]).tzinfo == dt.UTC for row in snapshots)
    assert dict(snapshots[2]["summary"])["total-records"] == "600"
    assert [(row["name"], row["type"]) for row in opened.view("refs").to_pylist()] == [
        ("main", "branch"),
        ("now", "tag"),
    ]
    manifests = opened.view("manifests").to_pylist()
    assert sorted(row["content"] for row in manifests) == ["data"] * 3 + ["deletes"]
    assert sum(row["added_files_count"] for row in manifests) == 10
    assert all(Path(row["path"].removeprefix("file://")).stat().st_size == row["bytes"] for row in manifests)
    older = opened.view("manifests", int(snapshots[0]["snapshot_id"]))
    assert len(older) == 1
    with pytest.raises(UnknownName, match="no view named 'snapshot'"):
        opened.view("snapshot")


def test_views_of_an_empty_table_are_empty(lake: Lake) -> None:
    lake.create("db.t", SCHEMA)
    assert [len(open_table("db.t").view(name)) for name in ("snapshots", "refs", "manifests")] == [0, 0, 0]


def test_what_it_says_of_itself(lake: Lake) -> None:
    table = lake.create("db.t", flights(0, 1).schema)
    opened = open_table("db.t")
    assert (opened.format, opened.format_version, opened.uuid) == ("iceberg", 2, str(table.metadata.table_uuid))
    assert (opened.location, opened.warehouse) == (table.location(), lake.warehouse.as_uri())
    assert (opened.schema_id, opened.read_only) == (0, None)
    assert opened.field_types["day"] == "date"
    assert list(opened.field_types) == opened.schema.names


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        ({"encryption.key-id": "k1"}, "encrypted"),
        ({"write.format.default": "orc"}, "orc"),
        ({"write.format.default": "PARQUET"}, None),
    ],
)
def test_why_a_table_cannot_be_written(lake: Lake, properties: dict[str, str], says: str | None) -> None:
    lake.create("db.t", SCHEMA, properties=properties)
    reason = open_table("db.t").read_only
    assert reason is None if says is None else says in str(reason)


def with_vector(lake: Lake) -> tuple[IcebergTable, DataFile, str]:
    """A v3 table with a deletion vector, in the manifests that a v3 writer makes."""
    table = lake.append(lake.create("db.t", SCHEMA), ROWS)
    file = next(lake.files(table))
    table = lake.land(table, lake.position_deletes(table, {file.file_path: [0]}, like=file))
    (manifest,) = [m for m in table.current_snapshot().manifests(table.io) if m.content == 1]
    vector = DataFile.from_args(
        _table_format_version=3,
        content=DataFileContent.POSITION_DELETES,
        file_path=f"{table.location()}/data/v.puffin",
        file_format=FileFormat.PUFFIN,
        partition=Record(),
        record_count=1,
        file_size_in_bytes=60,
        referenced_data_file=file.file_path,
        content_offset=4,
        content_size_in_bytes=40,
    )
    entry = ManifestEntry.from_args(
        _table_format_version=3, status=ManifestEntryStatus.ADDED, snapshot_id=1, data_file=vector
    )
    schema = manifest_entry_schema_with_data_file(3, data_file_with_partition(StructType(), 3))
    with AvroOutputFile(table.io.new_output(manifest.manifest_path), schema, "manifest_entry", schema) as out:
        out.write_block([entry])

    def to_v3(metadata: dict[str, Any]) -> None:
        metadata |= {"format-version": 3, "next-row-id": 3}
        for snapshot in metadata["snapshots"]:
            snapshot["first-row-id"] = 0

    return edited(table, to_v3), file, vector.file_path


def test_v3_is_read_with_its_vectors_and_refused_for_writing(lake: Lake) -> None:
    opened, file, vector = with_vector(lake)
    assert opened.format_version == 3
    assert "metadata file" in str(opened.read_only)
    assert every_file(opened)["delete_files"].to_pylist() == [[vector]]
    scan = opened.scan(every_file(opened))
    assert scan.deletes is not None
    (row,) = scan.deletes.to_pylist()
    assert (row["file_format"], row["referenced_data_file"]) == ("PUFFIN", file.file_path)
    assert (row["content_offset"], row["content_size_in_bytes"]) == (4, 40)


def test_v3_in_a_catalog_is_read_only(lake: Lake) -> None:
    path = Path(lake.create("db.t", SCHEMA).metadata_location.removeprefix("file://"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format-version": 3, "next-row-id": 0}))
    assert "format version 3 is read only" in str(open_table("db.t").read_only)


def test_initial_defaults_are_values_of_their_type(lake: Lake) -> None:
    table = lake.append(lake.create("db.t", SCHEMA), ROWS)

    def add(metadata: dict[str, Any]) -> None:
        metadata |= {"format-version": 3, "next-row-id": 3}
        for schema in metadata["schemas"]:
            for i, (kind, value) in enumerate([("date", "2026-01-02"), ("uuid", str(uuid.UUID(int=7))), ("int", 5)]):
                field = {"id": 10 + i, "name": f"d{i}", "required": False, "type": kind}
                schema["fields"].append(field | {"initial-default": value, "write-default": value})

    opened = edited(table, add)
    defaults = opened.scan(every_file(opened)).defaults
    assert defaults == {10: dt.date(2026, 1, 2), 11: uuid.UUID(int=7), 12: 5}


def test_files_written_without_ids_are_listed_without_bounds(lake: Lake) -> None:
    table = lake.create("db.t", SCHEMA)
    lake.land(table, lake.data_file(table, ROWS, field_ids=False))
    opened = open_table("db.t")
    (file,) = every_file(opened).to_pylist()
    assert file["lower_bounds"] is None
    assert pq.read_metadata(opened.resolve(file["file_path"])[1]).num_rows == file["record_count"] == 3
