"""Act: stage, prove, commit. The only place where a table changes."""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakeopt import __version__, registry
from lakeopt.config import Settings, load_settings
from lakeopt.engines.base import Engine
from lakeopt.errors import CommitOutcomeUnknown, Interrupted, LakeoptError, Unreachable
from lakeopt.model.plan import FileGroup, RewritePlan
from lakeopt.model.result import RewriteResult, Verification
from lakeopt.model.scan import StageRequest, WriterOptions
from lakeopt.model.serde import to_json
from lakeopt.tables.base import Committed, Committer, Table
from lakeopt.tables.shield import shielded
from lakeopt.workflows import journal, resources
from lakeopt.workflows.plan import plan as make_plan
from lakeopt.workflows.spill import spill_directory
from lakeopt.workflows.verify import prove, staged_scan

if TYPE_CHECKING:
    import pyarrow as pa

#: ``progress(phase, done, total)``: rows done of all rows, in the phases ``rewriting`` and ``proving``.
Progress = Callable[[str, int, int], None]


@dataclass
class _Run:
    """What one apply holds on to while it works.

    ``token`` tells its files from those of another run of the same plan, which may have been killed or still be on.
    """

    plan: RewritePlan
    table: Table
    engine: Engine
    committer: Committer
    memory_bytes: int
    threads: int
    progress: Progress
    staged: dict[int, pa.Table] = field(default_factory=dict)
    proofs: list[Verification] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    rows_staged: int = 0
    committed: Committed | None = None
    token: str = field(default_factory=journal.new_token)

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - started


def rewrite(
    table: str | Table,
    *,
    memory_bytes: int | None = None,
    threads: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **choices: Any,
) -> RewriteResult:
    """Plan a rewrite (see :func:`lakeopt.plan` for ``choices``) and apply it at once."""
    settings = settings or load_settings()
    decided = make_plan(table, memory_bytes=memory_bytes, settings=settings, **choices)
    return apply(
        decided, memory_bytes=memory_bytes, threads=threads, settings=settings, progress=progress, command="rewrite"
    )


def apply(
    plan: RewritePlan,
    *,
    memory_bytes: int | None = None,
    threads: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    command: str = "apply",
) -> RewriteResult:
    """Run a plan: write the new files, prove their rows equal, commit them as one ``replace`` snapshot.

    On any failure or interrupt the table is as it was and the written files are removed, except where the
    outcome of the commit is unknown: then they are kept until a later run can tell.

    :raises StalePlan: the plan no longer holds (appends alone never make it stale).
    :raises ProofFailed: written rows differ from the rows that were read.
    :raises CommitConflict: a concurrent change touched what the plan replaces.
    """
    from lakeopt.tables.committer import committer
    from lakeopt.tables.open import open_table

    started = time.perf_counter()
    settings = settings or load_settings()
    table = open_table(plan.table, settings)
    putter = committer(plan.committer)
    run = _Run(
        plan=plan,
        table=table,
        engine=registry.load(registry.ENGINES, plan.engine).ENGINE,
        committer=putter,
        memory_bytes=resources.memory(memory_bytes, settings),
        threads=resources.threads(threads, settings),
        progress=progress or (lambda phase, done, total: None),
    )
    with run.timed("check"):
        _settle_unknown(table, putter, settings)
        putter.check(table, plan)
    if plan.groups:
        registry.load(registry.STRATEGIES, plan.layout.strategy)
    else:
        return _result(run, (), time.perf_counter() - started)
    log = journal.start(table, plan, command, settings, token=run.token)
    try:
        with spill_directory() as spill:
            _stage_and_prove(run, spill, log)
        with shielded():  # a signal between the commit and its journal entry would discard files that are live
            run.committed = _commit(run, log)
            result = _result(run, (str(run.committed.snapshot_id),), time.perf_counter() - started)
            _journal_commit(log, result)
    except BaseException as error:
        _give_up(run, log, error)
        raise
    return result


def _commit(run: _Run, log: journal.JournalWriter) -> Committed:
    with run.timed("commit"):
        return run.committer.commit(
            run.table,
            run.plan,
            run.staged,
            on_snapshot_id=lambda number: log.write("committing", snapshot_id=str(number)),
        )


def _journal_commit(log: journal.JournalWriter, result: RewriteResult) -> None:
    try:
        log.write("committed", **journal.result_event(result))
    except LakeoptError as error:
        done = f"the rewrite is committed as snapshot {', '.join(result.snapshot_ids)}, but not in the journal"
        raise Unreachable(f"{done}: {error}", hint=error.hint) from error


def _settle_unknown(table: Table, putter: Committer, settings: Settings) -> None:
    """Add the end of earlier plans whose commit had no known outcome, where it can be told now."""
    for run in journal.runs(table, settings):
        if run.status == "unknown" and run.pending_snapshot is not None and putter.find(table, run.pending_snapshot):
            ids = [str(run.pending_snapshot)]
            run.writer(table).write("committed", snapshot_ids=ids, settled_later=True)


