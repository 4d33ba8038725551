"""What happened to a branch since a plan's base snapshot, as far as a rewrite must know."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, DataFileContent, ManifestContent, ManifestEntry, ManifestFile
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Snapshot, ancestors_of
from pyiceberg.transforms import VoidTransform
from pyiceberg.typedef import Record

from lakeopt.errors import CommitConflict, StalePlan
from lakeopt.model.plan import RewritePlan
from lakeopt.tables.iceberg.commits.new_sort_order import order_fields
from lakeopt.tables.iceberg.metadata.manifests import read_manifest_list, with_live_files
from lakeopt.tables.iceberg.metadata.source_manifest import SourceManifest, read_source
from lakeopt.tables.iceberg.planning.delete_index import PATH_ID

_NEW_PLAN = "make a new plan"


@dataclass(frozen=True, slots=True)
class Window:
    """The snapshot that a plan was made on, and the head of its branch now."""

    base: Snapshot
    head: Snapshot


def open_window(metadata: TableMetadata, plan: RewritePlan) -> Window:
    """The window of a plan that still holds: same table, same schema, base an ancestor of the branch's head.

    :raises StalePlan: it does not hold any more.
    """
    if str(metadata.table_uuid) != plan.table_uuid:
        raise StalePlan("the table was dropped and made anew since the plan", hint=_NEW_PLAN)
    if metadata.current_schema_id != plan.schema_id:
        raise StalePlan("the table's schema changed since the plan", hint=_NEW_PLAN)
    order_fields(metadata.schema(), plan.layout)
    ref = metadata.refs.get(plan.branch)
    head = metadata.snapshot_by_id(ref.snapshot_id) if ref is not None else None
    if ref is None or head is None or ref.snapshot_ref_type != SnapshotRefType.BRANCH:
        raise StalePlan(f"the branch {plan.branch!r} is gone", hint=_NEW_PLAN)
    base_id = int(plan.base_snapshot_id) if plan.base_snapshot_id is not None else None
    base = metadata.snapshot_by_id(base_id) if base_id is not None else None
    if base is None:
        raise StalePlan(f"the snapshot {base_id} that the plan was made on has expired", hint=_NEW_PLAN)
    if all(ancestor.snapshot_id != base_id for ancestor in ancestors_of(head, metadata)):
        raise StalePlan(
            f"the snapshot {base_id} that the plan was made on is no ancestor of the head of {plan.branch!r}: "
            "the branch was rolled back, or snapshots between them have expired",
            hint=_NEW_PLAN,
        )
    return Window(base, head)


@dataclass
class LiveFiles:
    """Finds the manifests that hold the wanted data files. Manifests never change: each is read once, ever.

    ``wanted`` maps the path of each file that is to be replaced to the ids of the partition specs it may be of.
    """

    io: FileIO
    wanted: Mapping[str, tuple[int, ...]]
    _read: dict[str, SourceManifest | None] = field(default_factory=dict)

    def find(self, manifests: Sequence[ManifestFile]) -> list[SourceManifest]:
        """The data manifests, of those of a snapshot, that hold wanted files.

        Reading ends when all are found; manifests of other specs, and those without live files, are not read.

        :raises CommitConflict: a wanted file is live no more.
        """
        specs = {spec_id for ids in set(self.wanted.values()) for spec_id in ids}
        missing, found = set(self.wanted), []
        candidates = [m for m in with_live_files(manifests, ManifestContent.DATA) if m.partition_spec_id in specs]
        candidates.sort(key=lambda manifest: self._read.get(manifest.manifest_path) is None)
        for manifest in candidates:
            if not missing:
                break
            source = self._source(manifest)
            if source is not None:
                found.append(source)
                missing.difference_update(entry.data_file.file_path for entry in source.entries)
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise CommitConflict(
                f"a data file that the plan replaces is no longer in the table: {min(missing)}{more}", hint=_NEW_PLAN
            )
        return found

    def _source(self, manifest: ManifestFile) -> SourceManifest | None:
        path = manifest.manifest_path
        if path not in self._read:
            source = read_source(self.io, manifest)
            hit = any(entry.data_file.file_path in self.wanted for entry in source.entries)
            self._read[path] = source if hit else None
        return self._read[path]


@dataclass
class NewDeletes:
    """Finds delete files that a rewrite would miss. Manifests never change: each is read once, ever."""

    io: FileIO
    _read: dict[str, tuple[ManifestEntry, ...]] = field(default_factory=dict)
    _before: dict[int, dict[str, ManifestFile]] = field(default_factory=dict)

    def since(self, base: Snapshot, manifests: Sequence[ManifestFile]) -> list[DataFile]:
        """Delete files that are live in these manifests of a head and not at the base, whoever wrote or moved them.

        Equality deletes that are younger than the base are none of them: they apply to the new files as they did to
        the old ones, since the new ones carry the base's sequence number. Only delete manifests that one end of the
        window has and the other lacks are read.
        """
        after = {m.manifest_path: m for m in with_live_files(manifests, ManifestContent.DELETES)}
        if not after:
            return []
        before = self._at(base)
        fresh = [manifest for path, manifest in after.items() if path not in before]
        if not fresh:
            return []
        gone = [manifest for path, manifest in before.items() if path not in after]
        known = {entry.data_file.file_path for entry in self._live(gone)}
        missed = (entry for entry in self._live(fresh) if not _applies_anyway(entry, base))
        return [entry.data_file for entry in missed if entry.data_file.file_path not in known]

    def _at(self, base: Snapshot) -> dict[str, ManifestFile]:
        if base.snapshot_id not in self._before:
            manifests = read_manifest_list(self.io, base)
            self._before[base.snapshot_id] = {
                m.manifest_path: m for m in manifests if m.content == ManifestContent.DELETES
            }
        return self._before[base.snapshot_id]

    def _live(self, manifests: Iterable[ManifestFile]) -> Iterator[ManifestEntry]:
        for manifest in manifests:
            path = manifest.manifest_path
            if path not in self._read:
                self._read[path] = tuple(read_source(self.io, manifest).entries)
            yield from self._read[path]


def _applies_anyway(entry: ManifestEntry, base: Snapshot) -> bool:
    equality = entry.data_file.content == DataFileContent.EQUALITY_DELETES
    return equality and (entry.sequence_number or 0) > (base.sequence_number or 0)


def partition_key(file: DataFile) -> tuple[int, tuple[str, ...]]:
    """Spec id and partition values as text: equal for files of one partition of one spec."""
    return file.spec_id, partition_text(file.partition)


def partition_text(partition: Record) -> tuple[str, ...]:
    """Partition values as text."""
    return tuple(repr(partition[position]) for position in range(len(partition)))


def global_specs(metadata: TableMetadata) -> set[int]:
    """Specs that divide nothing: no fields, or (v1 tables keep dropped ones) only void ones."""
    specs = metadata.specs().items()
    return {number for number, spec in specs if all(isinstance(part.transform, VoidTransform) for part in spec.fields)}


def refuse_new_deletes(replaced: Iterable[DataFile], deletes: Iterable[DataFile], everywhere: Set[int]) -> None:
    """Stop where a new delete file may touch a replaced file: the staged rows do not know of it.

    Delete files of the specs ``everywhere`` are not bound to a partition.

    :raises CommitConflict: naming the delete file.
    """
    paths: dict[tuple[int, tuple[str, ...]], list[bytes]] = {}
    for file in replaced:
        paths.setdefault(partition_key(file), []).append(file.file_path.encode())
    everything = sorted(path for some in paths.values() for path in some)
    for some in paths.values():
        some.sort()
    for delete in deletes:
        own = everything if delete.spec_id in everywhere else paths.get(partition_key(delete), [])
        if _touches(delete, own, everything):
            kind = "position" if delete.content == DataFileContent.POSITION_DELETES else "equality"
            raise CommitConflict(
                f"rows were deleted meanwhile: the {kind} delete file {delete.file_path} may touch files "
                "that the plan replaces",
                hint=_NEW_PLAN,
            )


def _touches(delete: DataFile, own: list[bytes], everything: list[bytes]) -> bool:
    if delete.content != DataFileContent.POSITION_DELETES:
        return bool(own)
    lower = (delete.lower_bounds or {}).get(PATH_ID)
    upper = (delete.upper_bounds or {}).get(PATH_ID)
    # One that names a single data file means that file, whatever partition it is filed under.
    within = everything if lower is not None and lower == upper else own
    first = 0 if lower is None else bisect_left(within, lower)
    return first < len(within) and (upper is None or within[first] <= upper)
