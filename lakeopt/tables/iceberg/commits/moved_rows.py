"""What must not have happened while rows were moved to another partition spec.

An equality-delete file of a spec that divides the table applies to data files of its own spec and partition, and of
those only to strictly older ones. Rows that are moved leave the reach of one spec's deletes and come into that of
another's:

* Deletes that the base holds have numbers up to the base's, and the new files have exactly that number: none of them
  applies to the new files. Those of the old spec were applied when the rows were read; those of the new spec never
  applied to the moved rows, and still do not.
* A delete of the *old* spec that landed after the base applied to the moved rows, and would not apply to the new
  files: deleted rows would come back. Refused, in whatever partition: its writer may still be on, and its next delete
  would miss the moved rows as well.
* A delete of the *new* spec that landed after the base did not apply to the moved rows, and would apply to the new
  files of its partition, which are older than it: rows that nobody deleted would be gone. Refused for the partitions
  that rows are moved to.
* Deletes of a spec that divides nothing apply to all older files of the table, before the move and after it.
* Position deletes name files. Those that may name a replaced file are refused for every rewrite; none can name a new
  one.

A delete of the old spec that lands *after* the commit cannot be refused by it: the plan leaves files alone where
writers were seen to delete by an older spec while the current one was in use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, DataFileContent, ManifestContent, ManifestFile
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from lakeopt.errors import CommitConflict, StalePlan
from lakeopt.model.plan import FileGroup
from lakeopt.tables.iceberg.commits.window import global_specs, partition_key
from lakeopt.tables.iceberg.metadata.manifests import read_manifest_list, with_live_files
from lakeopt.tables.iceberg.metadata.source_manifest import read_source

PartitionKey = tuple[int, tuple[str, ...]]
_NEW_PLAN = "make a new plan"


@dataclass(frozen=True, slots=True)
class Move:
    """From which specs rows are moved, and to which partitions: of spec id and values as text."""

    from_specs: frozenset[int]
    to: frozenset[PartitionKey]


def moves_of(groups: Iterable[FileGroup], coming: Iterable[PartitionKey] = ()) -> Move:
    """The move that these groups make, to the partitions ``coming`` as far as they are known."""
    moved = [group for group in groups if group.from_spec_ids]
    targets = {group.spec_id for group in moved}
    left = {spec_id for group in moved for spec_id in group.from_spec_ids if spec_id != group.spec_id}
    return Move(frozenset(left), frozenset(key for key in coming if key[0] in targets))


def require_current_spec(metadata: TableMetadata, groups: Iterable[FileGroup]) -> bool:
    """Rows are moved to the table's current spec and no other; whether any are moved.

    :raises StalePlan: the table has another one since the plan, or lacks one that the plan names.
    """
    moved = [group for group in groups if group.from_spec_ids]
    for group in moved:
        if group.spec_id != metadata.default_spec_id:
            raise StalePlan(
                f"the plan moves rows to partition spec {group.spec_id}, "
                f"but the table's current one is {metadata.default_spec_id}",
                hint=_NEW_PLAN,
            )
        if not set(group.from_spec_ids) <= metadata.specs().keys():
            raise StalePlan(f"group {group.group_id} is of a partition spec that the table has not", hint=_NEW_PLAN)
    return bool(moved)


def refuse_equality_deletes(
    io: FileIO, metadata: TableMetadata, base: Snapshot, manifests: Sequence[ManifestFile], move: Move
) -> None:
    """Stop where an equality delete that landed after the base would reach other rows once the move is done.

    :raises CommitConflict: naming the delete file.
    """
    everywhere = global_specs(metadata)
    for delete in _landed(io, base, manifests, skip=everywhere):
        if delete.spec_id in move.from_specs:
            raise CommitConflict(
                f"rows were deleted meanwhile: the equality delete file {delete.file_path} is of partition spec "
                f"{delete.spec_id}, and would no longer apply to rows that the plan moves out of it",
                hint="writers that delete by an older spec must be restarted before its rows are moved",
            )
        if partition_key(delete) in move.to:
            raise CommitConflict(
                f"rows were deleted meanwhile: the equality delete file {delete.file_path} would apply to rows that "
                "the plan moves to its partition, and did not before",
                hint=_NEW_PLAN,
            )


def _landed(io: FileIO, base: Snapshot, manifests: Sequence[ManifestFile], *, skip: Set[int]) -> Iterable[DataFile]:
    """Equality deletes of the head that are younger than the base, but for those of some specs."""
    before = {manifest.manifest_path for manifest in read_manifest_list(io, base)}
    for manifest in with_live_files(manifests, ManifestContent.DELETES):
        if manifest.manifest_path in before or manifest.partition_spec_id in skip:
            continue
        for entry in read_source(io, manifest).entries:
            young = (entry.sequence_number or 0) > (base.sequence_number or 0)
            if young and entry.data_file.content == DataFileContent.EQUALITY_DELETES:
                yield entry.data_file
