"""Commands about tables that move: from one format to another, and out of the lake."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lakeopt.cli import diagnostics
from lakeopt.cli.options import Output, Table
from lakeopt.cli.read_commands import show


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


COMMANDS: tuple[Any, ...] = (compare,)
