"""Delete files at both ends of a rewrite: those that its plan must know of, and those that may leave with it.

A delete file may leave the table only when no live data file is left that it can apply to, by the rules of the
Iceberg spec (:mod:`lakeopt.tables.iceberg.planning.delete_index`): the rows that it deletes would come back otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.typedef import Record

from lakeopt.errors import LakeoptError, StalePlan
from lakeopt.model.plan import FileGroup
from lakeopt.model.scan import DATA, EQUALITY_DELETES, files_schema
from lakeopt.tables.iceberg.metadata.avro import metadata_error
from lakeopt.tables.iceberg.metadata.manifests import read_live_files, read_manifest_list, with_live_files
from lakeopt.tables.iceberg.metadata.partitions import Partitioning
from lakeopt.tables.iceberg.metadata.source_manifest import SourceManifest, read_source
from lakeopt.tables.iceberg.planning.delete_index import DeleteIndex


def require_known_deletes(
    table: Table, groups: Iterable[FileGroup], base: Snapshot, sources: Iterable[SourceManifest]
) -> None:
    """Every delete file that applied to a group's files at the base stands in the plan of that group.

    :raises StalePlan: one does not, so that the rows that it deletes may be among those that were written.
    """
    manifests = read_manifest_list(table.io, base)
    partitioning = Partitioning(table.metadata)
    index = DeleteIndex(
        _read_all(table.io, with_live_files(manifests, ManifestContent.DELETES), partitioning), partitioning
    )
    if not index.file_count:
        return
    entries = {entry.data_file.file_path: entry for source in sources for entry in source.entries}
    for group in groups:
        rows = []
        for file in group.data_files:
            entry = entries[file.path]
            rows.append(_row(entry.data_file, partitioning, entry.sequence_number or 0))
        known = {file.path for file in group.delete_files}
        if unknown := _named(index.applied(_listed(rows))) - known:
            raise StalePlan(
                f"the plan does not know of the delete file {min(unknown)}, which applies to files of group "
                f"{group.group_id} ({group.partition})",
                hint="make a new plan",
            )


@dataclass(frozen=True)
class Spent:
    """Delete files that go, and the manifests that list them."""

    files: tuple[DataFile, ...] = ()
    sources: tuple[SourceManifest, ...] = ()

    @property
    def paths(self) -> set[str]:
        """Where the delete files lie."""
        return {file.file_path for file in self.files}


@dataclass
class SpentDeletes:
    """Finds the delete files that apply to nothing once ``replaced`` data files are gone.

    Asked again at each attempt with the manifests of the fresh head; each manifest is read once.
    """

    io: FileIO
    replaced: Set[str]
    _index: DeleteIndex | None = None
    _deletes: dict[str, pa.Table] = field(default_factory=dict)
    _staying: dict[str, pa.Table] = field(default_factory=dict)
    _in_use: dict[str, set[str]] = field(default_factory=dict)
    _sources: dict[str, SourceManifest] = field(default_factory=dict)

    def find(
        self,
        metadata: TableMetadata,
        manifests: Sequence[ManifestFile],
        partitions: Iterable[tuple[int, Record]],
        sequence: int,
    ) -> Spent:
        """Delete files of the head that apply neither to a data file that stays nor to one that comes.

        Those that come lie in ``partitions`` and have the data sequence number ``sequence``; no position delete
        names them, since nobody has seen their paths. Delete files in manifests that cannot be copied stay.
        """
        listed = list(with_live_files(manifests, ManifestContent.DELETES))
        if not listed:
            return Spent()
        partitioning = Partitioning(metadata)
        index = self._indexed(listed, partitioning)
        used = self._used_by_coming(index, partitioning, partitions, sequence)
        every = {path for table in self._deletes.values() for path in table["file_path"].to_pylist()}
        newest = max(pc.max(table["data_sequence_number"]).as_py() or 0 for table in self._deletes.values())
        for manifest in with_live_files(manifests, ManifestContent.DATA):
            if used >= every:
                return Spent()
            if (manifest.min_sequence_number or 0) <= newest:  # deletes never apply to younger data files
                used |= self._used_by_staying(index, manifest, partitioning)
        return self._spent(metadata, listed, every - used)

    def _indexed(self, listed: Sequence[ManifestFile], partitioning: Partitioning) -> DeleteIndex:
        paths = {manifest.manifest_path for manifest in listed}
        if self._index is None or paths != self._deletes.keys():
            self._deletes = {
                manifest.manifest_path: self._deletes[manifest.manifest_path]
                if manifest.manifest_path in self._deletes
                else _read_all(self.io, [manifest], partitioning)
                for manifest in listed
            }
            self._index = DeleteIndex(pa.concat_tables(self._deletes.values()), partitioning)
            self._in_use = {}
        return self._index

    def _used_by_staying(self, index: DeleteIndex, manifest: ManifestFile, partitioning: Partitioning) -> set[str]:
        path = manifest.manifest_path
        if path not in self._staying:
            files = _read_all(self.io, [manifest], partitioning)
            gone = pc.is_in(files["file_path"], self._gone)
            self._staying[path] = files.filter(pc.invert(gone)).select(_listed([]).column_names)
        if path not in self._in_use:
            self._in_use[path] = _named(index.applied(self._staying[path]))
        return self._in_use[path]

    @cached_property
    def _gone(self) -> pa.Array:
        return pa.array(list(self.replaced), pa.string())

    def _used_by_coming(
        self, index: DeleteIndex, partitioning: Partitioning, partitions: Iterable[tuple[int, Record]], sequence: int
    ) -> set[str]:
        texts = {(spec_id, partitioning.text(spec_id, record)) for spec_id, record in partitions}
        rows = [("", spec_id, text, sequence) for spec_id, text in texts]
        equality: set[str] = set()
        for table in self._deletes.values():
            equality.update(table.filter(pc.equal(table["content"], EQUALITY_DELETES))["file_path"].to_pylist())
        return _named(index.applied(_listed(rows))) & equality

    def _spent(self, metadata: TableMetadata, listed: Sequence[ManifestFile], paths: set[str]) -> Spent:
        files: list[DataFile] = []
        sources: list[SourceManifest] = []
        for manifest in listed:
            if paths.isdisjoint(self._deletes[manifest.manifest_path]["file_path"].to_pylist()):
                continue
            source = self._sources.get(manifest.manifest_path) or read_source(self.io, manifest)
            self._sources[manifest.manifest_path] = source
            if source.copies_to(metadata.format_version):
                sources.append(source)
                files += [entry.data_file for entry in source.entries if entry.data_file.file_path in paths]
        return Spent(tuple(files), tuple(sources))


def _read_all(io: FileIO, manifests: Iterable[ManifestFile], partitioning: Partitioning) -> pa.Table:
    return pa.concat_tables([files_schema().empty_table(), *(_read(io, m, partitioning) for m in manifests)])


def _read(io: FileIO, manifest: ManifestFile, partitioning: Partitioning) -> pa.Table:
    try:
        return read_live_files(io, manifest, partitioning, None)
    except LakeoptError:
        raise
    except Exception as error:  # damage that decodes: a spec that is not there, a number out of its range
        raise metadata_error("manifest", manifest.manifest_path, error) from error


def _row(file: DataFile, partitioning: Partitioning, sequence: int) -> tuple[str, int, str, int]:
    return file.file_path, file.spec_id, partitioning.text(file.spec_id, file.partition), sequence


def _listed(rows: Sequence[tuple[str, int, str, int]]) -> pa.Table:
    """Data files as the index asks for them: path, spec, partition as text, data sequence number."""
    paths, specs, texts, sequences = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = {
        "content": pa.array([DATA] * len(rows), pa.int8()),
        "file_path": pa.array(paths, pa.string()),
        "spec_id": pa.array(specs, pa.int32()),
        "partition": pa.array(texts, pa.string()),
        "data_sequence_number": pa.array(sequences, pa.int64()),
        "delete_files": pa.nulls(len(rows), pa.list_(pa.string())),
    }
    return pa.table(columns)


def _named(files: pa.Table) -> set[str]:
    """Delete files that some file of the list names."""
    return set(pc.unique(pc.list_flatten(files["delete_files"])).to_pylist())
