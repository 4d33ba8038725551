"""What retention needs to know of a table's metadata, and which tables keep all that they ever had."""

from __future__ import annotations

from pyiceberg.table.metadata import TableMetadata

from lakeopt.errors import Refused
from lakeopt.model.expiry import RefFacts, SnapshotFacts
from lakeopt.tables.base import Table
from lakeopt.tables.iceberg.commits.writable import pyiceberg_table
from lakeopt.tables.refusals import read_only_hint

#: The table property that forbids to collect garbage, and its default.
GC_ENABLED = "gc.enabled"


def require_collectable(table: Table) -> None:
    """Refuse a table whose snapshots and files are not ours to remove.

    :raises Refused: it cannot be written, is encrypted, or says ``gc.enabled=false``.
    """
    if table.read_only is not None:
        raise Refused(
            f"{table.identifier} cannot be written: {table.read_only}",
            hint=read_only_hint(table),
        )
    if table.properties.get(GC_ENABLED, "true").strip().lower() == "false":
        raise Refused(
            f"{table.identifier} keeps everything ({GC_ENABLED}=false)",
            hint=f"its files may belong to another table too; set {GC_ENABLED}=true if they do not",
        )


def snapshot_facts(table: Table) -> list[SnapshotFacts]:
    """All snapshots of the metadata, as retention sees them."""
    return [
        SnapshotFacts(
            snapshot_id=snapshot.snapshot_id,
            parent_id=snapshot.parent_snapshot_id,
            timestamp_ms=snapshot.timestamp_ms,
            sequence_number=snapshot.sequence_number or 0,
            summary=snapshot.summary.additional_properties if snapshot.summary else None,
        )
        for snapshot in _metadata(table).snapshots
    ]


def ref_facts(table: Table) -> list[RefFacts]:
    """All branches and tags of the metadata."""
    return [
        RefFacts(
            name=name,
            type="branch" if ref.snapshot_ref_type.value == "branch" else "tag",
            snapshot_id=ref.snapshot_id,
            min_snapshots_to_keep=ref.min_snapshots_to_keep,
            max_snapshot_age_ms=ref.max_snapshot_age_ms,
            max_ref_age_ms=ref.max_ref_age_ms,
        )
        for name, ref in _metadata(table).refs.items()
    ]


def operations(table: Table) -> dict[int, str | None]:
    """What each snapshot did."""
    return {
        snapshot.snapshot_id: snapshot.summary.operation.value if snapshot.summary else None
        for snapshot in _metadata(table).snapshots
    }


def _metadata(table: Table) -> TableMetadata:
    return pyiceberg_table(table).metadata
