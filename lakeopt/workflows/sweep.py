"""Sweep: delete what was marked long enough ago and nothing reaches now; then what the quarantine kept as long.

The order is: marks, then the metadata as it is now, then the files. Deleting goes from data files up to metadata, so
that a crash leaves no file that leads nowhere; a file that is gone counts as done, so that the next sweep ends what
one that was killed began.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from datetime import UTC, datetime

from lakeopt.config import Settings, load_settings
from lakeopt.errors import Interrupted, LakeoptError, StalePlan
from lakeopt.maintenance.sweep import FLOOR_SECONDS, check_grace
from lakeopt.model.expiry import SweepPlan, SweepResult, SweptFile
from lakeopt.model.orphans import FailedFile, KeptFile
from lakeopt.tables.base import Table
from lakeopt.workflows import journal, quarantine
from lakeopt.workflows.expiry_marks import finish_marks
from lakeopt.workflows.marked_files import Judged, delete_files, judge, still_dead
from lakeopt.workflows.marks import MarkedFile, unmark

#: Files that are deleted between two looks at the table.
_CHUNK = 1000


def sweep(
    table: str | Table,
    *,
    grace: float = FLOOR_SECONDS,
    no_concurrent_writers: bool = False,
    include_outside: bool = False,
    settings: Settings | None = None,
) -> SweepResult:
    """Delete marked files whose ``grace`` (seconds) has passed and that nothing reaches (see :func:`plan_sweep`)."""
    settings = settings or load_settings()
    plan = plan_sweep(
        table,
        grace=grace,
        no_concurrent_writers=no_concurrent_writers,
        include_outside=include_outside,
        settings=settings,
    )
    return apply_sweep(plan, settings=settings)


def plan_sweep(
    table: str | Table,
    *,
    grace: float = FLOOR_SECONDS,
    no_concurrent_writers: bool = False,
    include_outside: bool = False,
    finish: bool = True,
    settings: Settings | None = None,
) -> SweepPlan:
    """Which marked files would be deleted now, and which stay and why. Deletes nothing.

    What expiries let go that were killed before they could mark it is marked first, unless ``finish`` is false.

    ``no_concurrent_writers`` promises that nothing else writes the table until the sweep ends, and allows less than
    a day. ``include_outside`` takes marked files too that lie outside the table's location.

    :raises Refused: the grace is too short, the table keeps everything or cannot be written, or files would be
        deleted and the catalog has the table under a second name too.
    :raises StalePlan: the table has another location than when its files were marked.
    :raises DataFileError: a manifest list or manifest is missing or damaged.
    """
    from lakeopt.tables.committer import upkeep
    from lakeopt.tables.open import open_table

    check_grace(grace, no_concurrent_writers=no_concurrent_writers)
    settings = settings or load_settings()
    opened = open_table(table, settings) if isinstance(table, str) else table.refresh()
    upkeep(opened).require_collectable(opened)
    if finish:
        finish_marks(opened, settings)
    judged = judge(opened, settings, grace, include_outside=include_outside)
    if judged.dead:
        upkeep(opened).refuse_twin(opened)
    head = opened.snapshot_id() if opened.keeps_snapshots else None
    chunks = list(quarantine.expired(opened, settings, grace, judged.now))
    return SweepPlan(
        plan_id=journal.new_plan_id(),
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        table=opened.identifier,
        table_uuid=opened.uuid,
        base_snapshot_id=None if head is None else str(head),
        grace_seconds=grace,
        include_outside=include_outside,
        files=tuple(SweptFile(one.path, one.kind, one.bytes, one.reason) for one in judged.dead),
        bytes=sum(one.bytes or 0 for one in judged.dead),
        quarantined_files_count=sum(len(chunk.files) for chunk in chunks),
        quarantined_bytes=sum(one.file.bytes for chunk in chunks for one in chunk.files),
        missing_files_count=len(judged.missing),
        kept=tuple(KeptFile(path, reason) for path, reason in judged.kept.items()),
    )


def apply_sweep(plan: SweepPlan, *, settings: Settings | None = None) -> SweepResult:
    """Delete what a plan names, each file only if all that was asked of it still holds.

    :raises StalePlan: the table was made anew, or has another location.
    :raises Refused: the table keeps everything now, or has a second name.
    :raises DataFileError: a manifest list or manifest is missing or damaged.
    """
    from lakeopt.tables.committer import upkeep
    from lakeopt.tables.open import open_table

    started = time.perf_counter()
    settings = settings or load_settings()
    table = open_table(plan.table, settings)
    if table.uuid != plan.table_uuid:
        raise StalePlan(f"{plan.table} was made anew since the plan", hint="make a new plan")
    upkeep(table).require_collectable(table)
    run = _Run(plan, table, settings)
    if not (plan.files or plan.missing_files_count or plan.kept or plan.quarantined_files_count):
        return run.result(time.perf_counter() - started)
    log = journal.start(table, dataclasses.replace(plan, files=(), kept=()), "sweep", settings)
    try:
        run.sweep_marks(log)
        run.sweep_quarantine()
        result = run.result(time.perf_counter() - started)
        log.write("committed", **journal.result_event(result))
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | Interrupted)
        with contextlib.suppress(LakeoptError):
            log.write("interrupted" if interrupted else "failed", error=str(error) or type(error).__name__)
        raise
    return result


@dataclasses.dataclass
class _Run:
    """One sweep, and what became of the files so far."""

    plan: SweepPlan
    table: Table
    settings: Settings
    judged: Judged | None = None
    deleted: int = 0
    bytes: int = 0
    missing: int = 0
    kept: dict[str, str] = dataclasses.field(default_factory=dict)
    failed: list[FailedFile] = dataclasses.field(default_factory=list)

    def sweep_marks(self, log: journal.JournalWriter) -> None:
        """Judge the marked files anew, delete those that the plan names too, and forget what is done."""
        from lakeopt.tables.committer import upkeep

        plan = self.plan
        judged = judge(self.table, self.settings, plan.grace_seconds, include_outside=plan.include_outside)
        self.judged, self.table = judged, judged.table
        self.kept = dict(judged.kept)
        self.failed += [FailedFile(path, why) for path, why in judged.late.items()]
        self.missing += len(judged.missing)
        planned = {file.path for file in plan.files}
        dead = [file for file in judged.dead if file.path in planned]
        if dead:
            upkeep(self.table).refuse_twin(self.table)
        for start in range(0, len(dead), _CHUNK):
            self._delete(dead[start : start + _CHUNK], log)
        left = {one.path for one in self.failed} | (judged.paths - planned - judged.settled)
        for mark in judged.objects:
            if left.isdisjoint(file.path for file in mark.files):
                unmark(self.table, mark.name)
        upkeep(self.table).tidy(self.table, {file.path.rpartition("/")[0] for file in dead})

    def _delete(self, files: list[MarkedFile], log: journal.JournalWriter) -> None:
        assert self.judged is not None
        self.table, alive = still_dead(self.table, self.settings, files, self.judged.kinds)
        self.kept |= alive
        chosen = [file for file in files if file.path not in alive]
        log.write("deleting", files=[file.path for file in chosen])
        done = delete_files(self.table, chosen)
        self.deleted += done.deleted
        self.bytes += done.bytes
        self.missing += done.missing
        self.failed += done.failed

    def sweep_quarantine(self) -> None:
        """Delete for good what lay in the quarantine for the grace; bring back what the table reaches now."""
        from lakeopt.tables.iceberg.deletion.folder import table_folder
        from lakeopt.tables.iceberg.deletion.reach import Reach

        assert self.judged is not None
        chunks = list(quarantine.expired(self.table, self.settings, self.plan.grace_seconds, self.judged.now))
        if not chunks:
            return
        reach = Reach(self.table, table_folder(self.table))
        named = {one.file.path for chunk in chunks for one in chunk.files}
        reached = {path for paths in reach.advance() for path in paths.to_pylist() if path in named}
        for chunk in chunks:
            done = quarantine.delete(self.table, chunk, reached)
            self.deleted += len(done.paths)
            self.bytes += done.bytes
            self.kept |= {one.path: one.reason for one in done.kept}
            self.failed += done.failed

    def result(self, elapsed: float) -> SweepResult:
        """What was done so far."""
        return SweepResult(
            plan_id=self.plan.plan_id,
            table=self.plan.table,
            deleted_files_count=self.deleted,
            bytes=self.bytes,
            missing_files_count=self.missing,
            kept=tuple(KeptFile(path, reason) for path, reason in self.kept.items()),
            failed=tuple(self.failed),
            elapsed_seconds=elapsed,
        )
