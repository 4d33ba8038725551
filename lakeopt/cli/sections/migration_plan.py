"""What ``lakeopt migrate --dry-run`` shows, and what is asked about before a migration starts."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, count, counted, in_blocks, key, named, size
from lakeopt.cli.section import Cell, Column, Facts, Grid, Item, Items, Section
from lakeopt.model.migration import MigrationPlan

ROWS = "columns"
SHOWN = 40


def sections(value: MigrationPlan) -> Iterator[Section]:
    """What becomes what, then the columns of the new table, then what is worth knowing."""
    files = f"{counted(value.file_count, 'file')}, {size(value.bytes)}, {count(value.record_count)} rows"
    partitions = f" in {counted(value.partition_count, 'partition')}" if _partitions(value) else ""
    yield Facts(
        f"Plan {value.plan_id}: {value.table} becomes {value.to}",
        (
            ("source", f"{files}{partitions}; it is not changed"),
            ("way", _way(value)),
            ("checked", f"{counted(value.footers_checked, 'footer')}"),
            ("layout", _layout(value)),
            ("partitioned by", ", ".join(_partitions(value)) or NOTHING),
            ("proved by", "all rows" if value.verify == "rows" else Cell("counts of rows only", "warning")),
            ("written with", _writer(value)),
        ),
    )
    columns = (Column("column", fit="middle"), Column("type", fit="wrap"), Column("partition"))
    rows = [(one.name, one.type, "identity" if one.partition else NOTHING) for one in value.columns[:SHOWN]]
    left = len(value.columns) - SHOWN
    yield Grid("Columns", columns, rows, f"{left} more in --json" if left > 0 else None)
    if value.notes:
        yield Items("Notes", [Item(Cell("note", "info"), note) for note in value.notes])


def _partitions(value: MigrationPlan) -> list[str]:
    return [one.name for one in value.columns if one.partition]


def _way(value: MigrationPlan) -> str:
    if value.mode == "in-place":
        return "in place: no row is written, both tables name the same files"
    return f"rewrite by {value.engine}, files of {size(value.target_file_bytes)} at most"


def _layout(value: MigrationPlan) -> str:
    layout = value.layout
    if value.mode == "in-place":
        return "as it is"
    return (
        f"{layout.strategy}, by {key(layout.columns)}{in_blocks(layout.block_rows)}"
        if layout.columns
        else layout.strategy
    )


def _writer(value: MigrationPlan) -> str:
    options = {name: int(text) if text.isdecimal() else text for name, text in value.writer.items()}
    return ", ".join(f"{name.replace('_', ' ')} {named(name, option)}" for name, option in options.items()) or NOTHING
