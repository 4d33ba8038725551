"""Act: stage, prove, commit. The only place where a table's data files are replaced."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from lakeopt import registry
from lakeopt.config import Settings, load_settings
from lakeopt.errors import LakeoptError, StalePlan
from lakeopt.model.plan import FileGroup, RewritePlan
from lakeopt.model.result import FailedGroup, RewriteResult
from lakeopt.tables.base import Committer, Table
from lakeopt.tables.shield import shielded
from lakeopt.workflows import journal, resources
from lakeopt.workflows.group_commits import GroupCommits
from lakeopt.workflows.group_run import GroupRun, Progress
from lakeopt.workflows.late_files import adopt_late
from lakeopt.workflows.leases import Leases
from lakeopt.workflows.phase_times import timed
from lakeopt.workflows.plan import plan as make_plan
from lakeopt.workflows.resume import groups_committed
from lakeopt.workflows.settle import settle
from lakeopt.workflows.shared_files import require_unshared
from lakeopt.workflows.spill import spill_directory


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
    """Run a plan: write the new files, prove their rows equal, commit them as ``replace`` snapshots.

    One snapshot for all groups or, with the plan's ``partial_progress``, one for each: then groups that fail are
    counted and do not keep the others, and a plan that was killed goes on with the groups that are not done.
    Groups that another live lakeopt run is at are skipped. On any failure or interrupt the table is as it was (or as
    the last commit left it) and the written files are removed, except where the outcome of the commit is unknown:
    then they are kept until a later run can tell.

    :raises StalePlan: the plan no longer holds (appends alone never make it stale).
    :raises ProofFailed: written rows differ from the rows that were read.
    :raises CommitConflict: a concurrent change touched what the plan replaces.
    """
    from lakeopt.tables.committer import committer
    from lakeopt.tables.open import open_table

    started = time.perf_counter()
    settings = settings or load_settings()
    table, putter = open_table(plan.table, settings), committer(plan.committer)
    token = journal.new_token()
    run = GroupRun(
        plan=plan,
        table=table,
        engine=registry.load(registry.ENGINES, plan.engine).ENGINE,
        memory_bytes=resources.memory(memory_bytes, settings),
        threads=resources.threads(threads, settings),
        progress=progress or (lambda phase, done, total: None),
        token=token,
        started=started,
        conf=settings.spark,
    )
    with timed(run.seconds, "check"):
        settle(table, putter, settings)
        adopt_late(table, settings)
        groups = _to_do(run, putter, settings)
    if not groups:
        return run.result()
    registry.load(registry.STRATEGIES, plan.layout.strategy)
    leases = Leases(table, settings, plan, token)
    try:
        with spill_directory() as spill:
            commits = GroupCommits(run, putter, leases, command, settings, spill)
            return commits.in_parts(groups) if plan.partial_progress else commits.at_once(groups)
    finally:
        with shielded(), contextlib.suppress(LakeoptError):  # a lease that stays is void once we have ended
            leases.release()


def _to_do(run: GroupRun, putter: Committer, settings: Settings) -> list[FileGroup]:
    """The groups that are to be done, of a plan that still holds.

    :raises StalePlan: it does not hold or, where it commits in parts, no group of it does.
    """
    done = groups_committed(run.table, run.plan, settings)
    for group in run.plan.groups:
        if group.group_id in done:
            run.skip(group, "an earlier run of this plan has committed it")
    groups = [group for group in run.plan.groups if group.group_id not in done]
    if done and not groups:
        return []
    if putter.name == run.table.committer:  # others put nothing in the place of anything
        require_unshared(run.table, settings, (file.path for group in groups for file in group.data_files))
    try:
        putter.check(run.table, dataclasses.replace(run.plan, groups=tuple(groups)))
    except StalePlan:
        if not run.plan.partial_progress:
            raise
        return _each_checked(run, putter, groups)
    return groups


def _each_checked(run: GroupRun, putter: Committer, groups: Sequence[FileGroup]) -> list[FileGroup]:
    held: list[FileGroup] = []
    errors: list[StalePlan] = []
    for group in groups:
        try:
            putter.check(run.table, dataclasses.replace(run.plan, groups=(group,)))
            held.append(group)
        except StalePlan as error:
            run.failed.append(FailedGroup(group.group_id, group.partition, str(error)))
            errors.append(error)
    if errors and not held:
        raise errors[0]
    return held
