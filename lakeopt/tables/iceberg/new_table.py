"""A new table that appears in its catalog in one commit, with all of its files, or not at all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NoSuchIcebergTableError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.io import load_file_io
from pyiceberg.io.pyarrow import pyarrow_to_schema
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import CreateTableTransaction, StagedTable
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update.snapshot import _FastAppendFiles
from pyiceberg.transforms import IdentityTransform

from lakeopt.config import Settings
from lakeopt.errors import CommitConflict, CommitOutcomeUnknown, LakeoptError, Refused, UsageError, first_line
from lakeopt.model.plan import Layout
from lakeopt.model.scan import FIELD_ID
from lakeopt.parquet.footers import Resolve, read_footers
from lakeopt.parquet.values import children
from lakeopt.tables.iceberg import catalog as catalogs
from lakeopt.tables.iceberg import storage
from lakeopt.tables.iceberg.commits.data_file import FileStatistics, new_data_file
from lakeopt.tables.iceberg.commits.new_sort_order import order_fields
from lakeopt.tables.iceberg.identifiers import Identifier, join_identifier, split_identifier
from lakeopt.tables.iceberg.repartition import PartitionDivision
from lakeopt.tables.iceberg.table import IcebergTable

_METRICS = ("column_sizes", "value_counts", "null_value_counts", "nan_value_counts", "lower_bounds", "upper_bounds")


@dataclass(frozen=True, slots=True)
class NewName:
    """The name of a table that is to be made, and its catalog."""

    catalog: Catalog
    identifier: Identifier

    def __str__(self) -> str:
        return join_identifier((self.catalog.name, *self.identifier))

    @property
    def is_taken(self) -> bool:
        """Whether there is a table of that name now; one that is no Iceberg table takes it too."""
        with catalogs.answering(self.catalog.name):
            try:
                self.catalog.load_table(self.identifier)
            except NoSuchIcebergTableError:  # a plain Hive table, or a view
                return True
            except NoSuchTableError:
                return False
            return True

    def has(self, table_uuid: str) -> bool:
        """Whether the table of that name is the one with this UUID."""
        with catalogs.answering(self.catalog.name):
            try:
                return str(self.catalog.load_table(self.identifier).metadata.table_uuid) == table_uuid
            except NoSuchTableError:
                return False

    @property
    def namespace_exists(self) -> bool:
        """Whether its namespace is there."""
        with catalogs.answering(self.catalog.name):
            return bool(self.catalog.namespace_exists(self.identifier[:-1]))

    def resolve(self, location: str) -> tuple[Any, str]:
        """File system and path of a location, with the catalog's credentials."""
        return storage.resolve(load_file_io(self.catalog.properties, location), location)


def new_name(name: str, settings: Settings) -> NewName:
    """The catalog and identifier that ``[catalog.]namespace.table`` means.

    :raises UsageError: this is no name of a table.
    :raises UnknownName: no such catalog.
    :raises Unreachable: the catalog does not answer.
    """
    parts = split_identifier(name)
    if len(parts) >= 3 and parts[0].lower() in catalogs.configured_catalogs():
        return NewName(catalogs.connect(parts[0]), parts[1:])
    if len(parts) < 2:
        raise UsageError(f"not a table name: {name!r}", hint="write [catalog.]namespace.table")
    return NewName(catalogs.connect(catalogs.default_catalog(settings)), parts)


def iceberg_types(schema: pa.Schema) -> dict[str, str]:
    """Iceberg type of each top-level column of an Arrow schema with field ids.

    :raises Refused: a type has no place in an Iceberg table.
    """
    return {field.name: str(field.field_type) for field in _schema(schema).fields}


