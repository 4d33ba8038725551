"""What ``lakeopt retention`` shows when it is done."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, count, counted, seconds, size
from lakeopt.cli.section import Column, Facts, Grid, Section
from lakeopt.model.retention import RetentionResult

ROWS = None
SHOWN = 40


def sections(value: RetentionResult) -> Iterator[Section]:
    """What went, and what stays and why."""
    partitions = counted(len(value.dropped), "partition")
    yield Facts(
        f"Took {partitions} out of {value.table}" if value.dropped else f"No partition of {value.table} went",
        (
            ("files marked", count(value.marked_files_count)),
            ("bytes marked", f"{size(value.marked_bytes)}, to be freed by lakeopt sweep"),
            ("archived to", value.archived_to or NOTHING),
            ("time", seconds(value.elapsed_seconds)),
            ("plan", value.plan_id),
        ),
    )
    if value.dropped:
        yield Grid("Gone", (Column("partition", fit="middle"),), [(name,) for name in value.dropped[:SHOWN]])
    if value.kept:
        stays = [(one.path, one.reason) for one in value.kept[:SHOWN]]
        yield Grid("Stays", (Column("partition", fit="middle"), Column("why", fit="wrap")), stays)
