"""What ``lakeopt expire-snapshots --dry-run`` shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lakeopt.cli.figures import NOTHING, count, counted, size
from lakeopt.cli.section import Column, Facts, Grid, Section
from lakeopt.model.expiry import ExpiryPlan, SnapshotDecision

ROWS = "expired"


def sections(value: ExpiryPlan) -> Iterator[Section]:
    """What goes and what it would free; then each snapshot and ref with the reason."""
    measured = value.files_to_mark is not None
    title = f"Expire {counted(len(value.expired), 'snapshot')} of {value.table}"
    yield Facts(
        title if value.expired else f"Nothing to expire in {value.table}",
        (
            ("older than", value.older_than),
            ("a branch keeps", counted(value.retain_last, "snapshot")),
            ("retained", counted(len(value.retained), "snapshot")),
            ("files to mark", count(value.files_to_mark) if measured else NOTHING),
            ("bytes to free", size(value.bytes_to_free) if measured else NOTHING),
            *((("only files of", value.partition),) if value.partition else ()),
            ("base snapshot", value.base_snapshot_id or NOTHING),
            ("plan", value.plan_id),
        ),
    )
    if value.expired:
        yield _grid("Expired", value.expired)
    if value.retained:
        yield _grid("Retained", value.retained)
    if value.removed_refs:
        rows = [(ref.name, ref.type, ref.snapshot_id, ref.reason) for ref in value.removed_refs]
        yield Grid("Removed", (Column("ref"), Column("type"), Column("snapshot"), Column("why", fit="wrap")), rows)


def _grid(title: str, decisions: Sequence[SnapshotDecision]) -> Grid:
    columns = (
        Column("snapshot"),
        Column("committed at", rank=1),
        Column("operation", rank=2),
        Column("why", fit="wrap"),
    )
    return Grid(title, columns, [(d.snapshot_id, d.committed_at, d.operation or NOTHING, d.reason) for d in decisions])
