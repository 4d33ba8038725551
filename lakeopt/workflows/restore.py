"""``restore``: undo a plan, as far as that can be done: files come back from the quarantine, or a branch goes back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lakeopt.config import Settings, load_settings
from lakeopt.errors import CommitOutcomeUnknown, Interrupted, LakeoptError, StalePlan, UnknownName
from lakeopt.model.orphans import KeptFile, RestorePlan, RestoreResult, require_plain_id
from lakeopt.tables.base import Leaving, Table, Undone
from lakeopt.workflows import journal, quarantine
from lakeopt.workflows.in_use import running
from lakeopt.workflows.marks import mark
from lakeopt.workflows.settle import replaced_marks

_ORPHANS = "orphan_plan"
#: Plans whose files may lie in the quarantine, even if none is left there.
_QUARANTINES = (_ORPHANS, "sweep_plan")


def restore(table: str | Table, plan: str, *, settings: Settings | None = None) -> RestoreResult:
    """Undo the plan of that id (see :func:`plan_restore`): bring its files back, or the state before its rewrite."""
    settings = settings or load_settings()
    opened = None if isinstance(table, str) else table
    return carry_out_restore(plan_restore(table, plan, settings=settings), opened, settings=settings)


def plan_restore(table: str | Table, plan: str, *, settings: Settings | None = None) -> RestorePlan:
    """What undoing a plan would bring back. Touches nothing.

    :raises UnknownName: neither journal nor quarantine knows the plan.
    :raises Refused: it did nothing that can be undone, or what it needs is gone.
    :raises StalePlan: later commits depend on it.
    """
    settings = settings or load_settings()
    opened = _opened(table, settings)
    require_plain_id(plan)
    runs = journal.runs(opened, settings, plan)
    chunks = list(quarantine.chunks(opened, settings, plan))
    if not runs and not chunks:
        known = [run.plan_id for run in journal.runs(opened, settings)]
        hint = None if known else "the journal knows no plan of this table; is LAKEOPT_STATE_DIR what it was?"
        raise UnknownName(f"plan of {opened.identifier}", plan, known, hint=hint)
    undone: Mapping[str, Any] = (runs[0].started.get("plan") or {}) if runs else {}
    kind = str(undone.get("kind", _ORPHANS))
    files = [one.file.bytes for chunk in chunks for one in chunk.files]
    branch, snapshot_id = None, None
    count, size = len(files), sum(files)
    if not chunks and kind not in _QUARANTINES:
        back = _undo(opened, {**undone, "plan_id": plan, "kind": kind}, runs, act=False)
        count, size, snapshot_id = back.files_count, back.bytes, back.snapshot_id
        branch = None if snapshot_id is None else str(undone.get("branch", "main"))
    return RestorePlan(
        plan_id=journal.new_plan_id(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        table=opened.identifier,
        table_uuid=opened.uuid,
        undone_plan_id=plan,
        undone_kind=kind,
        files_count=count,
        bytes=size,
        branch=branch,
        snapshot_id=None if snapshot_id is None else str(snapshot_id),
    )


def carry_out_restore(
    plan: RestorePlan, table: Table | None = None, *, settings: Settings | None = None
) -> RestoreResult:
    """Bring back what a plan says. Files never go over others; what cannot be brought back is counted as failed.

    ``table`` is the plan's table where it is open already.
    """
    started = time.perf_counter()
    settings = settings or load_settings()
    for name in (plan.plan_id, plan.undone_plan_id):
        require_plain_id(name)
    table = _opened(plan.table if table is None else table, settings)
    if table.uuid != plan.table_uuid:
        raise StalePlan(f"{plan.table} is another table now", hint="plan the restore again")
    log = journal.start(table, plan, "restore", settings)
    try:
        moved, back = quarantine.Moved(), None
        if plan.snapshot_id is None and (table.keeps_snapshots or plan.undone_kind in _QUARANTINES):
            moved = quarantine.bring_back(table, settings, plan.undone_plan_id)
        else:
            back = _carry_back(table, plan, settings)
            moved.kept += [KeptFile(place, reason) for place, reason in back.kept]
        result = RestoreResult(
            plan_id=plan.plan_id,
            table=plan.table,
            undone_plan_id=plan.undone_plan_id,
            undone_kind=plan.undone_kind,
            restored_files_count=len(moved.paths) + (back.files_count if back else 0),
            bytes=moved.bytes + (back.bytes if back else 0),
            branch=plan.branch,
            snapshot_id=None if back is None or back.snapshot_id is None else str(back.snapshot_id),
            kept=tuple(moved.kept),
            failed=tuple(moved.failed),
            elapsed_seconds=time.perf_counter() - started,
        )
        log.write("committed", **journal.result_event(result))
    except BaseException as error:
        interrupted, lost = isinstance(error, KeyboardInterrupt | Interrupted), isinstance(error, CommitOutcomeUnknown)
        with contextlib.suppress(LakeoptError):
            log.write("interrupted" if interrupted or lost else "failed", error=str(error))
        raise
    return result


def _opened(table: str | Table, settings: Settings) -> Table:
    from lakeopt.tables.open import open_table

    return open_table(table, settings) if isinstance(table, str) else table


def _carry_back(table: Table, plan: RestorePlan, settings: Settings) -> Undone:
    """Undo a plan's commits; what goes out of use by that is marked before it does.

    :raises StalePlan: a sweep may be deleting the very files that would be read again.
    """
    if not table.keeps_snapshots and (sweep := running(table, settings, "sweep_plan")) is not None:
        raise StalePlan(
            f"the sweep {sweep} is deleting files of {table.identifier}", hint="run it again when it is done"
        )
    runs = journal.runs(table, settings, plan.undone_plan_id)
    undone: Mapping[str, Any] = (runs[0].started.get("plan") or {}) if runs else {}
    branch = {"branch": plan.branch} if plan.branch else {}
    told = {**undone, **branch, "plan_id": plan.undone_plan_id, "kind": plan.undone_kind}

    def before(leavings: Sequence[Leaving]) -> None:
        mark(table, settings, plan.plan_id, replaced_marks(leavings, plan.plan_id))

    return _undo(table, told, runs, act=True, before=before)


def _undo(
    table: Table, plan: Mapping[str, Any], runs: Sequence[journal.JournalledRun], *, act: bool, **more: Any
) -> Undone:
    """Undo the commits that these runs of a plan have made, or only say what that would come to."""
    from lakeopt.tables.committer import upkeep

    if plan["kind"] == "retention_plan":
        from lakeopt.workflows.retention import undo_retention

        return undo_retention(table, str(plan["plan_id"]), runs, act=act)
    commits = [(int(number), run.groups_of(number)) for run in runs for number in run.snapshot_ids]
    return upkeep(table).undo(table, plan, commits, act=act, **more)
