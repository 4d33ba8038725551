"""The matrix of ``profile`` as a heat map, which is a table: each cell says its figure, colour only underlines it."""

from __future__ import annotations

from lakeopt.figures import counted
from lakeopt.model.profile import ColumnProfiles
from lakeopt.report.grid import scrolled
from lakeopt.report.markup import Markup, join, note, tag

#: Columns that are shown, those that take most bytes, and orders, those that save most.
SHOWN = 20
#: From which share of saved bytes on each colour is taken.
_LEVELS = (0.05, 0.15, 0.3, 0.5, 0.75)


def heat_map(profile: ColumnProfiles) -> Markup | None:
    """Orders down, columns across, both by weight; None where no column can be sorted by, or only one."""
    matrix = profile.correlation_matrix
    share = {column.name: column.bytes_share for column in profile.columns}
    saving = dict(zip(matrix.columns, matrix.values, strict=True))
    sortable = [name for name in matrix.columns if any(value is not None for value in saving[name])]
    if not sortable or len(matrix.columns) < 2:
        return None
    place = {name: number for number, name in enumerate(matrix.columns)}
    across = sorted(matrix.columns, key=lambda name: -share.get(name, 0.0))[:SHOWN]
    saved = {
        by: sum((x or 0.0) * share.get(to, 0.0) for to, x in zip(place, saving[by], strict=True)) for by in sortable
    }
    down = sorted(sortable, key=lambda by: -saved[by])[:SHOWN]
    caption = "Bytes of each column, in percent, that sorting by another one saves"
    head = [tag("th", tag("span", name), scope="col", title=name) for name in across]
    rows = [
        tag("tr", tag("th", by, scope="row"), *(_cell(saving[by][place[to]], by, to) for to in across)) for by in down
    ]
    table = tag(
        "table",
        tag("caption", tag("span", caption)),
        tag("thead", tag("tr", tag("th", "sorted by", scope="col", class_="corner"), *head)),
        tag("tbody", *rows),
        class_="heat",
    )
    return join((scrolled(caption, table), _legend(len(matrix.columns), len(sortable))))


def _cell(value: float | None, by: str, to: str) -> Markup:
    if value is None:
        return tag("td", "–")
    figure = f"{value * 100:z.0f}"
    if by == to:
        return tag("td", figure, class_="self")
    level = "worse" if value <= -_LEVELS[0] else f"h{sum(value >= start for start in _LEVELS)}"
    return tag("td", figure, class_=level)


def _legend(columns: int, orders: int) -> Markup:
    left = [
        counted(number - SHOWN, f"more {noun}")
        for number, noun in ((orders, "order"), (columns, "column"))
        if number > SHOWN
    ]
    more = f" {' and '.join(left)} in the JSON." if left else ""
    return note(
        "Down: the column sorted by, best order first. Across: the column that shrinks, heaviest first. Below zero it "
        f"grows. Measured in shuffled order.{more}"
    )
