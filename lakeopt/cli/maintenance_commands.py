"""Commands that keep a table in order: what they would do is shown and asked about before it is done."""

from __future__ import annotations

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
    if not agreed(plan, plan.orphan_files_count > 0, "Move these files to the quarantine?", act, out):
        return show(plan, _printed(out)) if act.dry_run else 0
    with diagnostics.waiting("moving", quiet=out.quiet):
        result = quarantine_orphan_files(plan)
    return show(result, _printed(out)) or int(bool(result.failed))


def expire_snapshots(
    table: Table,
    *,
    older_than: Annotated[
        str | None, Option(metavar="AGE|TIME", help="Age, e.g. 5d, or an ISO time with its zone  [default: the table's]")
    ] = None,
    retain_last: Annotated[
        int | None, Option(min=1, metavar="N", help="Snapshots that a branch keeps  [default: the table's]")
    ] = None,
    act: Acting,
    out: PlanOutput,
) -> int:
    """Expire snapshots by Iceberg's retention rules.

    Tags, branches and what they keep stay; so do snapshots in which a streaming sink keeps its offsets, and those
    that a running plan is based on. No file is deleted: what nothing reaches any more is marked for a later sweep.

    \b
    Example: lakeopt expire-snapshots nyc.flights --older-than 5d --dry-run
    """
    from lakeopt.workflows.expire_snapshots import apply_expiry, plan_expiry

    diagnostics.require_consent(given=act.yes or act.dry_run)
    with diagnostics.waiting("reading metadata", quiet=out.quiet):
        plan = plan_expiry(table, older_than=older_than, retain_last=retain_last, measure=not act.yes)
    if not agreed(plan, bool(plan.expired or plan.removed_refs), "Expire these snapshots?", act, out):
        return show(plan, _printed(out)) if act.dry_run else 0
    with diagnostics.waiting("expiring", quiet=out.quiet):
        result = apply_expiry(plan)
    return show(result, _printed(out))


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
        )
    if not agreed(plan, bool(plan.files or plan.quarantined_files_count), "Delete these files?", act, out):
        return show(plan, _printed(out)) if act.dry_run else 0
    with diagnostics.waiting("deleting", quiet=out.quiet):
        result = apply_sweep(plan)
    return show(result, _printed(out)) or int(bool(result.failed))


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
    decided = plan_restore(table, plan)
    if not agreed(decided, True, "Bring this back?", act, out):
        return show(decided, _printed(out)) if act.dry_run else 0
    with diagnostics.waiting("restoring", quiet=out.quiet):
        result = carry_out_restore(decided)
    return show(result, _printed(out)) or int(bool(result.failed))


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
    if not agreed(plan, bool(plan.groups), "Rewrite these manifests?", act, out):
        return show(plan, _printed(out)) if act.dry_run else 0
    with diagnostics.waiting("rewriting manifests", quiet=out.quiet):
        result = apply_manifests(plan)
    return show(result, _printed(out))


def agreed(plan: Document, does_something: bool, question: str, act: Acting, out: Output) -> bool:
    """Save a plan where ``-o`` says, and tell whether to carry it out: not with ``--dry-run``, and only on a yes."""
    if out.output is not None:
        output.save(to_json(plan) + "\n", out.output)
    if act.dry_run:
        return False
    if not does_something or act.yes or diagnostics.confirm(plan, question):
        return True
    diagnostics.note("nothing was changed")
    return False


def _printed(out: Output) -> Output:
    """Where the value goes: stdout, since ``-o`` takes the plan."""
    return Output(out.format, out.json, quiet=out.quiet)


COMMANDS: tuple[Any, ...] = (expire_snapshots, sweep, remove_orphan_files, restore, rewrite_manifests)
