"""Commit regrouped manifests: one ``replace`` snapshot that lists the very same files in other manifests.

Records are copied byte for byte, so that an entry says what it said: its data file, snapshot and sequence numbers.
New manifests are read back, and their entries held against those that they replace, before anything is committed.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from pyiceberg.manifest import ManifestEntry, ManifestFile
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Snapshot, Summary
from pyiceberg.table.update import (
    AddSnapshotUpdate,
    AssertRefSnapshotId,
    AssertTableUUID,
    SetSnapshotRefUpdate,
    TableRequirement,
    TableUpdate,
)

from lakeopt import __version__
from lakeopt.errors import CommitConflict, ProofFailed, StalePlan, UsageError
from lakeopt.model.manifests import ManifestFacts, ManifestGroup, ManifestsPlan
from lakeopt.tables.base import Table
from lakeopt.tables.iceberg.commits.commit_outcome import Outcome, send
from lakeopt.tables.iceberg.commits.manifest_writing import ReplaceManifests, partition_schema
from lakeopt.tables.iceberg.commits.summary import replace_summary
from lakeopt.tables.iceberg.commits.writable import PATIENCE, WAIT, reload, writable
from lakeopt.tables.iceberg.metadata.manifest_facts import ManifestTree, facts_of, read_entries, read_tree
from lakeopt.tables.iceberg.metadata.manifests import read_manifest_list, with_live_files
from lakeopt.tables.iceberg.metadata.source_manifest import SourceManifest
from lakeopt.tables.shield import shielded

#: ``divide(manifests, target_bytes)``: which entries, counted over these manifests, make each new manifest.
Divide = Callable[[Sequence[ManifestFacts], int], list[np.ndarray]]


@dataclass(frozen=True, slots=True)
class Regrouped:
    """What was committed: the snapshot, manifests and their bytes on both sides of it, entries that were moved."""

    snapshot_id: int
    manifests_before: int
    manifests_after: int
    bytes_before: int
    bytes_after: int
    entries: int


def manifest_tree(table: Table, branch: str) -> ManifestTree | None:
    """The manifests at the head of a branch, from the table as the catalog has it now; None for an empty table.

    :raises Refused: the table cannot be written, or is encrypted.
    :raises DataFileError: the manifest list or a manifest is missing or damaged.
    """
    fresh = writable(table)
    head = fresh.metadata.snapshot_by_name(branch)
    return None if head is None else read_tree(fresh, head)


def regroup(table: Table, plan: ManifestsPlan, divide: Divide, on_snapshot_id: Callable[[int], None]) -> Regrouped:
    """Commit a plan. Of each group those manifests are replaced that the branch still has; all others stay.

    After every error but :class:`CommitOutcomeUnknown` nothing is committed, and what was written is removed.

    :raises StalePlan: the table or its branch is another one.
    :raises ProofFailed: an entry of the new manifests says something else.
    :raises CommitConflict: nothing of the plan is left to do, or other writers were quicker every time.
    :raises CommitOutcomeUnknown: it may still be committed.
    """
    fresh = writable(table)
    work = _Commit(plan, divide, ReplaceManifests(int(fresh.metadata.new_snapshot_id())))
    on_snapshot_id(work.manifests.snapshot_id)
    with work.manifests.discarded_on_failure(fresh):
        return work.run(fresh)


@dataclass(frozen=True, slots=True)
class _Made:
    """New manifests that stand for some old ones."""

    new: tuple[ManifestFile, ...]
    entries: int


@dataclass
class _Commit:
    """One commit over all its attempts."""

    plan: ManifestsPlan
    divide: Divide
    manifests: ReplaceManifests
    _made: dict[tuple[str, ...], _Made] = field(default_factory=dict)

    def run(self, table: Iceberg) -> Regrouped:
        """Try until it is committed, refused, or time is up."""
        deadline = time.monotonic() + PATIENCE
        for attempt in itertools.count(1):
            head = self._head(table)
            before = read_manifest_list(table.io, head)
            after, moved = self._after(table, before)
            manifest_list = self.manifests.listed(table, head, after, attempt)
            summary = self._summary(table, head, before, after, moved)
            requirements, updates = _changes(
                table, self.plan.branch, self._snapshot(table, head, manifest_list, summary)
            )
            with shielded() as shield:
                shield.later = True  # an interrupt must take the place neither of an id nor of an unknown outcome
                if send(table, self.manifests.snapshot_id, requirements, updates, shield) is Outcome.COMMITTED:
                    self.manifests.discard(table, keep={manifest_list, *(one.manifest_path for one in after)})
                    return _regrouped(self.manifests.snapshot_id, before, after, moved)
                shield.later = False
            if time.monotonic() > deadline:
                break
            time.sleep(random.uniform(*WAIT))
            table = reload(table, deadline)
        raise CommitConflict(f"other writers were quicker in all of {attempt} attempts", hint="run it again later")

    def _head(self, table: Iceberg) -> Snapshot:
        metadata, branch = table.metadata, self.plan.branch
        if str(metadata.table_uuid) != self.plan.table_uuid:
            raise StalePlan("the table was dropped and made anew since the plan", hint="make a new plan")
        ref = metadata.refs.get(branch)
        head = metadata.snapshot_by_id(ref.snapshot_id) if ref is not None else None
        if ref is None or head is None or ref.snapshot_ref_type != SnapshotRefType.BRANCH:
            raise StalePlan(f"the branch {branch!r} is gone", hint="make a new plan")
        return head

    def _after(self, table: Iceberg, before: Sequence[ManifestFile]) -> tuple[list[ManifestFile], int]:
        """Manifests of the new snapshot, and how many entries the new ones of them hold."""
        now = {one.manifest_path: one for one in before}
        after: list[ManifestFile] = []
        gone: set[str] = set()
        moved = 0
        for group in self.plan.groups:
            present = [now[path] for path in group.manifests if path in now]
            made = self._regroup(table, present) if _is_worth_it(group, present) else None
            if made is not None:
                after += made.new
                moved += made.entries
                gone |= {one.manifest_path for one in present}
        if not gone:
            raise CommitConflict("the manifests that the plan regroups were replaced meanwhile", hint="make a new plan")
        kept = [one for content in (0, 1) for one in with_live_files(before, content)]
        after += [one for one in kept if one.manifest_path not in gone]
        _prove_counts(before, after)
        return after, moved

    def _regroup(self, table: Iceberg, present: Sequence[ManifestFile]) -> _Made:
        key = tuple(one.manifest_path for one in present)
        if key not in self._made:
            sources = [read_entries(table, one) for one in present]
            _require_alike(table, sources)
            new = self._write(table, sources, key)
            prove_equal(sources, [read_entries(table, one) for one in new])
            self._made[key] = _Made(tuple(new), sum(len(source.entries) for source in sources))
        return self._made[key]

    def _write(self, table: Iceberg, sources: Sequence[SourceManifest], key: tuple[str, ...]) -> list[ManifestFile]:
        schema = partition_schema(table.metadata, {source.manifest.partition_spec_id for source in sources})
        pairs = [pair for source in sources for pair in zip(source.entries, source.records, strict=True)]
        new = []
        for number, share in enumerate(self.divide(facts_of(sources), self.plan.target_bytes)):
            entries, records = zip(*(pairs[place] for place in share), strict=True)
            first = sources[0]
            made = SourceManifest(first.manifest, first.header, first.schema, list(entries), list(records))
            new.append(self.manifests.regrouped(table, schema, made, (*key, number)))
        return new

    def _summary(
        self, table: Iceberg, head: Snapshot, before: Sequence[ManifestFile], after: Sequence[ManifestFile], moved: int
    ) -> Summary:
        old, new = ({one.manifest_path for one in some} for some in (before, after))
        properties = {
            "lakeopt.version": __version__,
            "lakeopt.plan-id": self.plan.plan_id,
            "manifests-created": str(len(new - old)),
            "manifests-kept": str(len(new & old)),
            "manifests-replaced": str(len(old - new)),
            "entries-processed": str(moved),
        }
        return replace_summary(table.metadata, head, (), (), schema=table.schema(), properties=properties)

    def _snapshot(self, table: Iceberg, head: Snapshot, manifest_list: str, summary: Summary) -> Snapshot:
        metadata = table.metadata
        return Snapshot(  # type: ignore[call-arg]
            snapshot_id=self.manifests.snapshot_id,
            parent_snapshot_id=head.snapshot_id,
            manifest_list=manifest_list,
            sequence_number=metadata.next_sequence_number(),
            timestamp_ms=max(int(time.time() * 1000), metadata.last_updated_ms),  # never before its parent
            summary=summary,
            schema_id=metadata.current_schema_id,
        )


def prove_equal(before: Sequence[SourceManifest], after: Sequence[SourceManifest]) -> None:
    """Check that two sets of manifests list the same files, each in the same words and of the same age.

    :raises ProofFailed: they do not.
    """
    old, new = (Counter(word for source in some for word in _words(source)) for some in (before, after))
    if old != new:
        lost, gained = sum((old - new).values()), sum((new - old).values())
        raise ProofFailed(
            f"the new manifests do not say what the old ones said: {lost} entries lost, {gained} made up",
            hint="nothing was committed; report this with the plan",
        )


def _prove_counts(before: Sequence[ManifestFile], after: Sequence[ManifestFile]) -> None:
    """Check that two manifest lists state as many live files and rows of each content and spec.

    What a writer of format v1 left out cannot be compared.

    :raises ProofFailed: they do not.
    """
    old, new = _counts(before), _counts(after)
    differ = {kind for kind, stated in old.items() if None not in stated and stated != new.get(kind)}
    if differ or set(new) - set(old):
        raise ProofFailed(
            f"the new manifest list states other counts of files and rows: {new} in place of {old}",
            hint="nothing was committed; report this with the plan",
        )


def _counts(manifests: Sequence[ManifestFile]) -> dict[tuple[int, int], tuple[int | None, ...]]:
    """Live files and rows by content and spec, None where they are not stated; none of a kind without live files."""
    found: dict[tuple[int, int], tuple[int | None, ...]] = {}
    for one in (live for content in (0, 1) for live in with_live_files(manifests, content)):
        stated = (one.added_files_count, one.existing_files_count, one.added_rows_count, one.existing_rows_count)
        kind = (int(one.content), one.partition_spec_id)
        files, rows = found.get(kind, (0, 0))
        if None in stated or files is None or rows is None:
            found[kind] = (None, None)
        else:
            found[kind] = (files + sum(filter(None, stated[:2])), rows + sum(filter(None, stated[2:])))
    return found


def _words(source: SourceManifest) -> list[tuple[object, ...]]:
    """What each live entry says: spec, content, snapshot and sequence numbers, and its record's bytes as a digest."""
    place = (int(source.manifest.partition_spec_id), int(source.manifest.content), source.form)
    return [
        (*place, *_age(entry), hashlib.blake2b(record, digest_size=16).digest())
        for entry, record in zip(source.entries, source.records, strict=True)
    ]


