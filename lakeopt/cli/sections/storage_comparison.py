"""What ``lakeopt compare`` shows: both tables, then the columns, those that grew most first."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, change, count, counted, percent, size
from lakeopt.cli.section import Cell, Column, Facts, Grid, Section
from lakeopt.model.comparison import ColumnComparison, ColumnForm, ComparedTable, StorageComparison

ROWS = "columns"
SHOWN = 40


def sections(value: StorageComparison) -> Iterator[Section]:
    """Both sides, then column by column why."""
    yield Facts(
        f"Storage of {value.against} beside {value.table}",
        (
            ("before", _side(value.before)),
            ("after", _side(value.after)),
            ("a row", NOTHING if value.ratio is None else change(1.0, value.ratio)),
        ),
    )
    columns = (
        Column("column", fit="middle"),
        Column("before", right=True),
        Column("after", right=True),
        Column("a row", right=True),
        Column("stored", rank=1),
        Column("why", fit="wrap"),
    )
    left = len(value.columns) - SHOWN
    more = f"; {left} more in --json" if left > 0 else ""
    note = f"by {value.before.footers_read} and {value.after.footers_read} footers; a row: after to before{more}"
    yield Grid("Columns", columns, [_row(one) for one in value.columns[:SHOWN]], note)


def _side(side: ComparedTable) -> str:
    codecs = ", ".join(side.codecs) or NOTHING
    files = f"{size(side.bytes)} in {counted(side.data_file_count, 'file')}"
    return f"{side.table} ({side.format}): {files}, {count(side.record_count)} rows, {codecs}"


def _row(one: ColumnComparison) -> tuple[Cell | str, ...]:
    grown = one.ratio is not None and one.ratio > 1
    ratio = Cell(NOTHING) if one.ratio is None else Cell(percent(one.ratio), "warning" if grown else "good")
    forms = f"{_form(one.before)} → {_form(one.after)}"
    return one.name, size(one.bytes_before), size(one.bytes_after), ratio, forms, one.why


def _form(form: ColumnForm | None) -> str:
    if form is None:
        return NOTHING
    return f"{'+'.join(form.encodings[:2]) or NOTHING}/{'+'.join(form.codecs[:1]) or NOTHING}"
