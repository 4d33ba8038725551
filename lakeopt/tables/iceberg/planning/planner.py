"""Plan over manifests: live files with their partitions, metrics and the delete files that may apply to them.

pyiceberg's own planner refuses tables with equality deletes and holds every entry at once; this one yields one
Arrow table a manifest and keeps only the index of delete files.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyiceberg.io import FileIO
from pyiceberg.manifest import ManifestFile
from pyiceberg.schema import Schema
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.typedef import Record

from lakeopt.errors import LakeoptError, Refused, UsageError
from lakeopt.model.scan import files_schema
from lakeopt.tables.iceberg.metadata.avro import metadata_error
from lakeopt.tables.iceberg.metadata.manifests import (
    read_live_files,
    read_manifest_list,
    read_partitions,
    with_live_files,
)
from lakeopt.tables.iceberg.metadata.partitions import Partitioning
from lakeopt.tables.iceberg.planning.delete_index import DeleteIndex
from lakeopt.tables.iceberg.planning.pruning import Pruning

_DATA_MANIFEST, _DELETE_MANIFEST = 0, 1
CONTENTS = ("data", "deletes", "all")


class Planner:
    """Reads the file lists of snapshots of one table, as its metadata stood at one moment."""

    def __init__(self, io: FileIO, schema: Schema, partitioning: Partitioning) -> None:
        self._io, self._schema, self._partitioning = io, schema, partitioning
        self._deletes: tuple[int, pa.Table] | None = None

    def files(
        self, snapshot: Snapshot | None, *, where: str | None = None, content: str = "data"
    ) -> Iterator[pa.Table]:
        """File lists (:func:`lakeopt.model.scan.files_schema`), manifest by manifest; empty ones are left out.

        :raises DataFileError: a manifest or the manifest list is missing or damaged.
        :raises UsageError: ``where`` is no filter, or ``content`` none of :data:`CONTENTS`.
        """
        if content not in CONTENTS:
            raise UsageError(f"not a content of files: {content!r}", hint="one of data, deletes, all")
        pruning = None if where is None else Pruning(where, self._schema, self._partitioning)
        return self._files(snapshot, pruning, content) if snapshot is not None else iter(())

    def _files(self, snapshot: Snapshot, pruning: Pruning | None, content: str) -> Iterator[pa.Table]:
        manifests = read_manifest_list(self._io, snapshot)
        if content != "deletes":
            # The index takes every delete file: one that a filter leaves out may apply to a file that it keeps.
            index = DeleteIndex(self._all_deletes(snapshot, manifests), self._partitioning)
            for manifest in with_live_files(manifests, _DATA_MANIFEST):
                if len(files := self._read(manifest, pruning)):
                    yield index.applied(files)
        if content != "data":
            for manifest in with_live_files(manifests, _DELETE_MANIFEST):
                if len(files := self._read(manifest, pruning)):
                    yield files

    def delete_files(self, snapshot: Snapshot) -> pa.Table:
        """All delete files of a snapshot; those of the last one asked for are remembered."""
        if self._deletes is None or self._deletes[0] != snapshot.snapshot_id:
            return self._all_deletes(snapshot, read_manifest_list(self._io, snapshot))
        return self._deletes[1]

    def _all_deletes(self, snapshot: Snapshot, manifests: list[ManifestFile]) -> pa.Table:
        if self._deletes is None or self._deletes[0] != snapshot.snapshot_id:
            listed = [self._read(manifest, None) for manifest in with_live_files(manifests, _DELETE_MANIFEST)]
            self._deletes = (snapshot.snapshot_id, pa.concat_tables([files_schema().empty_table(), *listed]))
        return self._deletes[1]

    def _read(self, manifest: ManifestFile, pruning: Pruning | None) -> pa.Table:
        if manifest.key_metadata is not None:
            raise Refused(f"manifest is encrypted: {manifest.manifest_path}", hint="encrypted tables are not read yet")
        try:
            if pruning is None:
                return read_live_files(self._io, manifest, self._partitioning, None)
            if not pruning.manifest(manifest):
                return files_schema().empty_table()
            return read_live_files(self._io, manifest, self._partitioning, pruning.file(manifest.partition_spec_id))
        except LakeoptError:
            raise
        except Exception as error:  # damage that decodes: a spec that is not there, a number out of its range
            raise metadata_error("manifest", manifest.manifest_path, error) from error

    def partitions(self, snapshot: Snapshot) -> dict[str, tuple[int, Record]]:
        """Spec id and partition tuple of each live data file, by its path; files of one partition share theirs."""
        known: dict[tuple[int, str], tuple[int, Record]] = {}
        found = {}
        for manifest in with_live_files(read_manifest_list(self._io, snapshot), _DATA_MANIFEST):
            spec_id = manifest.partition_spec_id
            for path, record in read_partitions(self._io, manifest):
                key = spec_id, self._partitioning.text(spec_id, record)
                found[path] = known.setdefault(key, (spec_id, record))
        return found
