"""Commands that read and decide: each parses, calls the library function of its name, writes the value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from lakeopt import registry
from lakeopt.cli import diagnostics, output
from lakeopt.cli.options import (
    CompatibleWith,
    Goal,
    Option,
    Output,
    PageOutput,
    Queries,
    Table,
    TimeBudget,
    duration,
    names,
)
from lakeopt.errors import UsageError, WorkFailed
from lakeopt.model.serde import Document
from lakeopt.model.table import Severity, TableProfile

SEVERITIES = get_args(Severity)
ENGINES = "|".join(registry.names(registry.ENGINES))


def tables(
    namespace: Annotated[str | None, typer.Argument(help="[catalog.]namespace; all of the catalog without it.")] = None,
    *,
    out: Output,
) -> int:
    """List tables with files, bytes and rows.

    \b
    Example: lakeopt tables nyc
    """
    from lakeopt.workflows.tables import tables

    return show(tables(namespace), out)


def inspect(
    table: Table,
    *,
    view: Annotated[
        str, Option(metavar="VIEW", help="summary, files, partitions, snapshots, refs or manifests.")
    ] = "summary",
    all_footers: Annotated[bool, Option("--all-footers", help="Read every footer, not a sample of 200.")] = False,
    fail_on: Annotated[
        Severity | None, Option(metavar="|".join(SEVERITIES), help="End with 1 at a finding this severe or worse.")
    ] = None,
    out: Output,
) -> int:
    """Show how healthy a table is.

    From metadata and footers alone: how far files overlap, and findings, each with its evidence and what mends it.

    \b
    Example: lakeopt inspect nyc.flights --fail-on critical
    """
    from lakeopt.workflows.inspect import inspect

    if fail_on is not None and view != "summary":
        raise UsageError("--fail-on goes with the summary", hint="leave out --view")
    with diagnostics.waiting("reading metadata", quiet=out.quiet):
        value = inspect(table, view=view, all_footers=all_footers)
    return show(value, out) or int(isinstance(value, TableProfile) and fails_on(value, fail_on))


def profile(
    table: Table,
    *,
    exact: Annotated[bool, Option("--exact", help="Read all rows, not a sample.")] = False,
    out: Output,
) -> int:
    """Profile the columns of a table.

    Redundancy, width, correlation, skew and share of the bytes of each column; what the order of one saves in others.

    \b
    Example: lakeopt profile nyc.flights
    """
    from lakeopt.workflows.profile import profile

    with diagnostics.waiting("profiling", quiet=out.quiet):
        value = profile(table, exact=exact)
    return show(value, out)


def recommend(
    table: Table,
    *,
    goal: Goal = "storage",
    queries: Queries = None,
    compatible_with: CompatibleWith = "spark-iceberg",
    time_budget: TimeBudget = None,
    out: Output,
) -> int:
    """Rank the layouts that a table could have.

    By bytes measured on a sample, and by what the queries would scan; leaving it alone is always a candidate.

    \b
    Example: lakeopt recommend nyc.flights --goal storage
    """
    from lakeopt.workflows.recommend import recommend

    with diagnostics.waiting("measuring layouts", quiet=out.quiet):
        value = recommend(
            table,
            goal=goal,
            queries=queries,
            compatible_with=names(compatible_with),
            time_budget=duration(time_budget),
        )
    return show(value, out)


def bench(
    table: Table,
    *,
    queries: Annotated[Path, Option(metavar="FILE", help="Named SQL queries to run on both sides.")],
    engine: Annotated[
        list[str] | None, Option(metavar=ENGINES, help="Engine; may be repeated  [default: duckdb]")
    ] = None,
    before: Annotated[str | None, Option(metavar="REF", help="Snapshot id, branch or tag of the first side.")] = None,
    after: Annotated[str | None, Option(metavar="REF", help="Snapshot id, branch or tag of the second side.")] = None,
    against: Annotated[str | None, Option(metavar="TABLE", help="Second side: another table.")] = None,
    out: Output,
) -> int:
    """Run the same queries before and after.

    On two snapshots or two tables: answers compared, hot and cold times, bytes and files read, storage. Ends with 1
    where a query failed or answers differ.

    \b
    Example: lakeopt bench nyc.flights --queries queries.sql
    """
    from lakeopt.workflows.bench import bench, failures

    engines = tuple(engine or ("duckdb",))
    with diagnostics.waiting("running queries", quiet=out.quiet):
        value = bench(table, queries=queries, engines=engines, before=before, after=after, against=against)
    show(value, out)
    if failed := failures(value):
        more = f"; and {len(failed) - 1} more of {len(value.queries)}" if failed[1:] else ""
        raise WorkFailed(failed[0] + more, hint="the report says what became of each query")
    return 0


def history(table: Table, *, out: Output) -> int:
    """Show what lakeopt did to a table.

    \b
    Example: lakeopt history nyc.flights
    """
    from lakeopt.workflows.history import history

    return show(history(table), out)


def report(
    table: Table,
    *,
    goal: Goal = "storage",
    queries: Queries = None,
    compatible_with: CompatibleWith = "spark-iceberg",
    bench: Annotated[Path | None, Option(metavar="FILE", help="JSON of a bench of this table, to be shown.")] = None,
    time_budget: TimeBudget = None,
    out: PageOutput,
) -> int:
    """Make one page about a table.

    Where its bytes lie, findings, measured layouts, overlap before and after, queries, history: one HTML file that
    needs no network. What cannot be had is named with the reason.

    \b
    Example: lakeopt report nyc.flights -o report.html
    """
    from lakeopt.report.page import page
    from lakeopt.workflows.report import report

    with diagnostics.waiting("measuring for the report", quiet=out.quiet):
        value = report(
            table,
            goal=goal,
            queries=queries,
            compatible_with=names(compatible_with),
            bench=bench,
            time_budget=duration(time_budget),
        )
    if out.page is None:
        return show(value, out)
    output.save(page(value), out.page)
    return 0


def show(value: Document, out: Output) -> int:
    """Write the value that a library function returned; the exit code for that."""
    form = out.form
    if out.output is not None or not out.quiet:
        output.write(value, form, out.output)
    return 0


def fails_on(profile: TableProfile, severity: Severity | None) -> bool:
    """Whether a profile has a finding of this severity or worse."""
    return severity is not None and any(
        SEVERITIES.index(finding.severity) >= SEVERITIES.index(severity) for finding in profile.findings
    )


COMMANDS: tuple[Any, ...] = (tables, inspect, profile, recommend, bench, history, report)
