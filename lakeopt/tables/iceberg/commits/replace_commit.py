"""lakeopt's own committer: one ``replace`` snapshot that puts staged files in the place of those they replace.

pyiceberg has no such operation, and its ``overwrite`` is not safe for it: it misses deletes that were
followed by an append, and files every new data file under the table's default partition spec.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    AssertCurrentSchemaId,
    AssertDefaultSpecId,
    AssertRefSnapshotId,
    AssertTableUUID,
    SetSnapshotRefUpdate,
    TableRequirement,
    TableUpdate,
)

from lakeopt.errors import (
    CommitConflict,
    LakeoptError,
    StalePlan,
    Unreachable,
    UsageError,
)
from lakeopt.model.plan import FileGroup, RewritePlan
from lakeopt.tables.base import Committed, Leaving, Table
from lakeopt.tables.iceberg.commits.commit_outcome import Outcome, is_there, send
from lakeopt.tables.iceberg.commits.layout_saving import LayoutSaving
from lakeopt.tables.iceberg.commits.live_deletes import Spent, SpentDeletes, require_known_deletes
from lakeopt.tables.iceberg.commits.manifest_writing import ReplaceManifests, partition_schema
from lakeopt.tables.iceberg.commits.moved_rows import moves_of, refuse_equality_deletes, require_current_spec
from lakeopt.tables.iceberg.commits.new_sort_order import order_changes, order_of
from lakeopt.tables.iceberg.commits.replacement import Replacement, planned_specs, staged_groups
from lakeopt.tables.iceberg.commits.summary import layout_properties, replace_summary
from lakeopt.tables.iceberg.commits.window import (
    LiveFiles,
    NewDeletes,
    global_specs,
    open_window,
    refuse_new_deletes,
)
from lakeopt.tables.iceberg.commits.writable import (
    PATIENCE,
    WAIT,
    pyiceberg_table,
    reload,
    require_known_format,
    writable,
)
from lakeopt.tables.iceberg.deletion.leavings import commit_leavings, unreached
from lakeopt.tables.iceberg.metadata.manifests import read_manifest_list, with_live_files
from lakeopt.tables.iceberg.metadata.source_manifest import SourceManifest
from lakeopt.tables.shield import shielded

if TYPE_CHECKING:
    import pyarrow as pa


class ReplaceCommitter:
    """The committer named ``lakeopt``: tables of format v1 and v2, in any catalog that pyiceberg can write."""

    name = "lakeopt"

    def check(self, table: Table, plan: RewritePlan) -> None:
        """Raise :class:`StalePlan` if the plan no longer holds; appends never make it stale.

        :raises Refused: the table cannot be written.
        :raises UsageError: the plan contradicts itself.
        """
        plan.require_consistent()
        fresh = writable(table)
        if not plan.groups:
            return
        try:
            live = LiveFiles(fresh.io, planned_specs(plan))
            state = _validate(fresh, plan, live, NewDeletes(fresh.io), plan.groups)
        except CommitConflict as error:
            raise StalePlan(str(error), hint=error.hint) from error
        require_known_deletes(fresh, plan.groups, state.base, state.sources)

    def commit(
        self,
        table: Table,
        plan: RewritePlan,
        staged: Mapping[int, pa.Table],
        *,
        on_snapshot_id: Callable[[int], None],
        before_attempt: Callable[[], None] = lambda: None,
    ) -> Committed:
        """Commit the staged files as one ``replace`` snapshot.

        After every error but :class:`CommitOutcomeUnknown` nothing is committed, and the manifests written for
        it are removed. That holds for interrupts too: they wait for the catalog's answer, and where it is a
        success it is returned and the signal sent again a moment later.

        :raises CommitConflict: a concurrent change touched what the plan replaces.
        :raises StalePlan: the plan does not hold any more.
        :raises CommitOutcomeUnknown: it may still be committed: keep the staged files.
        """
        if not staged:
            raise UsageError("there is nothing to commit")
        plan.require_consistent()
        fresh = writable(table)
        live = LiveFiles(fresh.io, planned_specs(plan, staged))
        groups = staged_groups(plan, staged)
        new = NewDeletes(fresh.io)
        state = _validate(fresh, plan, live, new, groups)
        require_known_deletes(fresh, groups, state.base, state.sources)
        replacement = Replacement.of(fresh, table.resolve, plan, staged, state.sources)
        spent = SpentDeletes(fresh.io, live.wanted.keys())
        manifests = ReplaceManifests(int(fresh.metadata.new_snapshot_id()))
        saving = LayoutSaving.of(groups, staged)
        work = _Commit(plan, groups, live, new, spent, replacement, manifests, saving, before_attempt)
        on_snapshot_id(work.manifests.snapshot_id)
        with work.manifests.discarded_on_failure(fresh):
            return work.run(fresh)

    def find(self, table: Table, snapshot_id: int, groups: Sequence[FileGroup] = ()) -> bool:
        """Whether the table has that snapshot now.

        :raises Unreachable: the catalog does not answer.
        """
        try:
            return is_there(pyiceberg_table(table), snapshot_id)
        except NoSuchTableError:
            return False
        except LakeoptError:
            raise
        except Exception as error:
            raise Unreachable(f"the catalog does not answer: {error}", hint="try again later") from error

    def may_land_later(self, table: Table) -> bool:
        """Always: a catalog may be at work on it."""
        return True

    def replaced(self, table: Table, snapshot_id: int, groups: Sequence[FileGroup]) -> list[Leaving]:
        """None: earlier snapshots have them until they expire."""
        return []

    def leavings(self, table: Table, snapshot_id: int, folders: Collection[str] = ()) -> list[Leaving]:
        """Manifests and manifest lists that were written for a snapshot."""
        return commit_leavings(table, snapshot_id)

    def unreached(self, table: Table, locations: Collection[str]) -> set[str]:
        """Those whose names nothing in the table bears, as the catalog has it now."""
        by_name = {location.rpartition("/")[2]: location for location in locations}
        return {by_name[name] for name in unreached(table, by_name)}


@dataclass(frozen=True)
class _State:
    """What one look at the table gave: the head and its manifests, and those that hold replaced files."""

    base: Snapshot
    head: Snapshot
    manifests: list[ManifestFile]
    sources: list[SourceManifest]


def _validate(
    table: Iceberg,
    plan: RewritePlan,
    live: LiveFiles,
    new: NewDeletes,
    groups: Sequence[FileGroup],
    coming: Iterable[tuple[int, tuple[str, ...]]] = (),
) -> _State:
    """The plan holds, its files are live, and no delete file of the whole window may touch them.

    ``coming`` are the partitions of the files that come, where they are known.

    :raises Refused: the table was upgraded to a format that is not written.
    :raises StalePlan: the plan does not hold any more.
    :raises CommitConflict: a replaced file is gone, or rows of it may have been deleted.
    """
    require_known_format(table.metadata)  # it may have been upgraded since
    window = open_window(table.metadata, plan)
    manifests = read_manifest_list(table.io, window.head)
    sources = live.find(manifests)
    moves = require_current_spec(table.metadata, groups)
    if window.base.snapshot_id != window.head.snapshot_id:
        replaced = [e.data_file for source in sources for e in source.entries if e.data_file.file_path in live.wanted]
        refuse_new_deletes(replaced, new.since(window.base, manifests), global_specs(table.metadata))
        if moves:
            refuse_equality_deletes(table.io, table.metadata, window.base, manifests, moves_of(groups, coming))
    return _State(window.base, window.head, manifests, sources)


@dataclass
class _Commit:
    """One commit over all its attempts."""

    plan: RewritePlan
    groups: Sequence[FileGroup]
    live: LiveFiles
    new: NewDeletes
    deletes: SpentDeletes
    replacement: Replacement
    manifests: ReplaceManifests
    saving: LayoutSaving
    before_attempt: Callable[[], None]

    def run(self, table: Iceberg) -> Committed:
        """Try until it is committed, refused, or time is up."""
        deadline = time.monotonic() + PATIENCE
        for attempt in itertools.count(1):
            state = _validate(table, self.plan, self.live, self.new, self.groups, self.replacement.partitions)
            spent = self._spent(table, state)
            manifest_list, kept, requirements, updates = self._prepare(table, state, spent, attempt)
            with shielded() as shield:
                self.before_attempt()
                shield.later = True  # an interrupt must take the place neither of an id nor of an unknown outcome
                if send(table, self.manifests.snapshot_id, requirements, updates, shield) is Outcome.COMMITTED:
                    self.manifests.discard(table, keep={manifest_list, *kept})
                    return Committed(self.manifests.snapshot_id, len(spent.files))
                shield.later = False
                if shield.came:  # held back by a shield around this one, which cannot know that nothing is committed
                    raise KeyboardInterrupt
            if time.monotonic() > deadline:
                break
            time.sleep(random.uniform(*WAIT))
            table = reload(table, deadline)
        raise CommitConflict(
            f"other writers were quicker in all of {attempt} attempts over {PATIENCE:.0f} seconds",
            hint="run it again when fewer writers commit to the table",
        )

    def _spent(self, table: Iceberg, state: _State) -> Spent:
        partitions = ((staged.spec_id, staged.partition) for staged in self.replacement.staged)
        return self.deletes.find(table.metadata, state.manifests, partitions, state.base.sequence_number or 0)

    def _prepare(
        self, table: Iceberg, state: _State, spent: Spent, attempt: int
    ) -> tuple[str, set[str], tuple[TableRequirement, ...], tuple[TableUpdate, ...]]:
        """Write what this attempt refers to; the manifest list, all its manifests, and what to send."""
        metadata, plan = table.metadata, self.plan
        order = order_of(metadata, plan.layout)
        added = self.replacement.added(table, order.order_id if order else None)
        spec_ids = self.replacement.spec_ids | {source.manifest.partition_spec_id for source in spent.sources}
        schema = partition_schema(metadata, spec_ids)
        gone = {source.manifest.manifest_path for source in (*state.sources, *spent.sources)}
        new = [
            self.manifests.added(table, spec_id, schema, files, state.base.sequence_number or 0)
            for spec_id, files in added.items()
        ]
        new += self.manifests.rewritten(table, schema, state.sources, self.live.wanted.keys())
        new += self.manifests.rewritten(table, schema, spent.sources, spent.paths)
        new += [m for m in state.manifests if m.manifest_path not in gone and _is_live(m)]
        manifest_list = self.manifests.listed(table, state.head, new, attempt)
        files = [file for some in added.values() for file in some]
        removed = (*self.replacement.removed, *spent.files)
        summary = replace_summary(
            metadata,
            state.head,
            files,
            removed,
            schema=schema,
            properties={**layout_properties(plan), **self.saving.summary},
        )
        snapshot = Snapshot(  # type: ignore[call-arg]
            snapshot_id=self.manifests.snapshot_id,
            parent_snapshot_id=state.head.snapshot_id,
            manifest_list=manifest_list,
            sequence_number=metadata.next_sequence_number(),
            timestamp_ms=max(int(time.time() * 1000), metadata.last_updated_ms),  # never before its parent
            summary=summary,
            schema_id=metadata.current_schema_id,
        )
        requirements, updates = _changes(table, plan.branch, snapshot)
        if any(group.from_spec_ids for group in self.groups):
            requirements.append(AssertDefaultSpecId(default_spec_id=metadata.default_spec_id))  # type: ignore[call-arg]
        updates += self.saving.updates(plan, metadata.properties)
        if order is not None and (plan.set_default_sort_order or _in_order(files)):
            remote = isinstance(table.catalog, RestCatalog)
            more = order_changes(metadata, order, make_default=plan.set_default_sort_order, remote=remote)
            updates, requirements = [*more[0], *updates], [*requirements, *more[1]]
        return manifest_list, {m.manifest_path for m in new}, tuple(requirements), tuple(updates)


def _is_live(manifest: ManifestFile) -> bool:
    return any(with_live_files([manifest], manifest.content))


def _in_order(files: list[DataFile]) -> bool:
    return any(file.sort_order_id is not None for file in files)


def _changes(table: Iceberg, branch: str, snapshot: Snapshot) -> tuple[list[TableRequirement], list[TableUpdate]]:
    """Add the snapshot and move the branch to it, if the branch is where it was; its retention stays."""
    metadata = table.metadata
    ref = metadata.refs[branch]
    requirements: list[TableRequirement] = [
        AssertTableUUID(uuid=metadata.table_uuid),
        AssertRefSnapshotId(ref=branch, snapshot_id=ref.snapshot_id),  # type: ignore[call-arg]
        AssertCurrentSchemaId(current_schema_id=metadata.current_schema_id),  # type: ignore[call-arg]
    ]
    move = SetSnapshotRefUpdate(  # type: ignore[call-arg]
        ref_name=branch,
        type=SnapshotRefType.BRANCH,
        snapshot_id=snapshot.snapshot_id,
        min_snapshots_to_keep=ref.min_snapshots_to_keep,
        max_snapshot_age_ms=ref.max_snapshot_age_ms,
        max_ref_age_ms=ref.max_ref_age_ms,
    )
    return requirements, [AddSnapshotUpdate(snapshot=snapshot), move]
