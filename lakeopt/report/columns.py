"""What the columns are like, and which order shrinks which of them."""

from __future__ import annotations

from lakeopt.figures import count, decimal, percent
from lakeopt.model.report import TableReport
from lakeopt.report.grid import Column, folded, grid
from lakeopt.report.heat_map import heat_map
from lakeopt.report.markup import Markup, absent, note, section

_TITLES = ("share", "bytes/row", "distinct", "nulls", "redundancy", "correlation", "top value")
_NOTE = (
    "Share: of the table's bytes; bytes/row: in shuffled order; redundancy: rows that repeat a value; correlation: "
    "bytes of the other columns that its order saves; top value: share of the most frequent one."
)


def columns(value: TableReport) -> Markup:
    """The heat map of ``profile``, with the columns' own figures."""
    title, profile = "Which order shrinks what", value.profile
    if profile is None:
        return section("columns", title, absent(value.reason("profile") or "not measured"))
    whole = f"{count(profile.record_count)} rows"
    measured = f"all {whole}" if profile.exact else f"a sample of {count(profile.sampled_rows)} of {whole}"
    rows = [
        (
            column.name,
            column.type,
            percent(column.bytes_share),
            decimal(column.width),
            count(column.distinct_count),
            percent(column.null_fraction),
            percent(column.redundancy),
            percent(column.correlation),
            percent(column.skew),
        )
        for column in sorted(profile.columns, key=lambda column: -column.bytes_share)
    ]
    headings = (Column("column"), Column("type"), *(Column(name, True) for name in _TITLES))
    matrix = heat_map(profile) or absent("fewer than two columns can be compared, or none can be sorted by")
    return section(
        "columns",
        title,
        note(f"From {measured}."),
        matrix,
        folded("What each column is like", note(_NOTE), grid("Profile of each column", headings, rows)),
    )
