"""Commands that keep a table in order: what they would do is shown and asked about before it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from lakeopt.cli import diagnostics, output
from lakeopt.cli.options import Acting, Option, Output, PlanOutput, Table, duration, size
from lakeopt.cli.read_commands import show
from lakeopt.model.serde import Document, to_json

NoConcurrentWriters = Annotated[
    bool,
    Option(
        "--no-concurrent-writers",
        help="Promises that nothing else writes this table until the command ends; allows less than 24h.",
    ),
]


def remove_orphan_files(
    table: Table,
    *,
    older_than: Annotated[str, Option(metavar="AGE", help="Least age of what is moved, by the store's clock.")] = "3d",
    no_concurrent_writers: NoConcurrentWriters = False,
    act: Acting,
    out: PlanOutput,
) -> int:
    """Move files that nothing reaches to a quarantine.

    Refused where another table may have files at the location. restore brings them back; sweep deletes them.

    \b
    Example: lakeopt remove-orphan-files nyc.flights --older-than 3d --dry-run
    """
    from lakeopt.workflows.remove_orphan_files import find_orphan_files, quarantine_orphan_files

    diagnostics.require_consent(given=act.yes or act.dry_run)
    age = duration(older_than) or 0.0
    with diagnostics.waiting("listing", quiet=out.quiet):
        plan = find_orphan_files(table, older_than=age, no_concurrent_writers=no_concurrent_writers)
    return decided(plan, quarantine_orphan_files, act, out)


def expire_snapshots(
    table: Table,
    *,
    older_than: Annotated[
        str | None,
        Option(metavar="AGE|TIME", help="Age, e.g. 5d, or an ISO time with its zone  [default: the table's]"),
    ] = None,
    retain_last: Annotated[
        int | None, Option(min=1, metavar="N", help="Snapshots that a branch keeps  [default: the table's]")
    ] = None,
    partition: Annotated[
        str | None, Option(metavar="EXPR", help="Mark dead files of these partitions only, e.g. day = '2026-01-01'.")
    ] = None,
    act: Acting,
    out: PlanOutput,
) -> int:
    """Expire snapshots by Iceberg's retention rules.

    Tags, branches and what they keep stay; so do snapshots in which a streaming sink keeps its offsets, and those
    that a running plan is based on. No file is deleted: what nothing reaches any more is marked for a later sweep.
    With --partition only data and delete files of these partitions are, the rest by the next expiry of theirs.

    \b
    Example: lakeopt expire-snapshots nyc.flights --older-than 5d --dry-run
    """
    from lakeopt.workflows.expire_snapshots import apply_expiry, plan_expiry

    diagnostics.require_consent(given=act.yes or act.dry_run)
    with diagnostics.waiting("reading metadata", quiet=out.quiet):
        plan = plan_expiry(
            table, older_than=older_than, retain_last=retain_last, partition=partition, measure=not act.yes
        )
    return decided(plan, apply_expiry, act, out)


def sweep(
    table: Table,
    *,
    grace: Annotated[str, Option(metavar="AGE", help="Least time between a mark and the deletion.")] = "24h",
    no_concurrent_writers: NoConcurrentWriters = False,
    include_outside: Annotated[
        bool, Option("--include-outside", help="Also marked files outside the table's location.")
    ] = False,
    act: Acting,
    out: PlanOutput,
) -> int:
    """Delete marked files that nothing reaches any more.

    What the table reaches is looked up anew; data files go first. What lay in the quarantine for as long goes too.

    \b
    Example: lakeopt sweep nyc.flights --grace 24h --dry-run
    """
    from lakeopt.workflows.sweep import apply_sweep, plan_sweep

    diagnostics.require_consent(given=act.yes or act.dry_run)
    with diagnostics.waiting("reading metadata", quiet=out.quiet):
        plan = plan_sweep(
            table,
            grace=duration(grace) or 0.0,
            no_concurrent_writers=no_concurrent_writers,
            include_outside=include_outside,
            finish=not act.dry_run,
        )
    return decided(plan, apply_sweep, act, out)


def restore(
    table: Table,
    *,
    plan: Annotated[str, Option("--plan", metavar="ID", help="The plan to undo; history lists them.")],
    act: Acting,
    out: PlanOutput,
) -> int:
    """Undo a plan: bring back its files, or the table's state before its rewrite.

    Never over another file, and never where a later commit would be lost.

    \b
    Example: lakeopt restore nyc.flights --plan 20261124T120000-0badcafe --yes
    """
    from lakeopt.workflows.restore import carry_out_restore, plan_restore

    diagnostics.require_consent(given=act.yes or act.dry_run)
    return decided(plan_restore(table, plan), carry_out_restore, act, out)


def rewrite_manifests(
    table: Table,
    *,
    branch: Annotated[str, Option(help="Branch whose manifests are rewritten.")] = "main",
    target_size: Annotated[
        str | None, Option(metavar="SIZE", help="Size of a manifest  [default: the table's]")
    ] = None,
    act: Acting,
    out: PlanOutput,
) -> int:
    """Regroup manifests by partition, so that readers open fewer of them.

    No data file is touched; every entry keeps its file, snapshot and sequence numbers.

    \b
    Example: lakeopt rewrite-manifests nyc.flights --yes
    """
    from lakeopt.workflows.rewrite_manifests import apply_manifests, plan_manifests

    diagnostics.require_consent(given=act.yes or act.dry_run)
    with diagnostics.waiting("planning", quiet=out.quiet):
        plan = plan_manifests(table, branch=branch, target_bytes=size(target_size))
    return decided(plan, apply_manifests, act, out)


@dataclass(frozen=True, slots=True)
class _Words:
    """What is asked before a plan of a kind is carried out, and said while it is; whether it does anything at all."""

    question: str
    doing: str
    does_something: Callable[[Any], object]


_WORDS = {
    "expiry_plan": _Words("Expire these snapshots?", "expiring", lambda plan: plan.expired or plan.removed_refs),
    "sweep_plan": _Words("Delete these files?", "deleting", lambda plan: plan.files or plan.quarantined_files_count),
    "orphan_plan": _Words("Move these files to the quarantine?", "moving", lambda plan: plan.orphan_files_count),
    "restore_plan": _Words("Bring this back?", "restoring", lambda plan: True),
    "retention_plan": _Words("Take these partitions out?", "taking out", lambda plan: plan.partitions),
    "migration_plan": _Words("Make this table?", "migrating", lambda plan: True),
    "manifests_plan": _Words("Rewrite these manifests?", "rewriting manifests", lambda plan: plan.groups),
}


def decided(plan: Document, carry_out: Callable[[Any], Document], act: Acting, out: Output) -> int:
    """Save a plan where ``-o`` says; then print it and stop, or ask and carry it out, and print the result."""
    if out.output is not None:
        output.save(to_json(plan) + "\n", out.output)
    return carried_out(plan, carry_out, act, Output(out.format, out.json, quiet=out.quiet))


def carried_out(plan: Document, carry_out: Callable[[Any], Document], act: Acting, out: Output) -> int:
    """Print a plan and stop, or ask and carry it out, and write the result."""
    words = _WORDS[plan.kind]
    if act.dry_run:
        return show(plan, out)
    if words.does_something(plan) and not act.yes and not diagnostics.confirm(plan, words.question):
        diagnostics.note("nothing was changed")
        return 0
    with diagnostics.waiting(words.doing, quiet=out.quiet):
        result = carry_out(plan)
    return show(result, out) or int(bool(getattr(result, "failed", ())))


COMMANDS: tuple[Any, ...] = (expire_snapshots, sweep, remove_orphan_files, restore, rewrite_manifests)
