"""Where the bytes lie: by column, and by partition."""

from __future__ import annotations

import json

from lakeopt.figures import count, counted, percent, size
from lakeopt.model.report import StoredPartition, TableReport
from lakeopt.report.grid import Column, folded, grid
from lakeopt.report.markup import Markup, absent, note, section, tag
from lakeopt.report.treemap import Tile, treemap

#: Colours by the family of a type, and what they are called.
_FAMILIES = {"number": "numbers", "word": "text and binary", "time": "dates and times", "nested": "nested and other"}
_TYPES = {
    "number": ("int", "long", "float", "double", "decimal"),
    "word": ("string", "binary", "fixed", "uuid"),
    "time": ("date", "time"),
}


def stored(value: TableReport) -> Markup:
    """Treemaps with the figures behind them."""
    return section("bytes", "Where the bytes lie", *_columns(value), *_partitions(value))


def family(iceberg_type: str) -> str:
    """The family of a type, by which it is coloured.

    >>> family("decimal(9, 2)"), family("timestamptz"), family("list<int>")
    ('number', 'time', 'nested')
    """
    return next((name for name, starts in _TYPES.items() if iceberg_type.startswith(starts)), "nested")


def _columns(value: TableReport) -> list[Markup]:
    columns = value.stored.columns
    heading = tag("h3", "By column")
    total = sum(column.bytes for column in columns)
    if not total:
        return [heading, absent(value.reason("column_bytes") or "the columns take no bytes")]
    tiles = [Tile(column.name, column.bytes, family(column.type)) for column in columns]
    widest = ", ".join(f"{column.name} {percent(column.bytes / total)}" for column in columns[:3])
    label = f"Treemap of {counted(len(columns), 'column')} by bytes; the largest: {widest}. Figures follow as a table."
    used = {tile.kind for tile in tiles}
    legend = [tag("li", tag("span", class_=kind), name) for kind, name in _FAMILIES.items() if kind in used]
    rows = [(column.name, column.type, size(column.bytes), percent(column.bytes / total)) for column in columns]
    headings = (Column("column"), Column("type"), Column("bytes", True), Column("share", True))
    return [
        heading,
        treemap(label, tiles, "column"),
        tag("ul", *legend, class_="legend"),
        note(_source(value)),
        folded("Columns as a table", grid("Bytes by column", headings, rows)),
    ]


def _source(value: TableReport) -> str:
    read = value.stored.footers_read
    source = f"From {counted(read, 'footer')} of data files" if read else "From the column sizes in manifests"
    return f"{source}; page indexes and footers are spread over the columns."


def _partitions(value: TableReport) -> list[Markup]:
    partitions = value.stored.partitions
    total = sum(partition.bytes for partition in partitions)
    heading = tag("h3", "By partition")
    if not total:
        return [heading, absent("the table has no data files")]
    if len(partitions) == 1 and partition_name(partitions[0]) == _WHOLE:
        return [heading, absent("the table is not partitioned")]
    tiles = [Tile(partition_name(partition), partition.bytes, "number") for partition in partitions]
    label = (
        f"Treemap of {counted(len(partitions), 'partition')} by bytes; the largest: {tiles[0].name}, "
        f"{percent(tiles[0].bytes / total)}. Figures follow as a table."
    )
    rows = [
        (
            partition_name(partition),
            count(partition.data_file_count),
            count(partition.record_count),
            size(partition.bytes),
            percent(partition.bytes / total),
        )
        for partition in partitions
    ]
    titles = ("files", "rows", "bytes", "share")
    headings = (Column("partition"), *(Column(title, True) for title in titles))
    table = grid("Bytes by partition", headings, rows)
    return [heading, treemap(label, tiles, "partition"), folded("Partitions as a table", table)]


_WHOLE = "not partitioned"


def partition_name(partition: StoredPartition) -> str:
    """A partition as directories spell it.

    >>> partition_name(StoredPartition('{"day": "2013-01-01", "origin": null}', 0, 1, 1, 1))
    'day=2013-01-01, origin=null'
    """
    values = json.loads(partition.partition)
    named = (f"{name}={'null' if item is None else item}" for name, item in values.items())
    return ", ".join(named) or _WHOLE
