"""What ``lakeopt inspect --view`` shows: rows of metadata."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import counted, named
from lakeopt.cli.section import Column, Fit, Grid, Section
from lakeopt.model.table import TableView

ROWS = "rows"


def sections(value: TableView) -> Iterator[Section]:
    """One grid whose columns are the keys of the rows; the first and paths stay whatever the width."""
    names = list(value.rows[0]) if value.rows else []
    columns = [_column(name, place, value) for place, name in enumerate(names)]
    rows = [[named(name, row.get(name)) for name in names] for row in value.rows]
    title = f"{value.table}: {counted(len(rows), value.view.removesuffix('s'))}"
    if value.snapshot_id:
        title += f", as of snapshot {value.snapshot_id}"
    yield Grid(title, columns, rows)


def _column(name: str, place: int, value: TableView) -> Column:
    sample = next((row[name] for row in value.rows if row.get(name) is not None), None)
    number = isinstance(sample, int | float) and not isinstance(sample, bool)
    path = name.endswith(("path", "location", "manifest_list"))
    text: Fit = "middle" if path else "wrap"
    return Column(
        name.replace("_", " "),
        right=number,
        rank=0 if path else place,
        fit="whole" if number or not isinstance(sample, str) else text,
    )
