"""The command that gives buckets to jobs which write a table themselves."""

from __future__ import annotations

from typing import Annotated, Any

from lakeopt.cli import diagnostics, output
from lakeopt.cli.options import Buckets, Counts, Option, Output, Queries, Table, size
from lakeopt.cli.read_commands import show


def buckets(
    table: Table,
    *,
    column: Annotated[str, Option(metavar="COLUMN", help="Skewed column whose values are divided.")],
    by: Annotated[str | None, Option(metavar="COLUMN", help="Divides a heavy value  [default: chosen]")] = None,
    buckets: Buckets = None,
    counts: Counts = None,
    queries: Queries = None,
    target_file_size: Annotated[
        str | None, Option(metavar="SIZE", help="Size of a bucket  [default: the table's]")
    ] = None,
    out: Output,
) -> int:
    """Divide rows into even buckets for a job of your own.

    As rewrite --strategy pv-buckets does; -o FILE.sql writes the expressions of Spark SQL and Hive alone.

    \b
    Example: lakeopt buckets nyc.flights --column dest -o buckets.sql
    """
    from lakeopt.workflows.buckets import as_sql
    from lakeopt.workflows.buckets import buckets as divide

    with diagnostics.waiting("counting", quiet=out.quiet):
        value = divide(
            table,
            column=column,
            by=by,
            buckets=buckets,
            counts=counts,
            queries=queries,
            target_file_bytes=size(target_file_size),
        )
    if out.output is not None and out.output.suffix.lower() == ".sql":
        output.save(as_sql(value), out.output)
        return 0
    return show(value, out)


COMMANDS: tuple[Any, ...] = (buckets,)
