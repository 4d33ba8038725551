"""Sections as text for a terminal: grids that fit the width, colours that mean something."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lakeopt.cli.figures import visible
from lakeopt.cli.section import Cell, Column, Facts, Grid, Items, Section

_STYLES = {
    "critical": "bold red",
    "warning": "yellow",
    "info": "cyan",
    "good": "green",
    "dim": "dim",
    "strong": "bold",
}
#: Narrowest width of a column that may wrap or lose its middle, before other columns are dropped for it.
_LEAST = {"wrap": 20, "middle": 28}
_GAP = 2


class _Middle:
    """A text that loses its middle where it does not fit: the ends of a path tell most."""

    def __init__(self, text: str, style: str) -> None:
        self.text, self.style = text, style

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        length = cell_len(self.text)
        return Measurement(min(length, 8), length)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(shorten(self.text, options.max_width), style=self.style, no_wrap=True, overflow="ellipsis")


def shorten(text: str, width: int) -> str:
    """The text in at most ``width`` terminal cells, its middle left out.

    >>> shorten("s3://lake/nyc/flights/data/00000-0-5f3c.parquet", 24)
    's3://lake/n…5f3c.parquet'
    """
    if cell_len(text) <= width:
        return text
    if width < 3:
        return "…"[:width]
    tail = width // 2
    head = chop_cells(text, width - tail - 1)[0]
    return f"{head}…{chop_cells(text[::-1], tail)[0][::-1]}"


def draw(parts: Iterable[Section], *, width: int, colour: bool) -> str:
    """Text of the sections, no line wider than ``width``."""
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
        force_jupyter=False,
    )
    with console.capture() as capture:
        for number, part in enumerate(parts):
            if number:
                console.print()
            if part.title:
                console.print(Text(visible(part.title), style="bold"))
            for renderable in _body(part, width):
                # Printing joins texts and forgets that one must not wrap, hence the argument.
                whole = isinstance(renderable, Text) and bool(renderable.no_wrap)
                console.print(renderable, soft_wrap=whole)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def _body(part: Section, width: int) -> Iterable[RenderableType]:
    if isinstance(part, Facts):
        table = Table.grid(padding=(0, _GAP, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in part.pairs:
            table.add_row(name, _text(value))
        yield table
    elif isinstance(part, Items):
        for item in part.items:
            yield Text.assemble(_text(item.label), "  ", visible(item.text))
            if item.details:
                yield Padding(Text(visible(item.details), style="dim"), (0, 0, 0, 2))
            if item.command:
                # Never wrapped: it is there to be copied.
                yield Text(f"  $ {visible(item.command)}", no_wrap=True)
    else:
        yield from _grid(part, width)


def _grid(part: Grid, width: int) -> Iterable[RenderableType]:
    if not part.rows:
        return
    kept = fitting(part.columns, part.rows, width)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0), header_style="dim")
    for column in (part.columns[place] for place in kept):
        table.add_column(
            visible(column.title),
            justify="right" if column.right else "left",
            no_wrap=column.fit == "whole",
            overflow="fold",
        )
    for row in part.rows:
        table.add_row(*(_cell(part.columns[place], row[place]) for place in kept))
    yield table
    hidden = [visible(column.title) for place, column in enumerate(part.columns) if place not in kept]
    if hidden:
        yield Text(f"not shown at this width: {', '.join(hidden)} (--json has all)", style="dim")
    if part.note:
        yield Text(visible(part.note), style="dim")


def fitting(columns: Sequence[Column], rows: Sequence[Sequence[Cell | str]], width: int) -> list[int]:
    """Places of the columns that fit side by side: those with the highest rank are dropped first."""
    kept = list(range(len(columns)))

    def needed(place: int) -> int:
        column = columns[place]
        widest = max((cell_len(visible(str(row[place]))) for row in rows), default=0)
        if column.fit != "whole":
            widest = min(widest, _LEAST[column.fit])
        return max(widest, cell_len(visible(column.title)))

    widths = [needed(place) for place in kept]
    while sum(widths[place] for place in kept) + _GAP * (len(kept) - 1) > width:
        droppable = [place for place in kept if columns[place].rank]
        if not droppable:
            break
        kept.remove(max(droppable, key=lambda place: (columns[place].rank, place)))
    return kept


def _cell(column: Column, value: Cell | str) -> RenderableType:
    if column.fit == "middle":
        return _Middle(visible(str(value)), _style(value))
    return _text(value)


def _text(value: Cell | str) -> Text:
    return Text(visible(str(value)), style=_style(value))


def _style(value: Cell | str) -> str:
    return _STYLES[value.style] if isinstance(value, Cell) and value.style else ""
