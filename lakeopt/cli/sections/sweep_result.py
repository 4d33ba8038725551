"""What ``lakeopt sweep`` shows when it is done."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import count, counted, seconds, size
from lakeopt.cli.section import Cell, Column, Facts, Grid, Item, Items, Section
from lakeopt.model.expiry import SweepResult

ROWS = None


def sections(value: SweepResult) -> Iterator[Section]:
    """What was freed, what stays and why, what could not be deleted."""
    failed = counted(len(value.failed), "file")
    yield Facts(
        f"Swept {value.table}" if value.deleted_files_count else f"Nothing was swept in {value.table}",
        (
            ("files deleted", count(value.deleted_files_count)),
            ("bytes freed", size(value.bytes)),
            ("gone already", counted(value.missing_files_count, "file")),
            ("kept", counted(len(value.kept), "file")),
            ("failed", Cell(failed, "critical" if value.failed else None)),
            ("time", seconds(value.elapsed_seconds)),
            ("plan", value.plan_id),
        ),
    )
    if value.kept:
        kept = [(one.path, one.reason) for one in value.kept]
        yield Grid("Kept", (Column("file", fit="middle"), Column("why", fit="wrap")), kept)
    if value.failed:
        yield Items("Failed", [Item(Cell(one.path, "critical"), one.error) for one in value.failed])
