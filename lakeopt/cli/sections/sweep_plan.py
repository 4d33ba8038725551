"""What ``lakeopt sweep --dry-run`` shows."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, count, counted, size
from lakeopt.cli.section import Column, Facts, Grid, Section
from lakeopt.model.expiry import SweepPlan
from lakeopt.units import format_duration

ROWS = "files"


def sections(value: SweepPlan) -> Iterator[Section]:
    """What would be deleted, and which marked files stay."""
    yield Facts(
        f"Delete {counted(len(value.files), 'file')} of {value.table}"
        if value.files or value.quarantined_files_count
        else f"Nothing to sweep in {value.table}",
        (
            ("bytes", size(value.bytes)),
            ("from the quarantine", _quarantined(value)),
            ("marked for at least", format_duration(value.grace_seconds)),
            ("gone already", counted(value.missing_files_count, "file")),
            ("kept", counted(len(value.kept), "file")),
            ("plan", value.plan_id),
        ),
    )
    if value.files:
        rows = [(f.path, f.kind, size(f.bytes) if f.bytes is not None else NOTHING) for f in value.files]
        columns = (Column("file", fit="middle"), Column("kind"), Column("bytes", right=True))
        yield Grid("To delete", columns, rows, note=f"{count(len(value.files))} files, in this order")
    if value.kept:
        kept = [(one.path, one.reason) for one in value.kept]
        yield Grid("Kept", (Column("file", fit="middle"), Column("why", fit="wrap")), kept)


def _quarantined(value: SweepPlan) -> str:
    if not value.quarantined_files_count:
        return NOTHING
    return f"{counted(value.quarantined_files_count, 'file')}, {size(value.quarantined_bytes)}"
