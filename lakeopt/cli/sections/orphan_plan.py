"""What ``lakeopt remove-orphan-files --dry-run`` shows, and what is asked about before files are moved."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import count, counted, seconds, size
from lakeopt.cli.section import Cell, Column, Facts, Grid, Section
from lakeopt.cli.sections.kept_files import kept_files
from lakeopt.model.orphans import OrphanPlan

ROWS = "orphans"
SHOWN = 20


def sections(value: OrphanPlan) -> Iterator[Section]:
    """What would be moved, then what stays and why."""
    found: Cell | str = f"{counted(value.orphan_files_count, 'file')}, {size(value.orphan_bytes)}"
    yield Facts(
        f"Plan {value.plan_id} for {value.table}",
        (
            ("location", value.location),
            ("listed", f"{counted(value.listed_files_count, 'file')}, {size(value.listed_bytes)}"),
            ("orphans", found if value.orphan_files_count else Cell("none", "good")),
            ("older than", f"{seconds(value.older_than_seconds)}: last changed before {value.younger_than}"),
        ),
    )
    if value.orphans:
        columns = (
            Column("orphan", fit="middle"),
            Column("size", right=True),
            Column("last changed", rank=1),
            Column("why", rank=2),
        )
        rows = [(file.path, size(file.bytes), file.modified_at, file.reason) for file in value.orphans[:SHOWN]]
        left = len(value.orphans) - SHOWN
        note = f"{count(left)} more in --json" if left > 0 else None
        yield Grid("To the quarantine", columns, rows, note)
    yield from kept_files(value.kept_counts, value.kept)