def _age(entry: ManifestEntry) -> tuple[int | None, int, int]:
    return entry.snapshot_id, entry.sequence_number or 0, entry.file_sequence_number or 0


def _require_alike(table: Iceberg, sources: Sequence[SourceManifest]) -> None:
    """Check that the records of all these manifests can stand in one.

    :raises UsageError: the plan names manifests of several contents, specs or forms in one group.
    """
    kinds = {(source.manifest.content, source.manifest.partition_spec_id, source.form) for source in sources}
    if len(kinds) > 1 or not all(source.copies_to(table.metadata.format_version) for source in sources):
        raise UsageError(
            "the plan contradicts itself: the manifests of a group are of several kinds", hint="make a new plan"
        )


def _is_worth_it(group: ManifestGroup, present: Sequence[ManifestFile]) -> bool:
    """Whether what is left of a group is still to be regrouped: all of it, or some that can be joined."""
    return len(present) == len(group.manifests) or len(present) > 1


def _changes(
    table: Iceberg, branch: str, snapshot: Snapshot
) -> tuple[tuple[TableRequirement, ...], tuple[TableUpdate, ...]]:
    """Add the snapshot and move the branch to it, if the branch is where it was; its retention stays."""
    ref = table.metadata.refs[branch]
    move = SetSnapshotRefUpdate(  # type: ignore[call-arg]
        ref_name=branch,
        type=SnapshotRefType.BRANCH,
        snapshot_id=snapshot.snapshot_id,
        min_snapshots_to_keep=ref.min_snapshots_to_keep,
        max_snapshot_age_ms=ref.max_snapshot_age_ms,
        max_ref_age_ms=ref.max_ref_age_ms,
    )
    requirements = (
        AssertTableUUID(uuid=table.metadata.table_uuid),
        AssertRefSnapshotId(ref=branch, snapshot_id=ref.snapshot_id),  # type: ignore[call-arg]
    )
    return requirements, (AddSnapshotUpdate(snapshot=snapshot), move)


def _regrouped(
    snapshot_id: int, before: Sequence[ManifestFile], after: Sequence[ManifestFile], moved: int
) -> Regrouped:
    old, new = (sum(one.manifest_length for one in some) for some in (before, after))
    return Regrouped(snapshot_id, len(before), len(after), old, new, moved)
