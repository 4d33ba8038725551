"""Expire snapshots: decide, commit, verify, mark. No file is deleted here; a later sweep does that."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakeopt.config import Settings, load_settings
from lakeopt.errors import CommitOutcomeUnknown, Interrupted, LakeoptError, StalePlan
from lakeopt.maintenance.expire_snapshots import DEFAULTS, MAX_REF_AGE, Decision, Limits, decide, limits
from lakeopt.model.expiry import (
    ExpiryPlan,
    ExpiryResult,
    RemovedRef,
    RetainedSnapshot,
    SnapshotDecision,
)
from lakeopt.tables.base import Table
from lakeopt.units import parse_moment
from lakeopt.workflows import journal
from lakeopt.workflows.expiry_marks import finish_marks, mark_dead, mark_remembered
from lakeopt.workflows.in_use import open_runs

if TYPE_CHECKING:
    from lakeopt.tables.iceberg.commits.expiry_commit import Expiry


def expire_snapshots(
    table: str | Table,
    *,
    older_than: str | None = None,
    retain_last: int | None = None,
    partition: str | None = None,
    settings: Settings | None = None,
) -> ExpiryResult:
    """Expire a table's snapshots by Iceberg's retention rules, and mark what nothing reaches any more.

    ``older_than`` is an age (``5d``) or an ISO time with its zone, ``retain_last`` the number of snapshots that each
    branch keeps; both stand back where a branch has values of its own. ``partition`` is a filter over identity
    partition columns: only dead files of these partitions are marked now. Errors as of :func:`apply_expiry`.
    """
    settings = settings or load_settings()
    plan = plan_expiry(
        table, older_than=older_than, retain_last=retain_last, partition=partition, settings=settings, measure=False
    )
    return apply_expiry(plan, table=table if not isinstance(table, str) else None, settings=settings)


def plan_expiry(
    table: str | Table,
    *,
    older_than: str | None = None,
    retain_last: int | None = None,
    partition: str | None = None,
    settings: Settings | None = None,
    measure: bool = True,
) -> ExpiryPlan:
    """Decide which snapshots expire and why; with ``measure``, what the sweep after it would free.

    :raises Refused: the table keeps everything (``gc.enabled=false``), or cannot be written.
    :raises UsageError: ``older_than`` is no moment, or has no zone, or ``partition`` is more than partition values.
    :raises DataFileError: a manifest list or manifest is missing or damaged.
    """
    from lakeopt.tables.iceberg.deletion.partition_files import require_partition_filter
    from lakeopt.tables.iceberg.deletion.retention_facts import operations, require_collectable
    from lakeopt.tables.open import open_table

    settings = settings or load_settings()
    opened = open_table(table, settings) if isinstance(table, str) else table.refresh()
    require_collectable(opened)
    if partition is not None:
        require_partition_filter(opened, partition)
    now_ms = int(time.time() * 1000)
    cutoff = None if older_than is None else parse_moment(older_than, now_ms)
    limit = limits(opened.properties, now_ms, older_than_ms=cutoff, retain_last=retain_last)
    decision = _decide(opened, limit, settings)
    files, size = _measured(opened, decision, partition) if measure else (None, None)
    head, done = opened.snapshot_id(), operations(opened)
    return ExpiryPlan(
        plan_id=journal.new_plan_id(),
        created_at=_iso(now_ms),
        table=opened.identifier,
        table_uuid=opened.uuid,
        base_snapshot_id=None if head is None else str(head),
        older_than=_iso(limit.older_than_ms),
        retain_last=limit.retain_last,
        expired=_told(opened, decision.expired, done),
        retained=_told(opened, decision.retained, done),
        removed_refs=_removed(opened, decision.removed_refs),
        files_to_mark=files,
        bytes_to_free=size,
        partition=partition,
    )


def apply_expiry(plan: ExpiryPlan, *, table: Table | None = None, settings: Settings | None = None) -> ExpiryResult:
    """Commit an expiry plan, verify the refs, and mark what nothing reaches any more.

    Where other writers commit meanwhile it is decided anew, by the same limits and within what was planned. What
    earlier expiries let go and could not mark, because they were killed, is marked first. What tells which files
    nothing reaches afterwards is read before the commit, so that damage is found while nothing is changed yet.

    :raises DataFileError: a manifest list or manifest is missing or damaged; nothing is committed.
    :raises Refused: the table may not be expired.
    :raises CommitConflict: other writers were quicker in every attempt; nothing is committed.
    :raises CommitOutcomeUnknown: it may have been committed; the next expiry marks what it let go.
    :raises WorkFailed: a ref was lost that was to stay; nothing is marked.
    """
    from lakeopt.tables.iceberg.commits.expiry_commit import commit_expiry
    from lakeopt.tables.iceberg.deletion.dead_files import survey
    from lakeopt.tables.iceberg.deletion.retention_facts import require_collectable
    from lakeopt.tables.open import open_table

    started = time.perf_counter()
    settings = settings or load_settings()
    opened = (open_table(plan.table, settings) if table is None else table).refresh()
    require_collectable(opened)
    _require_same(opened, plan)
    finish_marks(opened, settings)
    run = _Run(plan, settings)
    run.marked = mark_remembered(opened, settings, plan.partition)
    if not (plan.expired or plan.removed_refs):
        return run.result(time.perf_counter() - started)
    log = journal.start(opened, plan, "expire-snapshots", settings)
    try:
        surveyed = survey(opened, run.planned(opened))
        expired = commit_expiry(
            opened,
            run.choose,
            on_attempt=lambda at, what: log.write("expiring", **_goal(at, what)),
            on_metadata=lambda location: log.write("writing", metadata_location=location),
        )
        if expired is not None:
            run.committed = True
            run.expired = tuple(str(one) for one in expired.expiry.snapshot_ids)
            run.removed_refs = expired.expiry.ref_names
            gone = expired.expiry.snapshot_ids
            more = mark_dead(
                expired.before, expired.after, gone, plan.plan_id, settings, surveyed, partition=plan.partition
            )
            run.marked = (run.marked[0] + more[0], run.marked[1] + more[1])
        result = run.result(time.perf_counter() - started)
        log.write("committed", **journal.result_event(result))
    except BaseException as error:
        with contextlib.suppress(LakeoptError):
            log.write(run.event(error), error=str(error) or type(error).__name__)
        raise
    return result


@dataclass
class _Run:
    """One expiry over all its attempts."""

    plan: ExpiryPlan
    settings: Settings
    committed: bool = False
    expired: tuple[str, ...] = ()
    removed_refs: tuple[str, ...] = ()
    marked: tuple[int, int] = (0, 0)
    retained: dict[int, str] = field(default_factory=dict)

    def planned(self, table: Table) -> set[int]:
        """Those snapshots of the plan that the table still has."""
        from lakeopt.tables.iceberg.deletion.retention_facts import snapshot_facts

        return {int(one.snapshot_id) for one in self.plan.expired} & {one.snapshot_id for one in snapshot_facts(table)}

    def choose(self, table: Table) -> Expiry:
        """What goes from the table as it is now: what the same limits say, within what was planned."""
        from lakeopt.tables.iceberg.commits.expiry_commit import Expiry

        _require_same(table, self.plan)
        planned = {int(one.snapshot_id) for one in self.plan.expired}
        refs = {one.name for one in self.plan.removed_refs}
        decision = _decide(table, _limits(table, self.plan), self.settings, removable=refs)
        late = (one for one in decision.expired if one not in planned)
        self.retained = {**decision.retained, **dict.fromkeys(late, "it would expire, but the plan does not name it")}
        return Expiry(tuple(one for one in decision.expired if one in planned), tuple(decision.removed_refs))

    def event(self, error: BaseException) -> str:
        """How the journal calls the end that this error makes; none of the ends where marks are still to be made."""
        if isinstance(error, CommitOutcomeUnknown):
            return "unknown"
        if self.committed:
            return "unmarked"
        return "interrupted" if isinstance(error, KeyboardInterrupt | Interrupted) else "failed"

    def result(self, elapsed: float) -> ExpiryResult:
        """What was done so far."""
        plan = self.plan
        retained = {int(one.snapshot_id): one.reason for one in plan.retained}
        return ExpiryResult(
            plan_id=plan.plan_id,
            table=plan.table,
            bytes_freed_now=0,
            expired_snapshots_count=len(self.expired),
            expired=self.expired,
            removed_refs=self.removed_refs,
            marked_files_count=self.marked[0],
            marked_bytes=self.marked[1],
            retained=tuple(RetainedSnapshot(str(one), why) for one, why in (self.retained or retained).items()),
            elapsed_seconds=elapsed,
            partition=plan.partition,
        )


def _decide(table: Table, limit: Limits, settings: Settings, *, removable: Set[str] | None = None) -> Decision:
    """What goes from the table as it is now. Refs that are not ``removable`` stay, whatever their age."""
    from lakeopt.tables.iceberg.deletion.retention_facts import ref_facts, snapshot_facts

    pinned = {
        run.base_snapshot_id: f"in use by the running plan {run.plan_id}"
        for run in open_runs(table, settings)
        if run.base_snapshot_id is not None
    }
    refs = [
        ref if removable is None or ref.name in removable else replace(ref, max_ref_age_ms=DEFAULTS[MAX_REF_AGE])
        for ref in ref_facts(table)
    ]
    return decide(snapshot_facts(table), refs, limit, pinned)


def _limits(table: Table, plan: ExpiryPlan) -> Limits:
    """The limits of the plan, at the moment for which it was made."""
    made = _milliseconds(plan.created_at)
    return limits(table.properties, made, older_than_ms=_milliseconds(plan.older_than), retain_last=plan.retain_last)


def _require_same(table: Table, plan: ExpiryPlan) -> None:
    if table.uuid != plan.table_uuid:
        raise StalePlan(f"{plan.table} was made anew since the plan", hint="make a new plan")


def _measured(table: Table, decision: Decision, partition: str | None) -> tuple[int, int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    from lakeopt.tables.iceberg.deletion.dead_files import dead_files
    from lakeopt.tables.iceberg.deletion.partition_files import PartitionFiles, partitions_of

    if not decision.expired:
        return 0, 0
    dead = dead_files(table, decision.expired)
    if partition is not None:
        chosen = PartitionFiles(table, partition)
        own = [path for path, place in partitions_of(table, decision.expired).items() if chosen.holds(place)]
        dead = dead.filter(pc.is_in(dead["file_path"], pa.array(own, pa.string())))
    return dead.num_rows, pc.sum(dead["bytes"]).as_py() or 0


def _told(table: Table, reasons: Mapping[int, str], done: Mapping[int, str | None]) -> tuple[SnapshotDecision, ...]:
    """Snapshots with their reasons, oldest first."""
    from lakeopt.tables.iceberg.deletion.retention_facts import snapshot_facts

    ordered = sorted(snapshot_facts(table), key=lambda one: (one.sequence_number, one.timestamp_ms))
    return tuple(
        SnapshotDecision(str(one.snapshot_id), _iso(one.timestamp_ms), done[one.snapshot_id], reasons[one.snapshot_id])
        for one in ordered
        if one.snapshot_id in reasons
    )


def _removed(table: Table, reasons: Mapping[str, str]) -> tuple[RemovedRef, ...]:
    from lakeopt.tables.iceberg.deletion.retention_facts import ref_facts

    refs = [ref for ref in ref_facts(table) if ref.name in reasons]
    return tuple(RemovedRef(ref.name, ref.type, str(ref.snapshot_id), reasons[ref.name]) for ref in refs)


def _goal(table: Table, expiry: Expiry) -> dict[str, object]:
    """What an attempt is about to do, so that a later run can mark what a killed one let go."""
    from lakeopt.tables.iceberg.deletion.past_metadata import metadata_location

    return {
        "metadata_location": metadata_location(table),
        "expiring": [str(one) for one in expiry.snapshot_ids],
        "refs": list(expiry.ref_names),
    }


def _iso(milliseconds: int) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def _milliseconds(iso: str) -> int:
    return parse_moment(iso, 0)
