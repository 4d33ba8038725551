"""An Iceberg table, read at one moment: fills :class:`lakeopt.tables.base.Table` over pyiceberg's metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
import pyiceberg.table
from pyarrow import fs
from pyiceberg.table import StaticTable
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.typedef import Record

from lakeopt.errors import StalePlan, UnknownName
from lakeopt.model.plan import FileGroup, Goal, SkippedGroup, SortField
from lakeopt.model.scan import Repartition, Scan, WriterOptions
from lakeopt.tables.iceberg import catalog, storage
from lakeopt.tables.iceberg.arrow_schema import arrow_schema
from lakeopt.tables.iceberg.exclusive_create import create_exclusively
from lakeopt.tables.iceberg.identifiers import join_identifier
from lakeopt.tables.iceberg.locations import location_provider, new_data_location
from lakeopt.tables.iceberg.metadata.partitions import Partitioning
from lakeopt.tables.iceberg.metadata.views import metadata_view
from lakeopt.tables.iceberg.planning.planner import Planner
from lakeopt.tables.iceberg.planning.scans import initial_defaults, name_mapping, partition_constants
from lakeopt.tables.iceberg.repartition import PartitionDivision
from lakeopt.tables.iceberg.sort_orders import intended_key, order_id
from lakeopt.tables.iceberg.writer_properties import target_file_bytes, writer_options


class IcebergTable:
    """One Iceberg table. ``iceberg`` is pyiceberg's own object, for what commits."""

    format = "iceberg"
    keeps_snapshots = True
    moves_replaced_files = False
    committer = "lakeopt"

    def __init__(self, iceberg: pyiceberg.table.Table) -> None:
        self.iceberg = iceberg
        self._metadata = iceberg.metadata
        self._partitioning = Partitioning(iceberg.metadata)
        self._planner = Planner(iceberg.io, iceberg.schema(), self._partitioning)
        self._partitions: dict[int, dict[str, tuple[int, Record]]] = {}

    @property
    def identifier(self) -> str:
        """``catalog.namespace.table`` as the user would type it, or the location of a metadata file."""
        if isinstance(self.iceberg, StaticTable):
            return self.iceberg.metadata_location
        return join_identifier((self.iceberg.catalog.name, *self.iceberg.name()))

    @property
    def format_version(self) -> int:
        """1, 2 or 3."""
        return self._metadata.format_version

    @property
    def uuid(self) -> str:
        """The table UUID of the metadata."""
        return str(self._metadata.table_uuid)

    @property
    def location(self) -> str:
        """Base location, spelt as in the metadata."""
        return self._metadata.location

    @property
    def warehouse(self) -> str | None:
        """The catalog's warehouse location, if it names one."""
        if isinstance(self.iceberg, StaticTable):
            return None
        named = self.iceberg.catalog.properties.get("warehouse")
        # A REST service may know its warehouses by names that are no places.
        return named if named is None or "://" in named or named.startswith(("/", "file:")) else None

    @cached_property
    def schema(self) -> pa.Schema:
        """Current schema in Arrow types; every field at every depth carries its field id."""
        return arrow_schema(self.iceberg.schema())

    @property
    def schema_id(self) -> int:
        """Id of the current schema."""
        return self._metadata.current_schema_id

    @cached_property
    def field_types(self) -> Mapping[str, str]:
        """Iceberg type of each top-level column, e.g. ``decimal(9, 2)``."""
        return {field.name: str(field.field_type) for field in self.iceberg.schema().fields}

    @property
    def properties(self) -> Mapping[str, str]:
        """Table properties."""
        return self._metadata.properties

    @property
    def oddities(self) -> Mapping[str, tuple[int, tuple[str, ...]]]:
        """Nothing: metadata names every file."""
        return {}

    @property
    def read_only(self) -> str | None:
        """Why this table cannot be written (v3, encrypted, a bare metadata file …), or None."""
        if self.format_version >= 3 and not isinstance(self.iceberg, StaticTable):
            return (
                f"format version {self.format_version} is read only: lakeopt cannot rewrite v3 tables itself "
                "(Spark keeps their row lineage)"
            )
        return self.read_only_otherwise

    @property
    def read_only_otherwise(self) -> str | None:
        """Why this table cannot be written whatever its format version, or None."""
        if isinstance(self.iceberg, StaticTable):
            return "it is named by a metadata file, and only a catalog can commit"
        if "encryption.key-id" in self.properties:
            return "it is encrypted (encryption.key-id)"
        written = self.properties.get("write.format.default", "parquet")
        return None if written.lower() == "parquet" else f"its files are to be {written} (write.format.default)"

    def snapshot_id(self, ref: str = "main") -> int | None:
        """Id of a ref's head, or of a snapshot named by its id or by a tag; None for an empty table.

        :raises UnknownName: no such ref or snapshot.
        """
        refs = self._metadata.refs
        if ref in refs:
            return refs[ref].snapshot_id
        if ref.isdecimal() and self._metadata.snapshot_by_id(int(ref)) is not None:
            return int(ref)
        if ref == "main":
            return None
        known = [*refs, *(str(snapshot.snapshot_id) for snapshot in self._metadata.snapshots)]
        raise UnknownName(f"branch, tag or snapshot of {self.identifier}", ref, known)

    def sort_key(self) -> tuple[SortField, ...]:
        """The key the files are meant to be in: the last lakeopt layout, else the default sort order."""
        return intended_key(self._metadata)

    def sort_order_id(self, key: tuple[SortField, ...]) -> int | None:
        """Id of the table's sort order that says exactly this key, if it has one."""
        return order_id(self._metadata, key)

    def files(
        self, snapshot_id: int | None = None, *, where: str | None = None, content: str = "data"
    ) -> Iterator[pa.Table]:
        """File lists (:func:`lakeopt.model.scan.files_schema`), manifest by manifest, bounded.

        ``where`` is a filter in pyiceberg's expression syntax: files that cannot hold a matching row are
        left out. ``content`` is ``data``, ``deletes`` or ``all``. A filter is checked before the first table.

        :raises UnknownName: no such snapshot, or the filter names a column that is not there.
        :raises UsageError: ``where`` is no filter.
        :raises DataFileError: a manifest or the manifest list is missing or damaged.
        """
        return self._planner.files(self._snapshot(snapshot_id), where=where, content=content)

    def _snapshot(self, snapshot_id: int | None) -> Snapshot | None:
        if snapshot_id is None:
            return self._metadata.current_snapshot()
        if (snapshot := self._metadata.snapshot_by_id(snapshot_id)) is None:
            known = (str(snapshot.snapshot_id) for snapshot in self._metadata.snapshots)
            raise UnknownName(f"snapshot of {self.identifier}", str(snapshot_id), known)
        return snapshot

    def file_form(self, files: pa.Table) -> None:
        """None: field ids tell columns, and properties how files are written."""
        return None

    def admit(
        self, groups: tuple[FileGroup, ...], skipped: tuple[SkippedGroup, ...]
    ) -> tuple[tuple[FileGroup, ...], tuple[SkippedGroup, ...]]:
        """The groups as they are: a commit replaces any files."""
        return groups, skipped

    def scan(self, files: pa.Table, *, stored_only: bool = False) -> Scan:
        """How to read the rows of these data files (with the delete files that apply)."""
        return Scan(
            schema=self.schema,
            files=files,
            resolve=self.resolve,
            name_mapping=name_mapping(self.properties),
            defaults=initial_defaults(self.iceberg.schema()),
            constants=partition_constants(files, self._partitioning),
            deletes=self._deletes(files),
        )

    def _deletes(self, files: pa.Table) -> pa.Table | None:
        """The delete files that these data files name, from the newest snapshot that lists them all."""
        wanted = pc.unique(pc.list_flatten(files["delete_files"]))
        if len(wanted) == 0:
            return None
        for snapshot in self._newest_first():
            listed = self._planner.delete_files(snapshot)
            found = listed.filter(pc.is_in(listed["file_path"], wanted))
            if len(pc.unique(found["file_path"])) == len(wanted):
                return found
        raise StalePlan(f"a planned delete file is no longer in {self.identifier}", hint="plan again")

    def _newest_first(self) -> Iterator[Snapshot]:
        """The current snapshot, then the rest from new to old."""
        current = self._metadata.current_snapshot()
        if current is not None:
            yield current
        for snapshot in sorted(self._metadata.snapshots, key=lambda s: (s.sequence_number or 0, s.timestamp_ms))[::-1]:
            if current is None or snapshot.snapshot_id != current.snapshot_id:
                yield snapshot

    def view(self, name: str, snapshot_id: int | None = None) -> pa.Table:
        """Metadata as rows: ``snapshots``, ``refs`` or ``manifests``."""
        return metadata_view(name, self._metadata, self.iceberg.io, self._snapshot(snapshot_id))

    def writer_options(self, *, level: int | None = None, goal: Goal | None = None) -> WriterOptions:
        """Encoding that the table's own properties ask for; a goal says what they leave open."""
        return writer_options(self.properties, level=level, goal=goal)

    def target_file_bytes(self) -> int:
        """``write.target-file-size-bytes``, as bytes on disk."""
        return target_file_bytes(self.properties)

    def resolve(self, location: str) -> tuple[fs.FileSystem, str]:
        """File system and path of a location, with the catalog's credentials."""
        return storage.resolve(self.iceberg.io, location)

    def new_data_location(self, group: FileGroup, name: str) -> str:
        """Where a new data file of this group goes, by the table's location provider.

        :raises StalePlan: the group's files are in no snapshot, so that their partition is not known.
        """
        folders = self._partition_folders(group.data_files[0].path)
        return new_data_location(location_provider(self._metadata), folders, name)

    def _partition_folders(self, path: str) -> str:
        """Folders of a data file's partition. A snapshot is read once for all its files, not for each group anew."""
        for snapshot in self._newest_first():
            if snapshot.snapshot_id not in self._partitions:
                self._partitions[snapshot.snapshot_id] = self._planner.partitions(snapshot)
            if (found := self._partitions[snapshot.snapshot_id].get(path)) is not None:
                return self._partitioning.path(*found)
        raise StalePlan(f"a planned data file is no longer in {self.identifier}: {path}", hint="plan again")

    @property
    def default_spec_id(self) -> int:
        """Id of the current partition spec, which new rows are written in."""
        return self._metadata.default_spec_id

    def repartition(self, spec_id: int, name: Callable[[int], str]) -> Repartition:
        """How rows are divided by a partition spec; ``name(n)`` is the name of the n-th file.

        :raises Refused: a transform of the spec is not known.
        """
        division = PartitionDivision(self._partitioning.spec(spec_id), self._partitioning.schema, self.schema)
        provider = location_provider(self._metadata)

        def locate(number: int, values: Sequence[bytes | None]) -> str:
            folders = self._partitioning.path(spec_id, division.record(values)) if values else ""
            return new_data_location(provider, folders, name(number))

        return Repartition(division.keys, division.encode, locate)

    def create_exclusively(self, location: str, body: bytes) -> bool:
        """Write an object if its name is free; False where it is taken.

        :raises Refused: the storage offers no such thing.
        :raises MissingExtra: it does, but through a package that is not installed.
        :raises OSError: the storage cannot be written.
        """
        return create_exclusively(self.iceberg.io, location, body)

    def refresh(self) -> IcebergTable:
        """The same table as the catalog has it now."""
        if isinstance(self.iceberg, StaticTable):
            return self
        return IcebergTable(catalog.load(self.iceberg.catalog, self.iceberg.name()))
