"""Commands about tables that move: from one format to another, and out of the lake."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lakeopt.cli import diagnostics
from lakeopt.cli.act_commands import SortBy, Strategy
from lakeopt.cli.maintenance_commands import decided
from lakeopt.cli.options import (
    Acting,
    CompatibleWith,
    Goal,
    Option,
    Output,
    PlanOutput,
    Queries,
    Table,
    TimeBudget,
    duration,
    names,
    size,
    sort_key,
)
from lakeopt.cli.read_commands import ENGINES, show
from lakeopt.model.migration import MigrationVerify


def compare(
    table: Table,
    against: Annotated[str, typer.Argument(metavar="AGAINST", help="The second table, as TABLE.")],
    *,
    out: Output,
) -> int:
    """Compare what two tables of the same rows take.

    Column by column from footers: bytes, codec and encoding on both sides, and why a column grew or shrank.

    \b
    Example: lakeopt compare nyc.flights nyc.flights_by_tail
    """
    from lakeopt.workflows.compare import compare

    with diagnostics.waiting("reading footers", quiet=out.quiet):
        value = compare(table, against)
    return show(value, out)


def migrate(
    table: Table,
    *,
    to: Annotated[str, Option("--to", metavar="[CATALOG.]NAMESPACE.TABLE", help="Name of the Iceberg table to make.")],
    rewrite: Annotated[bool, Option("--rewrite", help="Write rows anew into a layout; else files stay.")] = False,
    strategy: Strategy = "auto",
    sort_by: SortBy = None,
    goal: Goal = "storage",
    queries: Queries = None,
    engine: Annotated[str, Option(metavar=ENGINES, help="Engine that reads and sorts.")] = "duckdb",
    target_file_size: Annotated[str | None, Option(metavar="SIZE", help="Size of new files  [default: 512MiB]")] = None,
    codec: Annotated[str, Option(metavar="NAME", help="Codec of new files; keep: the source's.")] = "zstd",
    compression_level: Annotated[int | None, Option(metavar="N", help="Level of the codec.")] = None,
    compatible_with: CompatibleWith = "spark-iceberg",
    verify: Annotated[MigrationVerify, Option(metavar="rows|counts", help="What is proved equal.")] = "rows",
    time_budget: TimeBudget = None,
    act: Acting,
    out: PlanOutput,
) -> int:
    """Make an Iceberg table of a Hive table.

    In place its files stay, and both tables name them; what Iceberg would read otherwise is refused. With --rewrite
    rows are written anew and the sizes of columns compared. The source is never changed; the new table appears at
    once, with rows that were proved equal, or not at all.

    \b
    Example: lakeopt migrate hive.logs.events --to lake.logs.events --rewrite --dry-run
    """
    from functools import partial

    from lakeopt.workflows.migrate import plan_migration
    from lakeopt.workflows.migration_run import apply_migration

    diagnostics.require_consent(given=act.yes or act.dry_run)
    with diagnostics.waiting("planning", quiet=out.quiet):
        plan = plan_migration(
            table,
            to,
            rewrite=rewrite,
            strategy=strategy,
            sort_by=sort_key(sort_by),
            goal=goal,
            queries=queries,
            engine=engine,
            verify=verify,
            target_file_bytes=size(target_file_size),
            codec=codec,
            compression_level=compression_level,
            compatible_with=names(compatible_with),
            time_budget=duration(time_budget),
            memory_bytes=act.memory_bytes,
        )
    return decided(plan, partial(apply_migration, memory_bytes=act.memory_bytes, threads=act.threads), act, out)


def retention(
    table: Table,
    *,
    older_than: Annotated[str | None, Option(metavar="AGE", help="Partitions whose day was over so long ago.")] = None,
    column: Annotated[str | None, Option(metavar="NAME", help="Partition column that names the day.")] = None,
    where: Annotated[str | None, Option(metavar="EXPR", help="Only these partitions, e.g. level = 'low'.")] = None,
    archive_to: Annotated[
        str | None, Option(metavar="LOCATION", help="Copy files below this location first, and compare them.")
    ] = None,
    act: Acting,
    out: PlanOutput,
) -> int:
    """Drop or archive partitions of a Hive table by age or value.

    A partition leaves the table; its files are marked and deleted by a later sweep. Until then restore brings it back.
    One that has changed since the plan stays.

    \b
    Example: lakeopt retention hive.logs.events --older-than 90d --column day --dry-run
    """
    from lakeopt.workflows.retention import apply_retention, plan_retention

    diagnostics.require_consent(given=act.yes or act.dry_run)
    with diagnostics.waiting("listing", quiet=out.quiet):
        plan = plan_retention(table, older_than=older_than, column=column, where=where, archive_to=archive_to)
    return decided(plan, apply_retention, act, out)


COMMANDS: tuple[Any, ...] = (compare, migrate, retention)
