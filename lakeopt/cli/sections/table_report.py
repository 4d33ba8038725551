"""What ``lakeopt report`` shows where no page is asked for: its parts as their own commands show them."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import count, percent, size
from lakeopt.cli.section import Cell, Column, Grid, Item, Items, Section
from lakeopt.cli.section import sections as sections_of
from lakeopt.model.report import TableReport

ROWS = None
#: Columns and partitions that are shown.
SHOWN = 15


def sections(value: TableReport) -> Iterator[Section]:
    """Health, stored bytes, profile, recommendation, bench, history, then what is missing and why."""
    yield from sections_of(value.health)
    if value.stored.columns:
        yield _stored("Bytes by column", "column", [(part.name, part.bytes) for part in value.stored.columns])
    if value.stored.partitions:
        yield _stored("Bytes by partition", "partition", [(p.partition, p.bytes) for p in value.stored.partitions])
    for part in (value.profile, value.recommendation, value.bench, value.history):
        if part is not None:
            yield from sections_of(part)
    if value.missing:
        yield Items("Not here", [Item(Cell(m.part.replace("_", " "), "warning"), m.reason) for m in value.missing])


def _stored(title: str, noun: str, taken: list[tuple[str, int]]) -> Section:
    total = sum(number for _, number in taken)
    columns = (Column(noun, fit="wrap"), Column("bytes", right=True), Column("share", right=True))
    rows = [(name, size(number), percent(number / total if total else None)) for name, number in taken[:SHOWN]]
    left = len(taken) - SHOWN
    return Grid(title, columns, rows, f"{count(left)} more in --json" if left > 0 else None)
