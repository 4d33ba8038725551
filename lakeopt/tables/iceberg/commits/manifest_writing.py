"""Writing the manifests and the manifest list of a replace snapshot."""

from __future__ import annotations

import itertools
import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pyiceberg.avro.codecs import AvroCompressionCodec
from pyiceberg.manifest import (
    UNASSIGNED_SEQ,
    DataFile,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriter,
    ManifestWriterV1,
    ManifestWriterV2,
    construct_partition_summaries,
    data_file_with_partition,
    manifest_entry_schema_with_data_file,
    write_manifest_list,
)
from pyiceberg.schema import Schema
from pyiceberg.table import Table, TableProperties
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.typedef import TableVersion
from pyiceberg.types import NestedField, StructType

from lakeopt.errors import CommitOutcomeUnknown, DataFileError, Refused
from lakeopt.tables.iceberg.commits.metadata_files import storage_error
from lakeopt.tables.iceberg.metadata.partitions import source_schema
from lakeopt.tables.iceberg.metadata.source_manifest import SourceManifest, write_copy

_log = logging.getLogger(__name__)

#: Rewritten manifests are joined up to this size on disk (bytes), Iceberg's own default for merging them.
TARGET_BYTES = 8 * 1024 * 1024


def partition_schema(metadata: TableMetadata, spec_ids: Iterable[int]) -> Schema:
    """A schema that knows the source columns of these specs, those that were dropped too.

    With the current schema alone, the partition values of a dropped column would be written as null.

    :raises Refused: no schema of the table knows such a column any more.
    """
    schema = source_schema(metadata)
    for spec_id in spec_ids:
        if any(part.source_id not in schema.field_ids for part in metadata.specs()[spec_id].fields):
            raise Refused(
                f"partition spec {spec_id} is of a column that no schema of the table has any more",
                hint="leave the files of that spec out with --where",
            )
    return schema


class _OptionalPartition(ManifestWriter):
    """Partition fields are optional whatever the column is: the ``void`` transform of a required one is null."""

    def _with_partition(self, format_version: TableVersion) -> Schema:
        kind = self._spec.partition_type(self._schema)
        optional = StructType(*[NestedField(f.field_id, f.name, f.field_type, required=False) for f in kind.fields])
        return manifest_entry_schema_with_data_file(
            format_version=format_version,
            data_file=data_file_with_partition(format_version=format_version, partition_type=optional),
        )


class _WriterV1(_OptionalPartition, ManifestWriterV1):
    """For tables of format version 1: entries have no sequence numbers."""


class _WriterV2(_OptionalPartition, ManifestWriterV2):
    """For tables of format version 2."""


