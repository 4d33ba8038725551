"""Tables that this version reads but does not write."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding


def read_only(table: TableState) -> Iterator[Finding]:
    """The table cannot be rewritten, and why."""
    if table.read_only:
        evidence = {"format_version": table.format_version}
        yield Finding("read-only", "info", f"lakeopt does not write this table: {table.read_only}", evidence, None)


CHECK: Check = read_only
