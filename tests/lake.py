"""Builders of small Iceberg tables: real files, real catalog, and what pyiceberg itself cannot write.

pyiceberg writes no delete manifests and no files of an older partition spec; :meth:`Lake.land` does, from
hand-made entries, so that tests can build every table that another engine could have left behind.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import load_catalog
from pyiceberg.io.pyarrow import (
    _pyarrow_to_schema_without_ids,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriterV2,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, SnapshotSummaryCollector, Summary, update_snapshot_summaries
from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.table.update.snapshot import _FastAppendFiles
from pyiceberg.transforms import IdentityTransform, parse_transform
from pyiceberg.typedef import Record

PATH_ID, POSITION_ID = 2147483546, 2147483545


class Lake:
    """A SQLite catalog with a warehouse beside it, both below ``root``; ``properties`` name other ones."""

    def __init__(self, root: Path, catalog_name: str = "lake", properties: Mapping[str, str] | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root, self.catalog_name = root, catalog_name
        self.warehouse = root / "warehouse"
        self.warehouse.mkdir(exist_ok=True)
        own = {"uri": f"sqlite:///{root / 'catalog.db'}", "warehouse": self.warehouse.as_uri()}
        self.properties = {**own, **(properties or {})}
        self.uri = self.properties["uri"]
        self.catalog = load_catalog(catalog_name, **self.properties)

    @property
    def environment(self) -> dict[str, str]:
        """What makes pyiceberg find this catalog, in this process and in others."""
        prefix = f"PYICEBERG_CATALOG__{self.catalog_name.upper()}__"
        spelt = {key.replace(".", "__").replace("-", "_").upper(): value for key, value in self.properties.items()}
        return {f"{prefix}{key}": value for key, value in spelt.items()}

    def create(
        self,
        identifier: str | tuple[str, ...],
        schema: pa.Schema | Schema,
        *,
        partition: Sequence[tuple[str, str]] = (),
        sort: Sequence[str] = (),
        properties: Mapping[str, str] | None = None,
        format_version: int = 2,
        location: str | None = None,
    ) -> Table:
        """An empty table. ``partition`` is (column, transform as text) pairs; ``sort`` column names, ascending."""
        identifier = tuple(identifier.split(".")) if isinstance(identifier, str) else identifier
        properties = {"format-version": str(format_version), **(properties or {})}
        if isinstance(schema, pa.Schema):
            schema = assign_fresh_schema_ids(_pyarrow_to_schema_without_ids(schema, format_version=format_version))
        ids = {name: schema.find_field(name).field_id for name in [*[column for column, _ in partition], *sort]}
        spec = PartitionSpec(
            *[
                PartitionField(ids[column], 1000 + i, parse_transform(text), _partition_name(column, text))
                for i, (column, text) in enumerate(partition)
            ]
        )
        order = SortOrder(
            *[SortField(ids[name], IdentityTransform(), SortDirection.ASC, NullOrder.NULLS_FIRST) for name in sort]
        )
        self.catalog.create_namespace_if_not_exists(identifier[:-1])
        return self.catalog.create_table(
            identifier, schema, location=location, partition_spec=spec, sort_order=order, properties=properties
        )

    def load(self, identifier: str | tuple[str, ...]) -> Table:
        """The table as the catalog has it now."""
        return self.catalog.load_table(identifier)

    def append(self, table: Table, rows: pa.Table) -> Table:
        """Rows in one commit, written by pyiceberg."""
        table = self.catalog.load_table(table.name())
        table.append(rows)
        return self.catalog.load_table(table.name())

    def land(
        self,
        table: Table,
        *files: DataFile,
        operation: Operation | None = None,
        branch: str = "main",
        sequence: int | None = None,
    ) -> Table:
        """Hand-made data and delete files in one commit, each in its own spec.

        ``sequence`` is their data sequence number where it is not that of the commit, as after a rewrite.
        """
        table = self.catalog.load_table(table.name())
        only_data = all(file.content == DataFileContent.DATA for file in files)
        operation = operation or (Operation.APPEND if only_data else Operation.DELETE)
        transaction = table.transaction()
        producer = _Land(operation, transaction, table.io, branch=branch)
        producer.sequence = sequence
        for file in files:
            producer.append_data_file(file)
        producer.commit()
        transaction.commit_transaction()
        return self.catalog.load_table(table.name())

    def data_file(
        self,
        table: Table,
        rows: pa.Table,
        *,
        partition: Sequence[Any] = (),
        spec_id: int | None = None,
        name: str | None = None,
        field_ids: bool = True,
        sort_order_id: int | None = None,
        write: Callable[..., Any] = pq.write_table,
        **writer: Any,
    ) -> DataFile:
        """A Parquet file with these rows (columns by name of the current schema), not yet in the table.

        ``partition`` holds the internal values of the spec's fields (days for a date). ``writer`` goes to
        ``write``, after the rows and the file to write to. Without ``field_ids`` the file is as an engine without
        Iceberg writes it.
        """
        location = f"{table.location()}/data/{name or f'{uuid.uuid4()}.parquet'}"
        if field_ids:
            full = schema_to_pyarrow(table.schema())
            rows = rows.cast(pa.schema([full.field(column) for column in rows.column_names]))
        size = _write(table, location, rows, write, **writer)
        statistics: dict[str, Any] = {"record_count": rows.num_rows}
        if field_ids:
            kept = Schema(*[f for f in table.schema().fields if f.name in rows.column_names])
            with table.io.new_input(location).open() as source:
                footer = pq.read_metadata(source)
            statistics = data_file_statistics_from_parquet_metadata(
                footer, compute_statistics_plan(kept, table.properties), parquet_path_to_id_mapping(kept)
            ).to_serialized_dict()
        file = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=location,
            file_format=FileFormat.PARQUET,
            partition=Record(*partition),
            file_size_in_bytes=size,
            sort_order_id=sort_order_id,
            **statistics,
        )
        file.spec_id = table.spec().spec_id if spec_id is None else spec_id
        return file

    def position_deletes(self, table: Table, deletes: Mapping[str, Sequence[int]], *, like: DataFile) -> DataFile:
        """A position-delete file for ``{data file path: positions}``, in the partition and spec of ``like``."""
        location = f"{table.location()}/data/{uuid.uuid4()}-deletes.parquet"
        pairs = sorted((path, position) for path, positions in deletes.items() for position in positions)
        schema = pa.schema([_field("file_path", pa.string(), PATH_ID), _field("pos", pa.int64(), POSITION_ID)])
        columns = [[path for path, _ in pairs], [position for _, position in pairs]]
        size = _write(table, location, pa.table(columns, schema=schema))
        return _delete_file(
            DataFileContent.POSITION_DELETES,
            location,
            like,
            size,
            record_count=len(pairs),
            lower_bounds={PATH_ID: pairs[0][0].encode()},
            upper_bounds={PATH_ID: pairs[-1][0].encode()},
        )

    def equality_deletes(self, table: Table, rows: pa.Table, *, like: DataFile | None = None) -> DataFile:
        """An equality-delete file on the columns of ``rows``; without ``like`` it must be unpartitioned: global."""
        location = f"{table.location()}/data/{uuid.uuid4()}-eq-deletes.parquet"
        full = schema_to_pyarrow(table.schema())
        rows = rows.cast(pa.schema([full.field(column) for column in rows.column_names]))
        size = _write(table, location, rows)
        ids = [table.schema().find_field(column).field_id for column in rows.column_names]
        if like is None:
            like = DataFile.from_args(partition=Record())
            like.spec_id = next(i for i, spec in table.specs().items() if spec.is_unpartitioned())
        return _delete_file(
            DataFileContent.EQUALITY_DELETES, location, like, size, record_count=rows.num_rows, equality_ids=ids
        )

    def files(self, table: Table) -> Iterator[DataFile]:
        """Live data and delete files of the current snapshot, as pyiceberg holds them."""
        snapshot = self.catalog.load_table(table.name()).current_snapshot()
        for manifest in snapshot.manifests(table.io) if snapshot else ():
            yield from (entry.data_file for entry in manifest.fetch_manifest_entry(table.io))

    def flights(
        self, identifier: str = "db.flights", *, days: int = 5, rows_per_day: int = 200, **options: Any
    ) -> Table:
        """A table like New York's flights, one append a day: few origins, many destinations, delays with nulls."""
        table = self.create(identifier, flights(0, rows_per_day).schema, **options)
        for day in range(days):
            table = self.append(table, flights(day, rows_per_day))
        return table


