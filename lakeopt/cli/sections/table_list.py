"""What ``lakeopt tables`` shows."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, count, counted, size
from lakeopt.cli.section import Cell, Column, Grid, Section
from lakeopt.model.table import TableList

ROWS = "tables"


def sections(value: TableList) -> Iterator[Section]:
    """One line a table; those that cannot be read say why."""
    columns = (
        Column("table", fit="wrap"),
        Column("format", rank=1),
        Column("files", right=True),
        Column("size", right=True),
        Column("rows", right=True),
        Column("last change (UTC)", rank=2),
    )
    rows = [
        (
            table.table,
            table.format + (f" v{table.format_version}" if table.format_version else ""),
            count(table.data_file_count),
            size(table.total_bytes),
            count(table.record_count),
            (table.last_changed or NOTHING)[:19].replace("T", " "),
        )
        for table in value.tables
    ]
    unread = [table for table in value.tables if table.error]
    yield Grid(f"{counted(len(rows), 'table')} in {value.catalog}", columns, rows)
    if unread:
        reasons = [(table.table, Cell(table.error or "", "warning")) for table in unread]
        yield Grid("Not readable", (Column("table"), Column("reason", fit="wrap")), reasons)