def _stage_and_prove(run: _Run, spill: str, log: journal.JournalWriter) -> None:
    """Stage each group and prove it before the next one begins, so that a fault shows early."""
    total = sum(group.record_count for group in run.plan.groups)
    done = 0
    listed = _planned_files(run)
    for group in run.plan.groups:
        scan = run.table.scan(listed[group.group_id])
        with run.timed("stage"):
            request = _request(run, group, scan, spill, functools.partial(_advance, run, total))
            run.staged[group.group_id] = run.engine.stage(request)
        run.progress("proving", done, total)
        with run.timed("prove"):
            written = staged_scan(scan, run.staged[group.group_id])
            proof = prove(
                run.engine, scan, written, run.plan.verify, threads=run.threads, memory_bytes=run.memory_bytes
            )
        run.proofs.append(proof)
        done += group.record_count
        run.progress("proving", done, total)
        log.write(
            "staged",
            group_id=group.group_id,
            files=run.staged[group.group_id]["file_path"].to_pylist(),
            fingerprint=proof.fingerprint,
        )


def _advance(run: _Run, total: int, rows: int) -> None:
    """Engines tell of the rows of each batch; a bar shows those of all groups so far."""
    run.rows_staged += rows
    run.progress("rewriting", run.rows_staged, total)


def _planned_files(run: _Run) -> dict[int, pa.Table]:
    """The planned data files of each group as the base snapshot lists them, in the plan's order: that of arrival."""
    import pyarrow as pa
    import pyarrow.compute as pc

    base = int(run.plan.base_snapshot_id or 0)
    wanted = pa.array([file.path for group in run.plan.groups for file in group.data_files], pa.string())
    files = pa.concat_tables(
        [part.filter(pc.is_in(part["file_path"], wanted)) for part in run.table.files(base)]
    ).combine_chunks()
    place = pc.index_in(wanted, files["file_path"].combine_chunks())
    ordered = files.take(place)
    ends = itertools.accumulate(group.file_count for group in run.plan.groups)
    return {
        group.group_id: ordered.slice(end - group.file_count, group.file_count)
        for group, end in zip(run.plan.groups, ends, strict=True)
    }


def _request(run: _Run, group: FileGroup, scan: Any, spill: str, progress: Callable[[int], None]) -> StageRequest:
    plan, table = run.plan, run.table
    return StageRequest(
        scan=scan,
        sort=tuple((c.name, c.direction == "asc", c.nulls == "first") for c in plan.layout.columns),
        writer=WriterOptions.from_mapping(plan.writer),
        target_file_bytes=plan.target_file_bytes,
        locate=lambda number: table.new_data_location(
            group, f"{plan.plan_id}-{run.token}-{group.group_id:05d}-{number:05d}.parquet"
        ),
        memory_bytes=run.memory_bytes,
        threads=run.threads,
        temp_dir=spill,
        footer_metadata={
            "lakeopt.version": __version__,
            "lakeopt.plan-id": plan.plan_id,
            "lakeopt.layout": to_json(plan.layout, indent=None),
        },
        progress=progress,
    )


def _give_up(run: _Run, log: journal.JournalWriter, error: BaseException) -> None:
    """Remove what was written, unless it is (or may yet turn out to be) committed; say so in the journal.

    Signals wait meanwhile: a second Ctrl-C must not leave half of the files behind. The journal's own failure
    must not take the place of the error that ended the run.
    """
    with shielded(), contextlib.suppress(LakeoptError):
        if run.committed is not None:
            return
        if isinstance(error, CommitOutcomeUnknown):
            log.write("unknown", error=str(error))
            return
        for staged in run.staged.values():
            with contextlib.suppress(LakeoptError):  # what cannot be deleted must not keep the rest
                run.engine.discard(staged, run.table.resolve)
        interrupted = isinstance(error, KeyboardInterrupt | Interrupted)
        reason = str(error) if isinstance(error, LakeoptError) else f"{type(error).__name__}: {error}"
        log.write("interrupted" if interrupted else "failed", error=reason)


def _result(run: _Run, snapshot_ids: tuple[str, ...], elapsed: float) -> RewriteResult:
    plan = run.plan
    added = [size for staged in run.staged.values() for size in staged["file_size_in_bytes"].to_pylist()]
    return RewriteResult(
        plan_id=plan.plan_id,
        table=plan.table,
        layout=plan.layout,
        snapshot_ids=snapshot_ids,
        rewritten_data_files_count=sum(group.file_count for group in plan.groups),
        added_data_files_count=len(added),
        removed_delete_files_count=run.committed.removed_delete_files_count if run.committed else 0,
        bytes_before=sum(group.bytes for group in plan.groups),
        bytes_after=sum(added),
        record_count=sum(group.record_count for group in plan.groups),
        verification=_joined(run.proofs),
        groups_done=len(run.staged),
        groups_skipped=len(plan.skipped),
        groups_failed=0,
        skipped=Counter(group.reason for group in plan.skipped),
        failed=(),
        elapsed_seconds=elapsed,
        seconds=run.seconds,
        peak_rss_bytes=resources.peak_rss_bytes(),
    )


def _joined(proofs: list[Verification]) -> Verification | None:
    """One verification for all groups: each was proved apart; fingerprints add up, lane by lane, modulo 2^64."""
    if not proofs:
        return None
    digests = [proof.fingerprint for proof in proofs if proof.fingerprint is not None]
    lanes = [sum(int(digest[at : at + 16], 16) for digest in digests) % 2**64 for at in (0, 16)]
    return Verification(
        method=proofs[0].method,
        matched=all(proof.matched for proof in proofs),
        fingerprint="".join(f"{lane:016x}" for lane in lanes) if digests else None,
        version=proofs[0].version,
        record_count=sum(proof.record_count for proof in proofs),
    )
