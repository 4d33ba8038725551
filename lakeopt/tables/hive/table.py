"""A Hive table, read at one moment: fills :class:`lakeopt.tables.base.Table` over a metastore or a folder."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import pyarrow as pa
from pyarrow import fs
from pyiceberg.schema import Schema

from lakeopt.errors import Refused, StalePlan, UnknownName, UsageError
from lakeopt.model.layout_record import recorded
from lakeopt.model.plan import FileGroup, Goal, SkippedGroup, SortField
from lakeopt.model.scan import FileForm, Repartition, Scan, WriterOptions
from lakeopt.tables.hive import admission, codecs, layout_memory, meaning, new_locations, views
from lakeopt.tables.hive.contents import Contents, read_contents
from lakeopt.tables.hive.file_lists import FileLists
from lakeopt.tables.hive.hive_types import iceberg_schema
from lakeopt.tables.hive.metastore import MetastoreSource
from lakeopt.tables.hive.other_formats import other_format
from lakeopt.tables.hive.partition_values import PartitionTypes
from lakeopt.tables.hive.source import Column, Description, Source
from lakeopt.tables.iceberg import exclusive_create
from lakeopt.tables.iceberg.arrow_schema import arrow_schema
from lakeopt.tables.iceberg.planning.planner import CONTENTS
from lakeopt.tables.iceberg.planning.pruning import Pruning
from lakeopt.tables.iceberg.planning.scans import partition_constants
from lakeopt.tables.iceberg.storage import local_path
from lakeopt.tables.iceberg.writer_properties import target_file_bytes, writer_options

_SCHEMA_ID = 0x7FFFFFFF


class HiveTable:
    """One Hive table. ``source`` is where its description comes from, ``description`` what it said."""

    format = "hive"
    format_version = 1
    keeps_snapshots = False
    committer = "hive-switch"
    default_spec_id = 0
    #: Codec of new files, where it is not that of the old ones.
    codec: str | None = None

    def __init__(
        self,
        source: Source,
        identifier: str,
        properties: Mapping[str, Any] | None = None,
        description: Description | None = None,
    ) -> None:
        self.source, self._identifier, self._io_properties = source, identifier, dict(properties or {})
        self.description: Description = description or source.describe()
        self._local = fs.LocalFileSystem()
        self._filesystems: dict[str, tuple[fs.FileSystem, int]] = {}

    @property
    def identifier(self) -> str:
        """``catalog.namespace.table`` as the user would type it, or the location of the folder."""
        return self._identifier

    @property
    def uuid(self) -> str:
        """Made of what does not change while the table lives: its name and when it was made, or its location."""
        return self.description.uuid

    @property
    def moves_replaced_files(self) -> bool:
        """A folder's partitions are exchanged; those of a metastore are led elsewhere, and the old files stay."""
        return not isinstance(self.source, MetastoreSource)

    @property
    def location(self) -> str:
        """Base location, spelt as the metastore does: that before any switch of a table without partitions."""
        return self.base_location

    @property
    def base_location(self) -> str:
        """The location before any switch: where a table without partitions lies now is below it since."""
        return new_locations.base(self.description.storage.location.rstrip("/") or "/")

    @property
    def warehouse(self) -> str | None:
        """The catalog's warehouse location, if it names one; of a folder the one that it lies in."""
        if isinstance(self.source, MetastoreSource):
            named = self._io_properties.get("warehouse")
            return None if named is None else str(named)
        above = self.location.rpartition("/")[0]
        return above or None

    @property
    def data_columns(self) -> tuple[Column, ...]:
        """Columns that files hold, with their types as Hive spells them."""
        return self.description.storage.columns

    @property
    def partition_columns(self) -> tuple[Column, ...]:
        """Columns whose values are in names of folders, with their types as Hive spells them."""
        return self.description.partition_columns

    @cached_property
    def iceberg_schema(self) -> Schema:
        """All columns in Iceberg's types, data columns first; ids from 1 by position."""
        return iceberg_schema((*self.data_columns, *self.partition_columns))

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns in Arrow types; every field at every depth carries its field id."""
        return arrow_schema(self.iceberg_schema)

    @cached_property
    def stored_schema(self) -> pa.Schema:
        """The part of :attr:`schema` that files hold."""
        return pa.schema(list(self.schema)[: len(self.data_columns)])

    @property
    def schema_id(self) -> int:
        """Digest of the columns: it is another one once a column was added, dropped, moved or altered."""
        told = repr((self.data_columns, self.partition_columns)).encode("utf-8", "surrogatepass")
        return zlib.crc32(told) & _SCHEMA_ID

    @cached_property
    def field_types(self) -> Mapping[str, str]:
        """Iceberg type of each top-level column, e.g. ``decimal(9, 2)``."""
        return {field.name: str(field.field_type) for field in self.iceberg_schema.fields}

    @cached_property
    def properties(self) -> Mapping[str, str]:
        """Table parameters, and the layout that lakeopt remembers."""
        noted = layout_memory.load(self) if self.description.storage.location else {}
        return {**self.description.parameters, **noted}

    @cached_property
    def unreadable(self) -> str | None:
        """Why its rows are not those of the files in its folders (ACID, a view, another format's folder), or None."""
        if self.description.unreadable is not None or not self.description.storage.location:
            return self.description.unreadable
        return other_format(self.base_location, self.resolve)

    @property
    def read_only(self) -> str | None:
        """Why this table cannot be written (ACID, bucketed, a view …), or None."""
        return self.description.refusal or self.unreadable

    @cached_property
    def partition_types(self) -> PartitionTypes:
        """Its partition columns as a spec."""
        return PartitionTypes(self.iceberg_schema, self.partition_columns)

    @cached_property
    def contents(self) -> Contents:
        """Partitions and files, listed once; a view has none."""
        if not self.description.storage.location:
            return Contents()
        return read_contents(
            self.source.partitions(),
            self.base_location,
            self.description.storage.file_format,
            self.resolve,
            registered=isinstance(self.source, MetastoreSource),
        )

    @cached_property
    def file_lists(self) -> FileLists:
        """The files as rows, with what their footers say."""
        stored = Schema(*self.iceberg_schema.fields[: len(self.data_columns)])
        return FileLists(
            self.contents, self.partition_types, stored, self.description.storage.file_format, self.resolve
        )

    @cached_property
    def oddities(self) -> Mapping[str, tuple[int, tuple[str, ...]]]:
        """What of its folders is not as it should be: by code how many, and a few examples."""
        return self.file_lists.oddities()

    @cached_property
    def _digest(self) -> int | None:
        return self.contents.digest()

    def snapshot_id(self, ref: str = "main") -> int | None:
        """Digest of all files as they are now; None for a table without files.

        :raises UnknownName: another branch, tag or snapshot, for it keeps none.
        """
        if ref != "main" and ref != str(self._digest):
            raise UnknownName(f"branch, tag or snapshot of {self.identifier}", ref, ["main"])
        return self._digest

    def sort_key(self) -> tuple[SortField, ...]:
        """The key the files are meant to be in: the last lakeopt layout."""
        layout = recorded(self.properties)
        if layout is None or layout.strategy != "sort" or layout.block_rows is not None:
            return ()
        names = {name for name, _ in self.data_columns}
        return layout.columns if all(column.name in names for column in layout.columns) else ()

    def sort_order_id(self, key: tuple[SortField, ...]) -> int | None:
        """None: a Hive table has no sort orders that files could name."""
        return None

    def files(
        self, snapshot_id: int | None = None, *, where: str | None = None, content: str = "data"
    ) -> Iterator[pa.Table]:
        """File lists (:func:`lakeopt.model.scan.files_schema`), some partitions at a time. A filter is checked first.

        :raises StalePlan: the files are not those of ``snapshot_id`` any more.
        :raises UsageError: ``where`` is no filter, or ``content`` none of data, deletes, all.
        :raises UnknownName: the filter names a column that is not there.
        """
        if content not in CONTENTS:
            raise UsageError(f"not a content of files: {content!r}", hint="one of data, deletes, all")
        pruning = None
        if where is not None:
            pruning = Pruning(where, self.iceberg_schema, self.partition_types.partitioning)
        if snapshot_id is not None and snapshot_id != self._digest:
            raise StalePlan(f"the files of {self.identifier} have changed", hint="plan again")
        return iter(()) if content == "deletes" else self.file_lists.tables(pruning)

    def scan(self, files: pa.Table, *, stored_only: bool = False) -> Scan:
        """How to read the rows of these files: columns by name, partition columns as constants.

        :raises Refused: the files do not tell the table's rows (a view, ACID …), or a file belongs to two partitions
            and partition columns are asked for.
        """
        admission.require_readable(self, files, stored_only=stored_only)
        return Scan(
            schema=self.stored_schema if stored_only else self.schema,
            files=files,
            resolve=self.resolve,
            name_mapping=self.file_lists.name_mapping(files["file_path"].to_pylist()),
            constants={} if stored_only else partition_constants(files, self.partition_types.partitioning),
            of_hive=True,
        )

    def file_form(self, files: pa.Table) -> FileForm:
        """How new files in the place of these are to be spelt: as these are.

        :raises Refused: they cannot be written so that Hive and Spark read them as these are.
        """
        found = meaning.file_form(
            files["file_path"].to_pylist(), self.description.storage.file_format, self.stored_schema, self.resolve
        )
        if isinstance(found, str):
            raise Refused(f"files of {self.identifier} cannot be rewritten: {found}", hint="leave them as they are")
        return found

    def admit(
        self, groups: tuple[FileGroup, ...], skipped: tuple[SkippedGroup, ...]
    ) -> tuple[tuple[FileGroup, ...], tuple[SkippedGroup, ...]]:
        """Groups of whole partitions, each with what must still hold when it is switched."""
        return admission.admit(self, groups, skipped)

    def view(self, name: str, snapshot_id: int | None = None) -> pa.Table:
        """Rows of ``snapshots``, ``refs`` or ``manifests``: none, for a Hive table keeps none.

        :raises UnknownName: no such view.
        """
        return views.empty(name)

    def writer_options(self, *, level: int | None = None, goal: Goal | None = None) -> WriterOptions:
        """Encoding that the table's parameters ask for. The codec is that of its files, which a rewrite keeps."""
        found = self.codec or (self.file_lists.codec() if "contents" in self.__dict__ else None)
        return writer_options(codecs.as_iceberg(self.properties, found), level=level, goal=goal)

    def writing(self, codec: str) -> HiveTable:
        """The same table, whose rows go to files of this codec: those of another table."""
        other = copy.copy(self)
        other.codec = codec
        return other

    def target_file_bytes(self) -> int:
        """``write.target-file-size-bytes`` of its parameters, as bytes on disk."""
        return target_file_bytes(self.properties)

    def resolve(self, location: str) -> tuple[fs.FileSystem, str]:
        """File system and path of a location, with the catalog's credentials."""
        if (local := local_path(location)) is not None:
            return self._local, local
        head = location[: location.find("/", location.find("://") + 3) + 1]
        if head not in self._filesystems:  # setting one up takes longer than a partition's listing
            filesystem, path = self.source.resolve(location)
            if not location.endswith(path):
                return filesystem, path
            self._filesystems[head] = filesystem, len(location) - len(path)
        filesystem, cut = self._filesystems[head]
        return filesystem, location[cut:]

    def new_data_location(self, group: FileGroup, name: str) -> str:
        """Where a new data file of this group goes: a hidden folder of this run, ending in the partition's names.

        :raises UsageError: the group is no partition of a Hive table.
        """
        return new_locations.new_location(self, group, name)

    def repartition(self, spec_id: int, name: Callable[[int], str]) -> Repartition:
        """Not here: rows of a Hive table stay in their partition.

        :raises Refused: always.
        """
        raise Refused("rows of a Hive table stay in their partitions", hint="migrate it to Iceberg to change them")

    def create_exclusively(self, location: str, body: bytes) -> bool:
        """Write an object if its name is free; False where it is taken.

        :raises Refused: the storage offers no such thing.
        :raises MissingExtra: it does, but through a package that is not installed.
        :raises OSError: the storage cannot be written.
        """
        from pyiceberg.io import load_file_io

        return exclusive_create.create_exclusively(load_file_io(self._io_properties, location), location, body)

    def refresh(self) -> HiveTable:
        """The same table as it is now."""
        return HiveTable(self.source.refreshed(), self._identifier, self._io_properties)
