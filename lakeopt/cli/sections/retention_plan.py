"""What ``lakeopt retention --dry-run`` shows, and what is asked about before partitions go."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, count, counted, size
from lakeopt.cli.section import Cell, Column, Facts, Grid, Section
from lakeopt.model.retention import RetentionPlan

ROWS = "partitions"
SHOWN = 40


def sections(value: RetentionPlan) -> Iterator[Section]:
    """Which partitions go and why, then those that the rule meant and that stay."""
    going = f"{count(len(value.partitions))} of {counted(value.partition_count, 'partition')}, {size(value.bytes)}"
    yield Facts(
        f"Plan {value.plan_id} for {value.table}",
        (
            ("goes", going if value.partitions else Cell("nothing", "good")),
            ("older than", f"{value.older_than}, by {value.column}" if value.older_than else NOTHING),
            ("where", value.where or NOTHING),
            ("archived to", value.archive_to or NOTHING),
        ),
    )
    if value.partitions:
        columns = (
            Column("partition", fit="middle"),
            Column("files", right=True),
            Column("size", right=True),
            Column("why", fit="wrap"),
        )
        rows = [(one.name, count(one.file_count), size(one.bytes), one.reason) for one in value.partitions[:SHOWN]]
        left = len(value.partitions) - SHOWN
        yield Grid("Partitions", columns, rows, f"{left} more in --json" if left > 0 else None)
    if value.kept:
        stays = [(one.path, one.reason) for one in value.kept[:SHOWN]]
        yield Grid("Stays", (Column("partition", fit="middle"), Column("why", fit="wrap")), stays)
