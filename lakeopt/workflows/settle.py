"""Settle what earlier runs left open: commits whose answer was lost, and the files of runs that were killed.

Files go to the mark list, to be swept after the grace by whoever finds that nothing reaches them. They are deleted
at once only where death is certain (the process of this host is gone), no commit of it can appear any more, and the
table as it is now does not reach them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from lakeopt.config import Settings
from lakeopt.model.manifests import ManifestsPlan
from lakeopt.model.plan import FileGroup, RewritePlan
from lakeopt.model.serde import from_data
from lakeopt.tables.base import Committer, Leaving, Table
from lakeopt.workflows.group_run import written_files
from lakeopt.workflows.journal import JournalledRun, unfinished
from lakeopt.workflows.leases import GRACE, age_of, forget
from lakeopt.workflows.marks import MarkedFile, mark
from lakeopt.workflows.state import delete_object

#: Kinds of plans whose runs end with a snapshot of their own.
_COMMITTING = (RewritePlan.kind, ManifestsPlan.kind)


def settle(table: Table, committer: Committer, settings: Settings) -> None:
    """Add to the journal what can be told now of runs that have no end; mark or delete what they left.

    :raises Unreachable: the journal, the table or its files cannot be read.
    :raises DataFileError: a manifest is missing or damaged, so that nothing can be said to be unreachable.
    """
    for run in unfinished(table, settings):
        plan = run.started.get("plan") or {}
        if plan.get("kind") not in _COMMITTING:
            continue
        if run.status == "running" and age_of(run.newest) <= GRACE:
            continue
        _settle(table, committer, settings, run, in_parts=bool(plan.get("partial_progress")))


def _settle(table: Table, committer: Committer, settings: Settings, run: JournalledRun, *, in_parts: bool) -> None:
    from lakeopt.tables.committer import upkeep

    pending, log = run.pending_snapshot, run.writer(table)
    landed: set[int] = set()
    groups = _committing(run)
    if pending is not None and committer.find(table, pending, groups):
        mark(table, settings, run.plan_id, replaced_marks(committer.replaced(table, pending, groups), run.plan_id))
        if not in_parts:
            forget(table, settings, run.token)
            log.write("committed", snapshot_ids=[str(pending)], settled_later=True)
            return
        landed = set(run.of("committing")[-1]["group_ids"])
        log.write("group-committed", snapshot_id=str(pending), group_ids=sorted(landed), settled_later=True)
        pending = None
    certain = run.is_dead and (pending is None or not committer.may_land_later(table))
    left: list[MarkedFile] = []
    if certain or not run.of("marked"):
        folders = {event["folder"] for event in _not_done(run, landed)}
        found = [*_leavings(table, run, landed), *_of_commit(table, committer, pending, folders)]
        unreached = committer.unreached(table, {file.path for file in found})
        left = [file for file in found if file.path in unreached]
    if certain:
        for file in left:
            delete_object(table, file.path)
        upkeep(table).tidy(table, {event["folder"] for event in _not_done(run, landed)})
    elif left:
        mark(table, settings, run.plan_id, left)
    if pending is not None and not certain and age_of(run.newest) <= GRACE:
        if not run.of("marked"):
            log.write("marked", files=len(left), settled_later=True)
        if run.is_dead:
            forget(table, settings, run.token)  # its commit may still appear, but it does no more work
        return
    forget(table, settings, run.token)
    done = "removed" if certain else "marked for the next sweep"
    reason = "it was killed" if run.seems_dead else "nothing was heard of it for longer than the grace"
    log.write("interrupted", error=f"{reason}; {len(left)} files that it left are {done}", settled_later=True)


def _leavings(table: Table, run: JournalledRun, landed: set[int]) -> Iterator[MarkedFile]:
    """The data files of groups that were not committed, half-written ones too, as storage lists them."""
    reason = f"written by plan {run.plan_id}, which was {'killed' if run.is_dead else 'given up'}"
    for event in _not_done(run, landed):
        for location, size in written_files(table, event["folder"], event["prefix"]):
            yield MarkedFile(location, "data", size, reason)


def _not_done(run: JournalledRun, landed: set[int]) -> list[Mapping[str, Any]]:
    """Where files of groups were written that were not committed."""
    done = landed | {number for event in run.of("group-committed") for number in event["group_ids"]}
    return [event for event in run.of("staging") if event["group_id"] not in done]


def _of_commit(
    table: Table, committer: Committer, snapshot_id: int | None, folders: Collection[str]
) -> Iterator[MarkedFile]:
    if snapshot_id is not None:
        reason = f"written for snapshot {snapshot_id}, which was not committed"
        for one in committer.leavings(table, snapshot_id, folders):
            yield MarkedFile(one.location, one.kind, one.bytes, reason)


def _committing(run: JournalledRun) -> list[FileGroup]:
    """The groups that were being committed when the events end; plans of other kinds have none."""
    events, plan = run.of("committing"), run.started.get("plan") or {}
    if not events or plan.get("kind") != RewritePlan.kind:
        return []
    wanted = set(events[-1].get("group_ids", ()))
    return [from_data(FileGroup, group) for group in plan["groups"] if group["group_id"] in wanted]


def replaced_marks(leavings: Iterable[Leaving], plan_id: str) -> list[MarkedFile]:
    """Files that a plan has put out of use, as marks."""
    reason = f"replaced by plan {plan_id}"
    return [MarkedFile(one.location, one.kind, one.bytes, reason) for one in leavings]
