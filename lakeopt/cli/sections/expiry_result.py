"""What ``lakeopt expire-snapshots`` shows when it is done."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, count, counted, seconds, size
from lakeopt.cli.section import Column, Facts, Grid, Section
from lakeopt.model.expiry import ExpiryResult

ROWS = "retained"


def sections(value: ExpiryResult) -> Iterator[Section]:
    """What went, what was marked, and why the rest stays."""
    expired = counted(value.expired_snapshots_count, "snapshot")
    yield Facts(
        f"Expired {expired} of {value.table}"
        if value.expired_snapshots_count
        else f"No snapshot of {value.table} expired",
        (
            ("refs removed", ", ".join(value.removed_refs) or NOTHING),
            ("files marked", count(value.marked_files_count)),
            *((("only files of", value.partition),) if value.partition else ()),
            ("bytes marked", f"{size(value.marked_bytes)}, to be freed by lakeopt sweep"),
            ("bytes freed now", size(value.bytes_freed_now)),
            ("retained", counted(len(value.retained), "snapshot")),
            ("time", seconds(value.elapsed_seconds)),
            ("plan", value.plan_id),
        ),
    )
    if value.retained:
        rows = [(one.snapshot_id, one.reason) for one in value.retained]
        yield Grid("Retained", (Column("snapshot"), Column("why", fit="wrap")), rows)