def flights(day: int, rows: int) -> pa.Table:
    """One day of made-up flights; the same day gives the same rows."""
    import numpy as np

    random = np.random.default_rng(day)
    delay = random.normal(6, 40, rows).round(1)
    return pa.table(
        {
            "day": pa.array(np.full(rows, day + 15706, dtype="int32"), pa.date32()),
            "carrier": pa.array(random.choice(["UA", "B6", "EV", "DL", "AA", "MQ"], rows)),
            "flight": pa.array(random.integers(1, 6000, rows), pa.int32()),
            "origin": pa.array(random.choice(["EWR", "JFK", "LGA"], rows)),
            "dest": pa.array([f"D{i:02d}" for i in random.zipf(1.6, rows) % 90]),
            "dep_delay": pa.array(delay, pa.float64(), mask=random.random(rows) < 0.03),
            "distance": pa.array(random.integers(80, 5000, rows), pa.int64()),
        }
    )


class _DeleteManifestWriter(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _Land(_FastAppendFiles):
    """Appends entries of any content and spec, one manifest for each pair of them."""

    sequence: int | None = None

    def _manifests(self) -> list[ManifestFile]:
        groups: dict[tuple[bool, int], list[DataFile]] = {}
        for file in self._added_data_files:
            groups.setdefault((file.content == DataFileContent.DATA, file.spec_id), []).append(file)
        made = []
        for (is_data, spec_id), files in groups.items():
            spec = self.spec(spec_id)
            writer = (
                self.new_manifest_writer(spec)
                if is_data
                else _DeleteManifestWriter(
                    spec, self.schema(), self.new_manifest_output(), self._snapshot_id, self._compression
                )
            )
            with writer:
                for file in files:
                    entry = ManifestEntry.from_args(
                        status=ManifestEntryStatus.ADDED,
                        snapshot_id=self._snapshot_id,
                        sequence_number=self.sequence,
                        data_file=file,
                    )
                    writer.add_entry(entry)
            made.append(writer.to_manifest_file())
        return made + self._existing_manifests()

    def _summary(self, snapshot_properties: Mapping[str, str] = {}) -> Summary:
        metadata = self._transaction.table_metadata
        collector = SnapshotSummaryCollector(partition_summary_limit=0)
        for file in self._added_data_files:
            collector.add_file(file, schema=metadata.schema(), partition_spec=metadata.specs()[file.spec_id])
        parent = metadata.snapshot_by_id(self._parent_snapshot_id) if self._parent_snapshot_id else None
        summary = Summary(operation=self._operation, **collector.build(), **snapshot_properties)
        return update_snapshot_summaries(summary, parent.summary if parent else None)


def _partition_name(column: str, transform: str) -> str:
    return column if transform == "identity" else f"{column}_{transform.partition('[')[0]}"


def _field(name: str, kind: pa.DataType, field_id: int) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={b"PARQUET:field_id": str(field_id).encode()})


def _write(
    table: Table, location: str, rows: pa.Table, write: Callable[..., Any] = pq.write_table, **writer: Any
) -> int:
    with table.io.new_output(location).create() as sink:
        write(rows, sink, **writer)
    return len(table.io.new_input(location))


def _delete_file(content: DataFileContent, location: str, like: DataFile, size: int, **more: Any) -> DataFile:
    file = DataFile.from_args(
        content=content,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=like.partition,
        file_size_in_bytes=size,
        **more,
    )
    file.spec_id = like.spec_id
    return file
