"""Commands that act: plan, show, ask, apply, write the result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lakeopt import registry
from lakeopt.cli import diagnostics, output
from lakeopt.cli.maintenance_commands import carried_out
from lakeopt.cli.options import (
    Buckets,
    Choosing,
    CompatibleWith,
    Counts,
    Goal,
    InNewLocation,
    Option,
    Output,
    PartialProgress,
    PlanOutput,
    Queries,
    Rewriting,
    SetDefaultSortOrder,
    Table,
    ToCurrentSpec,
    names,
    size,
    sort_key,
)
from lakeopt.cli.read_commands import ENGINES, show
from lakeopt.errors import UsageError
from lakeopt.model.plan import RewritePlan, Verify
from lakeopt.model.serde import to_json

STRATEGIES = "|".join(["auto", *registry.names(registry.STRATEGIES)])
Strategy = Annotated[
    str,
    Option(
        metavar=STRATEGIES,
        help="How rows are laid out; auto takes what recommend chose, now or when the table was first rewritten, and "
        "leaves alone what costs more than it gains.",
    ),
]
TargetFileSize = Annotated[str | None, Option(metavar="SIZE", help="Size of new files  [default: the table's]")]
SortBy = Annotated[str | None, Option(metavar="COLUMNS", help='Sort key, e.g. origin,"arr delay" desc nulls last.')]

Engine = Annotated[
    str,
    Option(metavar=f"auto|{ENGINES}", help="Engine that reads and sorts; auto takes Spark for v3 and large tables."),
]
Proof = Annotated[
    Verify,
    Option(metavar="auto|rows|counts", help="What is proved equal: rows, or bytes where auto finds them copied."),
]


def rewrite(
    table: Table,
    *,
    strategy: Strategy = "auto",
    sort_by: SortBy = None,
    goal: Goal = "storage",
    queries: Queries = None,
    where: Annotated[str | None, Option(metavar="EXPR", help="Only files that may hold matching rows.")] = None,
    branch: Annotated[str, Option(help="Branch to rewrite.")] = "main",
    engine: Engine = "duckdb",
    target_file_size: TargetFileSize = None,
    compression_level: Annotated[int | None, Option(metavar="N", help="Level of the table's codec.")] = None,
    compatible_with: CompatibleWith = "spark-iceberg",
    verify: Proof = "auto",
    set_default_sort_order: SetDefaultSortOrder = False,
    partial_progress: PartialProgress = False,
    in_new_location: InNewLocation = False,
    to_current_spec: ToCurrentSpec = False,
    choosing: Choosing,
    buckets: Buckets = None,
    counts: Counts = None,
    act: Rewriting,
    out: PlanOutput,
) -> int:
    """Rewrite a table into a better layout.

    Data files are written anew, their rows proved equal to those that were read, and committed in one snapshot.

    \b
    Example: lakeopt rewrite nyc.flights --sort-by origin,dest --dry-run -o plan.json
    """
    from lakeopt.workflows.plan import plan

    diagnostics.require_consent(given=act.yes or act.dry_run)
    with diagnostics.waiting("planning", quiet=out.quiet):
        decided = plan(
            table,
            strategy=strategy,
            sort_by=sort_key(sort_by),
            goal=goal,
            queries=queries,
            where=where,
            branch=branch,
            engine=engine,
            target_file_bytes=size(target_file_size),
            compression_level=compression_level,
            compatible_with=names(compatible_with),
            verify=verify,
            set_default_sort_order=set_default_sort_order,
            partial_progress=partial_progress,
            in_new_location=in_new_location,
            to_current_spec=to_current_spec,
            **choosing.options,
            buckets=buckets,
            counts=counts,
            **act.means,
        )
    if out.output is not None:
        output.save(to_json(decided) + "\n", out.output)
    return run(decided, act, Output(out.format, out.json, quiet=out.quiet), "rewrite")


def apply(
    file: Annotated[Path, typer.Argument(metavar="PLAN.json", help="A plan that a command saved with -o.")],
    *,
    act: Rewriting,
    out: Output,
) -> int:
    """Run a saved plan.

    A plan that no longer holds ends with 4 and changes nothing; appends alone never make a plan of a rewrite stale.

    \b
    Example: lakeopt apply plan.json --yes
    """
    from lakeopt.workflows import saved_plans

    diagnostics.require_consent(given=act.yes or act.dry_run)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(
            f"plan cannot be read: {file}: {reason}", hint="rewrite --dry-run -o FILE saves one"
        ) from error
    try:
        saved = saved_plans.read_plan(text)
    except UsageError as error:
        raise UsageError(
            f"not a plan: {file}: {error}", hint=error.hint or "rewrite --dry-run -o FILE saves one"
        ) from error
    if isinstance(saved, RewritePlan):
        return run(saved, act, out, "apply")
    return carried_out(saved, saved_plans.apply, act, out)


def demo(
    directory: Annotated[
        Path | None, Option("--dir", metavar="DIR", help="Keep the warehouse here  [default: removed]")
    ] = None,
    *,
    out: Output,
) -> int:
    """Show the whole loop on real data.

    It builds a warehouse of its own from real flights, and needs no service.

    \b
    Example: lakeopt demo --dir demo-lake
    """
    from lakeopt.workflows.demo import demo

    spoken = out.form is output.Format.TABLE and not out.quiet
    return show(demo(directory, say=output.say if spoken else lambda thing: None), out)


def run(plan: RewritePlan, act: Rewriting, out: Output, command: str) -> int:
    """Print a plan and stop, or ask and apply it."""
    if act.dry_run:
        return show(plan, out)
    if plan.groups and not act.yes and not diagnostics.confirm(plan):
        diagnostics.note("not rewritten")
        return 0
    from lakeopt.workflows.apply import apply

    with diagnostics.progress(quiet=out.quiet) as progress:
        result = apply(plan, threads=act.threads, progress=progress, command=command, **act.means)
    return show(result, out) or int(result.groups_failed > 0)


COMMANDS: tuple[Any, ...] = (rewrite, apply, demo)
