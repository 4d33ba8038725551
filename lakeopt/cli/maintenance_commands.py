"""Commands that keep a table in order: what they would do is shown and asked about before it is done."""

from __future__ import annotations

from typing import Annotated, Any

from lakeopt.cli import diagnostics, output
from lakeopt.cli.options import Acting, Option, Output, PlanOutput, Table, duration
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


COMMANDS: tuple[Any, ...] = (remove_orphan_files, restore)
