"""Set a branch back to where it was before a rewrite of ours, as long as nothing was built on top of it."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pyarrow import fs
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import ManifestFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Snapshot, ancestors_of
from pyiceberg.table.update import (
    AssertDefaultSortOrderId,
    AssertRefSnapshotId,
    AssertTableUUID,
    RemovePropertiesUpdate,
    SetDefaultSortOrderUpdate,
    SetPropertiesUpdate,
    SetSnapshotRefUpdate,
    TableRequirement,
    TableUpdate,
    ValidatableTableRequirement,
)

from lakeopt.errors import CommitConflict, Refused, StalePlan, UnknownName, Unreachable
from lakeopt.model.layout_record import LAYOUT_PROPERTY, MEASURED_PROPERTY, remembered
from lakeopt.tables.base import Table
from lakeopt.tables.iceberg.commits.commit_outcome import Outcome, send
from lakeopt.tables.iceberg.commits.writable import PATIENCE, WAIT, reload, writable
from lakeopt.tables.iceberg.metadata.manifests import read_manifest_list, with_live_files
from lakeopt.tables.iceberg.metadata.source_manifest import read_source
from lakeopt.tables.iceberg.storage import resolve
from lakeopt.tables.shield import shielded

#: Snapshot summary property that names the plan that made it.
PLAN_PROPERTY = "lakeopt.plan-id"
#: Files whose existence is asked for at a time.
_CHUNK = 1000
_KEEP = "keep the rewrite: its rows are the same"
_NEWER = "roll back what came later first, or keep the rewrite: its rows are the same"


class AssertSnapshotPresent(ValidatableTableRequirement):
    """A snapshot has not expired meanwhile; for catalogs whose client applies updates (servers check it)."""

    type: Literal["assert-lakeopt-snapshot-present"] = "assert-lakeopt-snapshot-present"
    snapshot_id: int

    def validate(self, base_metadata: TableMetadata | None) -> None:  # type: ignore[override]
        """Refuse the commit where the snapshot is gone.

        :raises CommitFailedException: it has expired.
        """
        if base_metadata is None or base_metadata.snapshot_by_id(self.snapshot_id) is None:
            raise CommitFailedException(f"Requirement failed: snapshot {self.snapshot_id} has expired")


@dataclass(frozen=True, slots=True)
class Rollback:
    """Snapshots that leave a branch (newest first; none where they have left it before), and its head after that."""

    branch: str
    snapshot_id: int
    undone: tuple[int, ...]


def plan_rollback(table: Table, plan_id: str, snapshot_ids: Sequence[int], *, branch: str = "main") -> Rollback:
    """What :func:`roll_back` would do now. Touches nothing.

    :raises StalePlan: other snapshots came later, so that a rollback would undo them too.
    :raises Refused: the state before cannot be brought back: its snapshot or files of it are gone.
    :raises DataFileError: a manifest is missing or damaged.
    :raises UnknownName: there is no such branch.
    """
    return _decide(writable(table), plan_id, snapshot_ids, branch)


def roll_back(table: Table, plan_id: str, snapshot_ids: Sequence[int], *, branch: str = "main") -> Rollback:
    """Set a branch back to the parent of a rewrite's snapshots, which must be the top of the branch.

    Every file that the state before needs is looked for first. A default sort order and the layouts that the rewrite's
    own commits recorded in properties are put back as well, where the metadata log still says what they were; what the
    plan measured is forgotten in any case. Errors as of :func:`plan_rollback`, and:

    :raises CommitConflict: other writers were quicker in every attempt.
    :raises CommitOutcomeUnknown: it may have been done.
    """
    fresh = writable(table)
    deadline = time.monotonic() + PATIENCE
    while True:
        decided = _decide(fresh, plan_id, snapshot_ids, branch)
        if not decided.undone:
            return decided
        requirements, updates = _changes(fresh, decided, plan_id)
        with shielded() as shield:
            shield.later = True
            landed = partial(_is_done, decided=decided)
            if send(fresh, decided.snapshot_id, requirements, updates, shield, landed) is Outcome.COMMITTED:
                return decided
            shield.later = False
        if time.monotonic() > deadline:
            raise CommitConflict(f"other writers were quicker for {PATIENCE:.0f} seconds", hint="run it again")
        time.sleep(random.uniform(*WAIT))
        fresh = reload(fresh, deadline)


def _decide(table: Iceberg, plan_id: str, snapshot_ids: Sequence[int], branch: str) -> Rollback:
    metadata = table.metadata
    ref = metadata.refs.get(branch)
    if ref is None or ref.snapshot_ref_type != SnapshotRefType.BRANCH:
        branches = (name for name, one in metadata.refs.items() if one.snapshot_ref_type == SnapshotRefType.BRANCH)
        raise UnknownName("branch", branch, branches)
    ours = _ours(metadata, plan_id, snapshot_ids)
    line = list(ancestors_of(metadata.snapshot_by_id(ref.snapshot_id), metadata))
    target_id = _parent(ours, plan_id)
    target = metadata.snapshot_by_id(target_id)
    if target is None:
        raise Refused(f"the state before plan {plan_id} is gone: snapshot {target_id} has expired", hint=_KEEP)
    if line and target_id == line[0].snapshot_id:
        return Rollback(branch, target_id, ())
    _require_top(line, {snapshot.snapshot_id for snapshot in ours}, plan_id, branch)
    _require_files(table, line[0], target, plan_id)
    return Rollback(branch, target_id, tuple(snapshot.snapshot_id for snapshot in line[: len(ours)]))


def _ours(metadata: TableMetadata, plan_id: str, snapshot_ids: Sequence[int]) -> list[Snapshot]:
    """The plan's snapshots, by their number in the table's history.

    :raises Refused: one has expired, or another plan made it.
    """
    if not snapshot_ids:
        raise Refused(f"plan {plan_id} committed nothing that could be rolled back")
    found = []
    for snapshot_id in dict.fromkeys(snapshot_ids):
        snapshot = metadata.snapshot_by_id(snapshot_id)
        if snapshot is None:
            raise Refused(f"snapshot {snapshot_id} of plan {plan_id} has expired", hint="there is nothing to roll back")
        made_by = snapshot.summary.additional_properties.get(PLAN_PROPERTY) if snapshot.summary else None
        if made_by != plan_id:
            raise Refused(f"snapshot {snapshot_id} was not made by plan {plan_id}", hint="is it this table's plan?")
        found.append(snapshot)
    return found


def _parent(ours: Sequence[Snapshot], plan_id: str) -> int:
    """The one parent of the plan's snapshots that is none of them.

    :raises StalePlan: there are several: others committed in between.
    """
    own = {snapshot.snapshot_id for snapshot in ours}
    parents = {snapshot.parent_snapshot_id for snapshot in ours} - own
    if len(parents) > 1:
        raise StalePlan(
            f"plan {plan_id} cannot be rolled back: other commits lie between its {len(own)} snapshots", hint=_NEWER
        )
    parent = parents.pop() if parents else None
    if parent is None:
        raise Refused(f"the state before plan {plan_id} is gone: the snapshot before it has expired", hint=_KEEP)
    return parent


def _require_top(line: Sequence[Snapshot], ours: set[int], plan_id: str, branch: str) -> None:
    later = list(itertools.takewhile(lambda snapshot: snapshot.snapshot_id not in ours, line))
    if len(later) == len(line):
        raise StalePlan(
            f"the branch {branch!r} does not hold the snapshots of plan {plan_id}", hint="was it rolled back before?"
        )
    if later:
        shown = ", ".join(_named(snapshot) for snapshot in later[:5]) + (", …" if len(later) > 5 else "")
        raise StalePlan(
            f"plan {plan_id} cannot be rolled back: {len(later)} later snapshots of {branch!r} would be lost: {shown}",
            hint=_NEWER,
        )
    if {snapshot.snapshot_id for snapshot in line[: len(ours)]} != ours:
        raise StalePlan(f"the snapshots of plan {plan_id} are not in one line on {branch!r}", hint=_NEWER)


def _named(snapshot: Snapshot) -> str:
    operation = snapshot.summary.operation.value if snapshot.summary else "unknown"
    return f"{snapshot.snapshot_id} ({operation})"


def _require_files(table: Iceberg, head: Snapshot, target: Snapshot, plan_id: str) -> None:
    """Look for every file of those manifests that the target has and the head has not.

    :raises Refused: naming one that is gone.
    """
    now = {manifest.manifest_path for manifest in read_manifest_list(table.io, head)}
    only_before = [m for m in read_manifest_list(table.io, target) if m.manifest_path not in now]
    missing = list(itertools.islice(_absent(table, _live_paths(table, only_before)), 2))
    if missing:
        more = " and others" if len(missing) > 1 else ""
        raise Refused(
            f"the state before plan {plan_id} is gone: a file of it was deleted: {missing[0]}{more}",
            hint="restore the file from its quarantine, or keep the rewrite: its rows are the same",
        )


def _live_paths(table: Iceberg, manifests: Sequence[ManifestFile]) -> Iterator[str]:
    for content in (0, 1):
        for manifest in with_live_files(manifests, content):
            yield from (entry.data_file.file_path for entry in read_source(table.io, manifest).entries)


def _absent(table: Iceberg, locations: Iterable[str]) -> Iterator[str]:
    """Locations at which there is no file."""
    remaining = iter(locations)
    while chunk := list(itertools.islice(remaining, _CHUNK)):
        try:
            system, _ = resolve(table.io, chunk[0])
            paths = [resolve(table.io, location)[1] for location in chunk]
            found = system.get_file_info(paths)
        except OSError as error:
            raise Unreachable(
                f"the table's files cannot be looked for: {error}", hint="does the storage answer?"
            ) from error
        yield from (chunk[i] for i, info in enumerate(found) if info.type != fs.FileType.File)


def _changes(
    table: Iceberg, decided: Rollback, plan_id: str
) -> tuple[tuple[TableRequirement, ...], tuple[TableUpdate, ...]]:
    metadata = table.metadata
    ref = metadata.refs[decided.branch]
    requirements: list[Any] = [
        AssertTableUUID(uuid=metadata.table_uuid),
        AssertRefSnapshotId(ref=decided.branch, snapshot_id=ref.snapshot_id),  # type: ignore[call-arg]
    ]
    if not isinstance(table.catalog, RestCatalog):
        requirements.append(AssertSnapshotPresent(snapshot_id=decided.snapshot_id))
    updates: list[TableUpdate] = [
        SetSnapshotRefUpdate(  # type: ignore[call-arg]
            ref_name=decided.branch,
            type=SnapshotRefType.BRANCH,
            snapshot_id=decided.snapshot_id,
            min_snapshots_to_keep=ref.min_snapshots_to_keep,
            max_snapshot_age_ms=ref.max_snapshot_age_ms,
            max_ref_age_ms=ref.max_ref_age_ms,
        )
    ]
    around = _around(table, decided.undone[-1])
    updates += _properties_back(metadata, around, plan_id)
    order_id = None if around is None else _order_before(metadata, *around)
    if order_id is not None:
        current = metadata.default_sort_order_id
        requirements.append(AssertDefaultSortOrderId(default_sort_order_id=current))  # type: ignore[call-arg]
        updates.append(SetDefaultSortOrderUpdate(sort_order_id=order_id))  # type: ignore[call-arg]
    return tuple(requirements), tuple(updates)


def _around(table: Iceberg, snapshot_id: int) -> tuple[TableMetadata, TableMetadata] | None:
    """The metadata before and after the commit of a snapshot.

    The metadata log is read from new to old; None where its files do not reach so far.
    """
    after = table.metadata
    for entry in reversed(table.metadata.metadata_log):
        try:
            before = FromInputFile.table_metadata(table.io.new_input(entry.metadata_file))
        except Exception:  # logged metadata may be deleted at any time; what it said cannot be known any more
            return None
        if before.snapshot_by_id(snapshot_id) is None:
            return before, after
        after = before
    return None


def _order_before(now: TableMetadata, before: TableMetadata, after: TableMetadata) -> int | None:
    """The default sort order before a commit, where that commit set the one of now; else None."""
    changed = before.default_sort_order_id != after.default_sort_order_id
    unmoved = after.default_sort_order_id == now.default_sort_order_id
    known = now.sort_order_by_id(before.default_sort_order_id) is not None
    return before.default_sort_order_id if changed and unmoved and known else None


def _properties_back(
    now: TableMetadata, around: tuple[TableMetadata, TableMetadata] | None, plan_id: str
) -> list[TableUpdate]:
    """Set the recorded layouts back to what they were, as far as the plan's commits set those of now.

    What a plan measured is in its own name: where nobody knows what was there before, nothing is remembered.
    """
    ours = []
    held = remembered(now.properties)
    if held is not None and held.plan_id == plan_id:
        ours.append(MEASURED_PROPERTY)
    before, after = (one.properties.get(LAYOUT_PROPERTY) for one in around) if around else (None, None)
    if before != after and after == now.properties.get(LAYOUT_PROPERTY):
        ours.append(LAYOUT_PROPERTY)
    known = around[0].properties if around else {}
    back = {name: known[name] for name in ours if name in known}
    gone = [name for name in ours if name not in known]
    updates: list[TableUpdate] = [SetPropertiesUpdate(updates=back)] if back else []
    return [*updates, RemovePropertiesUpdate(removals=gone)] if gone else updates


def _is_done(table: Iceberg, decided: Rollback) -> bool:
    """Whether the branch holds the target and none of the undone snapshots."""
    head = table.metadata.snapshot_by_name(decided.branch)
    line = {snapshot.snapshot_id for snapshot in ancestors_of(head, table.metadata)}
    return decided.snapshot_id in line and not line & set(decided.undone)
