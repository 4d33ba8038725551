"""Tables of the page: captioned, scrolled by themselves where the screen is narrow, cut where they are long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakeopt.figures import counted
from lakeopt.report.markup import Markup, join, tag

#: Rows of a table at most: a page with more is slow, and nobody reads them.
ROWS = 200


@dataclass(frozen=True, slots=True)
class Column:
    """Heading of a column; figures stand on the right, ``prose`` is given room."""

    title: str
    figures: bool = False
    prose: bool = False


def grid(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[str]], *, mark: int | None = None) -> Markup:
    """A table whose first cells are the headings of their rows; ``mark`` is the place of a row that stands out."""
    head = [tag("th", column.title, scope="col", class_=_class(column)) for column in columns]
    body = [
        tag("tr", *_cells(columns, row), class_="chosen" if place == mark else None)
        for place, row in enumerate(rows[:ROWS])
    ]
    table = tag(
        "table",
        tag("caption", tag("span", caption)),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
    )
    left = len(rows) - ROWS
    more = tag("p", f"{counted(left, 'more row')} in the JSON of this report.", class_="note") if left > 0 else None
    return join((scrolled(caption, table), more))


def scrolled(label: str, content: Markup) -> Markup:
    """A part that is scrolled sideways by itself, by keyboard too."""
    return tag("div", content, class_="scroll", role="region", aria_label=label, tabindex="0")


def folded(summary: str, *content: Markup | None) -> Markup:
    """What is read on demand: the figures behind a plot."""
    return tag("details", tag("summary", summary), *content)


def bar(share: float, kind: str = "now") -> Markup:
    """A bar of this share (0 to 1) of its cell; the figure stands beside it as text."""
    width = f"width:{min(1.0, max(0.0, share)) * 100:.1f}%"
    return tag("span", tag("span", class_=kind, style=width), class_="bar", aria_hidden="true")


def _cells(columns: Sequence[Column], row: Sequence[str]) -> list[Markup]:
    first = tag("th", row[0], scope="row", class_=_class(columns[0]))
    return [first, *(tag("td", cell, class_=_class(column)) for column, cell in zip(columns[1:], row[1:], strict=True))]


def _class(column: Column) -> str | None:
    return "figures" if column.figures else "prose" if column.prose else None