@dataclass(frozen=True)
class NewTable:
    """A table that is prepared and not in its catalog yet.

    ``table`` reads as it will be: with the files once they were added, though nobody else can see them.
    """

    name: NewName
    transaction: CreateTableTransaction
    table: IcebergTable

    @classmethod
    def stage(
        cls,
        name: NewName,
        schema: pa.Schema,
        partition_columns: Sequence[str],
        layout: Layout,
        properties: Mapping[str, str],
    ) -> NewTable:
        """Prepare a table with these columns (in Arrow types, with the field ids that it shall have).

        Partition columns become identity partition fields; a layout that is a sort order becomes the table's.

        :raises Refused: the catalog would number the columns otherwise, or cannot prepare tables.
        """
        wanted = _schema(schema)
        spec = _spec(wanted, partition_columns)
        order = order_fields(wanted, layout)
        with catalogs.answering(name.catalog.name):
            if not name.namespace_exists:
                name.catalog.create_namespace_if_not_exists(name.identifier[:-1])
            transaction = name.catalog.create_table_transaction(
                name.identifier,
                wanted,
                partition_spec=spec,
                sort_order=SortOrder(*order, order_id=1) if order else UNSORTED_SORT_ORDER,
                properties=dict(properties),
            )
        return cls(name, transaction, IcebergTable(transaction._table))

    def ids(self, schema: pa.Schema) -> dict[int, int]:
        """Field ids of this table by those of the schema that it was made from: catalogs number nested fields anew."""
        return dict(zip(_all_ids(list(schema)), _all_ids(list(self.table.schema)), strict=True))

    def encode(self, values: Mapping[int, Any]) -> tuple[bytes | None, ...]:
        """A partition from its values by field id (as Python has them), in Iceberg's single-value binary form."""
        fields = {int(field.metadata[FIELD_ID]): field for field in self.table.schema}
        sources = [field.source_id for field in self.table.iceberg.spec().fields]
        return self._division.encode([pa.scalar(values[source], fields[source].type) for source in sources])

    def staged_files(self, rows: Sequence[Mapping[str, Any]], partition: tuple[bytes | None, ...]) -> list[DataFile]:
        """Entries of files that were written for this table.

        :raises DataFileError: a file does not hold what its row says.
        """
        iceberg = self.table.iceberg
        footers = read_footers([row["file_path"] for row in rows], self.table.resolve)
        order_id = iceberg.metadata.default_sort_order_id or None
        return [
            new_data_file(
                row,
                footer,
                schema=iceberg.schema(),
                properties=iceberg.properties,
                spec_id=iceberg.spec().spec_id,
                partition=self._division.record(partition),
                sort_order_id=order_id if row["sorted"] else None,
            )
            for row, (_, footer) in zip(rows, footers, strict=True)
        ]

    def named_file(self, row: Mapping[str, Any], partition: tuple[bytes | None, ...]) -> DataFile:
        """The entry of a file that stays where it is, by its row in a file list (:func:`files_schema`)."""
        file = DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=row["file_path"],
            file_format=FileFormat.PARQUET,
            partition=self._division.record(partition),
            record_count=row["record_count"],
            file_size_in_bytes=row["file_size_in_bytes"],
            split_offsets=row["split_offsets"],
            **vars(FileStatistics(**{name: dict(row[name] or {}) for name in _METRICS})),
        )
        file.spec_id = self.table.iceberg.spec().spec_id
        return file

    def add(self, files: Sequence[DataFile], commit_uuid: uuid.UUID, summary: Mapping[str, str]) -> NewTable:
        """The same with these files in its first snapshot, whose manifests are written now."""
        if not files:
            return self
        transaction = self.transaction
        with _append(self, commit_uuid, summary) as append:
            for file in files:
                append.append_data_file(file)
        held = transaction._table
        staged = StagedTable(held.name(), transaction.table_metadata, held.metadata_location, held.io, held.catalog)
        return NewTable(self.name, transaction, IcebergTable(staged))

    def commit(self) -> int | None:
        """Put it into the catalog; its snapshot's id, None where it has none.

        :raises CommitConflict: there is a table of that name by now; nothing was made.
        :raises CommitOutcomeUnknown: the catalog did not answer: it may be there.
        """
        try:
            self.transaction.commit_transaction()
        except BaseException as error:
            self._found_out(error)
        return self.table.snapshot_id()

    def _found_out(self, error: BaseException) -> None:
        """Raise what an error means, unless the table is there all the same."""
        try:
            if self.name.has(self.table.uuid):
                return
        except LakeoptError as silent:
            raise CommitOutcomeUnknown(
                f"the answer to the creation of {self.name} was lost: {first_line(error)}",
                hint="the written files are kept; run it again when the catalog answers",
            ) from silent
        if isinstance(error, CommitFailedException | TableAlreadyExistsError):
            raise CommitConflict(f"there is a table {self.name} by now", hint="choose another name") from error
        with catalogs.answering(self.name.catalog.name):
            raise error

    @property
    def _division(self) -> PartitionDivision:
        iceberg = self.table.iceberg
        return PartitionDivision(iceberg.spec(), iceberg.schema(), self.table.schema)


def _all_ids(fields: Sequence[pa.Field]) -> Iterator[int]:
    for field in fields:
        yield int(field.metadata[FIELD_ID])
        yield from _all_ids(children(field.type))


def _append(new: NewTable, commit_uuid: uuid.UUID, summary: Mapping[str, str]) -> _FastAppendFiles:
    io = new.transaction._table.io
    return _FastAppendFiles(
        Operation.APPEND, new.transaction, io, commit_uuid=commit_uuid, snapshot_properties=dict(summary)
    )


def _schema(schema: pa.Schema) -> Schema:
    try:
        return pyarrow_to_schema(schema)
    except (TypeError, ValueError) as error:
        raise Refused(f"a column's type has no place in an Iceberg table: {first_line(error)}") from error


def _spec(schema: Schema, columns: Sequence[str]) -> PartitionSpec:
    if not columns:
        return UNPARTITIONED_PARTITION_SPEC
    return PartitionSpec(
        *(
            PartitionField(schema.find_field(name).field_id, 1000 + place, IdentityTransform(), name)
            for place, name in enumerate(columns)
        )
    )


def left_behind(
    resolve: Resolve, location: str, prefix: str, commit_uuid: str, table_uuid: str
) -> list[tuple[str, int]]:
    """Files that the making of a table left that never came into its catalog: location and bytes.

    Data files begin with a prefix, manifests bear the commit's UUID, and metadata files the table's.
    """
    from pyarrow import fs

    filesystem, path = resolve(location)
    found = []
    for info in filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True)):
        if info.is_file and (
            info.base_name.startswith(prefix)
            or commit_uuid in info.base_name
            or _is_metadata(filesystem, info, table_uuid)
        ):
            found.append((f"{location}{info.path[len(path) :]}", info.size))
    return found


def _is_metadata(filesystem: Any, info: Any, table_uuid: str) -> bool:
    if not info.base_name.endswith(".metadata.json"):
        return False
    with filesystem.open_input_stream(info.path) as source:
        try:
            return bool(json.loads(source.read()).get("table-uuid") == table_uuid)
        except ValueError:
            return False
