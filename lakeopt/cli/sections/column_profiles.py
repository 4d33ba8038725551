"""What ``lakeopt profile`` shows: columns, and which column's order shrinks which others."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import count, decimal, percent
from lakeopt.cli.section import Cell, Column, Grid, Section, Style
from lakeopt.model.profile import ColumnProfile, ColumnProfiles

ROWS = "columns"
#: Rows of the matrix that are shown: the columns whose order saves most.
SHOWN = 20


def sections(value: ColumnProfiles) -> Iterator[Section]:
    """Columns by their share of the bytes, then the matrix."""
    whole = (
        "all rows" if value.exact else f"a sample of {count(value.sampled_rows)} of {count(value.record_count)} rows"
    )
    columns = (
        Column("column", fit="wrap"),
        Column("type", rank=5, fit="wrap"),
        Column("share", right=True),
        Column("bytes/row", right=True),
        Column("distinct", right=True),
        Column("nulls", right=True, rank=2),
        Column("redundancy", right=True),
        Column("correlation", right=True),
        Column("top value", right=True, rank=3),
        Column("effective", right=True, rank=4),
    )
    ranked = _by_share(value)
    note = (
        "share: of the table's bytes in shuffled order; redundancy: rows that repeat a value; correlation: bytes of "
        "the others that its order saves; top value: share of the most frequent one"
    )
    yield Grid(f"{value.table}, from {whole}", columns, [_row(column) for column in ranked], note)
    if len(value.correlation_matrix.columns) > 1:
        yield _matrix(value, [column.name for column in ranked])


def _by_share(value: ColumnProfiles) -> list[ColumnProfile]:
    return sorted(value.columns, key=lambda column: -column.bytes_share)


def _row(column: ColumnProfile) -> tuple[str, ...]:
    return (
        column.name,
        column.type,
        percent(column.bytes_share),
        decimal(column.width),
        count(column.distinct_count),
        percent(column.null_fraction),
        percent(column.redundancy),
        percent(column.correlation),
        percent(column.skew),
        decimal(column.effective_values, 1),
    )


def _matrix(value: ColumnProfiles, ranked: list[str]) -> Section:
    """Rows: the column sorted by; columns: what shrinks. The lightest columns are the first to go."""
    names = value.correlation_matrix.columns
    share = {column.name: column.bytes_share for column in value.columns}
    across = [name for name in ranked if name in names]
    saving = dict(zip(names, value.correlation_matrix.values, strict=True))

    def saved(by: str) -> float:
        return sum((item or 0.0) * share.get(to, 0.0) for to, item in zip(names, saving[by], strict=True))

    down = sorted((name for name in names if any(x is not None for x in saving[name])), key=lambda by: -saved(by))
    place = {name: number for number, name in enumerate(names)}
    rows = [[by, *(_saving(saving[by][place[to]], by == to) for to in across)] for by in down[:SHOWN]]
    columns = [Column("sorted by", fit="wrap")]
    columns += [Column(name, right=True, rank=rank) for rank, name in enumerate(across, start=1)]
    left = f"; {len(down) - SHOWN} more orders in --json" if len(down) > SHOWN else ""
    return Grid("Bytes of each column (%) that sorting by another saves", columns, rows, f"best order first{left}")


def _saving(ratio: float | None, itself: bool) -> Cell | str:
    if ratio is None:
        return ""
    style: Style | None = "dim" if itself or ratio < 0.05 else ("good" if ratio >= 0.5 else None)
    return Cell(f"{ratio * 100:z.0f}", style)