@dataclass
class ReplaceManifests:
    """The manifests of one rewrite, kept from attempt to attempt as long as they are right."""

    snapshot_id: int
    _made: dict[tuple[object, ...], ManifestFile] = field(default_factory=dict)
    _written: list[str] = field(default_factory=list)
    _name: str = field(default_factory=lambda: str(uuid.uuid4()))

    def added(
        self, table: Table, spec_id: int, schema: Schema, files: Sequence[DataFile], sequence: int
    ) -> ManifestFile:
        """The manifest of new files of one spec, with an explicit data sequence number (v2)."""
        key = ("added", table.metadata.format_version, spec_id, *sorted({str(file.sort_order_id) for file in files}))
        entries = (
            ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED, snapshot_id=self.snapshot_id, sequence_number=sequence, data_file=file
            )
            for file in files
        )
        return self._once(key, table, partial(self._encode, table, spec_id, schema, entries))

    def rewritten(
        self, table: Table, schema: Schema, sources: Iterable[SourceManifest], replaced: Set[str]
    ) -> Iterator[ManifestFile]:
        """Manifests that take the place of the sources: replaced files deleted, all others as they were.

        The sources are of one content; those of delete files must be ones that can be copied.
        """
        version = table.metadata.format_version

        def kind(source: SourceManifest) -> tuple[int, str]:
            return source.manifest.partition_spec_id, source.form if source.copies_to(version) else ""

        for (spec_id, form), alike in itertools.groupby(sorted(sources, key=kind), kind):
            for batch in _batches(alike):
                # The data files that go are the same at every attempt; the delete files that go may change.
                which = frozenset(replaced) if batch[0].manifest.content == ManifestContent.DELETES else None
                key = ("rewritten", version, which, *(source.manifest.manifest_path for source in batch))
                if form:
                    write = partial(self._copy, table, schema, batch, replaced)
                else:
                    entries = (self._aged(entry, replaced) for source in batch for entry in _decoded(table, source))
                    write = partial(self._encode, table, spec_id, schema, entries)
                yield self._once(key, table, write)

    def regrouped(self, table: Table, schema: Schema, source: SourceManifest, key: tuple[object, ...]) -> ManifestFile:
        """A manifest of entries that stay as they are; ``key`` tells them from others."""
        return self._once(("regrouped", *key), table, partial(self._copy, table, schema, [source], frozenset()))

    def listed(self, table: Table, head: Snapshot, manifests: Sequence[ManifestFile], attempt: int) -> str:
        """Write the manifest list of one attempt; its location."""
        location = self._new_location(table, f"snap-{self.snapshot_id}-{attempt}-{self._name}.avro")
        with write_manifest_list(
            format_version=table.metadata.format_version,
            output_file=table.io.new_output(location),
            snapshot_id=self.snapshot_id,
            parent_snapshot_id=head.snapshot_id,
            sequence_number=table.metadata.next_sequence_number(),
            avro_compression=_compression(table),
        ) as writer:
            writer.add_manifests(list(manifests))
        return location

    def discard(self, table: Table, *, keep: Iterable[str] = ()) -> None:
        """Delete what was written but for ``keep``. Only after a definite answer: a file may be in use otherwise."""
        for location in set(self._written) - set(keep):
            try:
                table.io.delete(location)
            except Exception as error:  # an orphan is harmless; the answer of the commit must not be lost
                _log.warning("could not delete %s: %s", location, error)
        self._written = [location for location in self._written if location in keep]

    @contextmanager
    def discarded_on_failure(self, table: Table) -> Iterator[None]:
        """Delete what was written where a commit fails for certain; where that is not known, everything stays."""
        try:
            yield
        except CommitOutcomeUnknown:
            raise
        except BaseException as error:
            self.discard(table)
            if isinstance(error, OSError):
                raise storage_error(error) from error
            raise

    def _once(self, key: tuple[object, ...], table: Table, write: Callable[[str], ManifestFile]) -> ManifestFile:
        if key not in self._made:
            self._made[key] = write(
                self._new_location(table, f"{self.snapshot_id}-{self._name}-m{len(self._written)}.avro")
            )
        return self._made[key]

    def _new_location(self, table: Table, name: str) -> str:
        location = str(table.location_provider().new_metadata_location(name))
        self._written.append(location)
        return location

    def _aged(self, entry: ManifestEntry, replaced: Set[str]) -> ManifestEntry:
        gone = entry.data_file.file_path in replaced
        return ManifestEntry.from_args(
            status=ManifestEntryStatus.DELETED if gone else ManifestEntryStatus.EXISTING,
            snapshot_id=self.snapshot_id if gone else entry.snapshot_id,
            sequence_number=entry.sequence_number,
            file_sequence_number=entry.file_sequence_number,
            data_file=entry.data_file,
        )

    def _encode(
        self, table: Table, spec_id: int, schema: Schema, entries: Iterable[ManifestEntry], location: str
    ) -> ManifestFile:
        kind = _WriterV1 if table.metadata.format_version == 1 else _WriterV2
        output = table.io.new_output(location)
        with kind(table.specs()[spec_id], schema, output, self.snapshot_id, _compression(table)) as writer:
            for entry in entries:
                writer.add_entry(entry)
        return writer.to_manifest_file()

    def _copy(
        self, table: Table, schema: Schema, batch: Sequence[SourceManifest], replaced: Set[str], location: str
    ) -> ManifestFile:
        pairs = [
            (self._aged(entry, replaced), record)
            for source in batch
            for entry, record in zip(source.entries, source.records, strict=True)
        ]
        length = write_copy(table.io.new_output(location), batch[0], pairs)
        gone = [entry for entry, _ in pairs if entry.status == ManifestEntryStatus.DELETED]
        kept = [entry for entry, _ in pairs if entry.status != ManifestEntryStatus.DELETED]
        spec = table.specs()[batch[0].manifest.partition_spec_id]
        return ManifestFile.from_args(
            manifest_path=location,
            manifest_length=length,
            partition_spec_id=spec.spec_id,
            content=batch[0].manifest.content,
            sequence_number=UNASSIGNED_SEQ,
            min_sequence_number=min((entry.sequence_number or 0 for entry in kept), default=UNASSIGNED_SEQ),
            added_snapshot_id=self.snapshot_id,
            added_files_count=0,
            existing_files_count=len(kept),
            deleted_files_count=len(gone),
            added_rows_count=0,
            existing_rows_count=sum(entry.data_file.record_count for entry in kept),
            deleted_rows_count=sum(entry.data_file.record_count for entry in gone),
            partitions=construct_partition_summaries(spec, schema, [e.data_file.partition for e, _ in pairs]),
        )


def _decoded(table: Table, source: SourceManifest) -> list[ManifestEntry]:
    """Live entries in full, for a manifest whose records cannot be copied: those of a v1 table that is v2 now."""
    entries: list[ManifestEntry] = source.manifest.fetch_manifest_entry(table.io)
    if len(entries) != len(source.entries):
        raise DataFileError(f"manifest is damaged: {source.manifest.manifest_path}")
    return entries


def _batches(sources: Iterable[SourceManifest]) -> list[list[SourceManifest]]:
    """Manifests to join, in order, up to the target size."""
    batches: list[list[SourceManifest]] = []
    room = 0
    for source in sources:
        if not batches or source.manifest.manifest_length > room:
            batches.append([])
            room = TARGET_BYTES
        batches[-1].append(source)
        room -= source.manifest.manifest_length
    return batches


def _compression(table: Table) -> AvroCompressionCodec:
    name: Any = table.properties.get(
        TableProperties.WRITE_AVRO_COMPRESSION, TableProperties.WRITE_AVRO_COMPRESSION_DEFAULT
    )
    codec: AvroCompressionCodec = name
    return codec
