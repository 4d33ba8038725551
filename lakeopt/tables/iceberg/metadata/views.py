"""Metadata as rows: snapshots, refs and manifests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
from pyiceberg.io import FileIO
from pyiceberg.manifest import ManifestFile
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from lakeopt.errors import UnknownName
from lakeopt.tables.iceberg.metadata.manifests import read_manifest_list

_TEXTS = pa.map_(pa.string(), pa.string())
_SNAPSHOTS = pa.schema(
    [
        ("snapshot_id", pa.string()),
        ("parent_id", pa.string()),
        ("committed_at", pa.string()),
        ("operation", pa.string()),
        ("sequence_number", pa.int64()),
        ("schema_id", pa.int32()),
        ("manifest_list", pa.string()),
        ("summary", _TEXTS),
    ]
)
_REFS = pa.schema(
    [
        ("name", pa.string()),
        ("type", pa.string()),
        ("snapshot_id", pa.string()),
        ("min_snapshots_to_keep", pa.int32()),
        ("max_snapshot_age_ms", pa.int64()),
        ("max_ref_age_ms", pa.int64()),
    ]
)
_MANIFESTS = pa.schema(
    [
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("content", pa.string()),
        ("spec_id", pa.int32()),
        ("sequence_number", pa.int64()),
        ("added_snapshot_id", pa.string()),
        ("added_files_count", pa.int32()),
        ("existing_files_count", pa.int32()),
        ("deleted_files_count", pa.int32()),
        ("added_rows_count", pa.int64()),
        ("existing_rows_count", pa.int64()),
        ("deleted_rows_count", pa.int64()),
        ("partition_summaries_count", pa.int32()),
        ("null_partition_fields_count", pa.int32()),
    ]
)


#: Columns of each view.
SCHEMAS = {"snapshots": _SNAPSHOTS, "refs": _REFS, "manifests": _MANIFESTS}


def metadata_view(name: str, metadata: TableMetadata, io: FileIO, snapshot: Snapshot | None) -> pa.Table:
    """Rows of one view: ``snapshots``, ``refs`` or ``manifests`` (of one snapshot; none if the table is empty).

    Ids are text (64-bit numbers lose digits in JSON readers), times ISO 8601 in UTC, sizes bytes.

    :raises UnknownName: no such view.
    :raises DataFileError: the manifest list is missing or damaged.
    """
    views: dict[str, Callable[[], pa.Table]] = {
        "snapshots": lambda: _snapshots(metadata),
        "refs": lambda: _refs(metadata),
        "manifests": lambda: _manifests(read_manifest_list(io, snapshot) if snapshot else []),
    }
    if name not in views:
        raise UnknownName("view", name, views)
    return views[name]()


def timestamp(milliseconds: int) -> str:
    """ISO 8601 in UTC, to the millisecond.

    >>> timestamp(1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'
    """
    moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _snapshots(metadata: TableMetadata) -> pa.Table:
    rows = [
        {
            "snapshot_id": str(snapshot.snapshot_id),
            "parent_id": None if snapshot.parent_snapshot_id is None else str(snapshot.parent_snapshot_id),
            "committed_at": timestamp(snapshot.timestamp_ms),
            "operation": snapshot.summary.operation.value if snapshot.summary else None,
            "sequence_number": snapshot.sequence_number,
            "schema_id": snapshot.schema_id,
            "manifest_list": snapshot.manifest_list,
            "summary": list(snapshot.summary.additional_properties.items()) if snapshot.summary else None,
        }
        for snapshot in metadata.snapshots
    ]
    return pa.Table.from_pylist(rows, schema=_SNAPSHOTS)


def _refs(metadata: TableMetadata) -> pa.Table:
    rows = [
        {
            "name": name,
            "type": ref.snapshot_ref_type.value,
            "snapshot_id": str(ref.snapshot_id),
            "min_snapshots_to_keep": ref.min_snapshots_to_keep,
            "max_snapshot_age_ms": ref.max_snapshot_age_ms,
            "max_ref_age_ms": ref.max_ref_age_ms,
        }
        for name, ref in sorted(metadata.refs.items())
    ]
    return pa.Table.from_pylist(rows, schema=_REFS)


def _manifests(manifests: list[ManifestFile]) -> pa.Table:
    rows = [
        {
            "path": manifest.manifest_path,
            "bytes": manifest.manifest_length,
            "content": "deletes" if manifest.content == 1 else "data",
            "spec_id": manifest.partition_spec_id,
            "sequence_number": manifest.sequence_number,
            "added_snapshot_id": str(manifest.added_snapshot_id),
            "added_files_count": manifest.added_files_count,
            "existing_files_count": manifest.existing_files_count,
            "deleted_files_count": manifest.deleted_files_count,
            "added_rows_count": manifest.added_rows_count,
            "existing_rows_count": manifest.existing_rows_count,
            "deleted_rows_count": manifest.deleted_rows_count,
            "partition_summaries_count": len(manifest.partitions or ()),
            "null_partition_fields_count": sum(bool(field.contains_null) for field in manifest.partitions or ()),
        }
        for manifest in manifests
    ]
    return pa.Table.from_pylist(rows, schema=_MANIFESTS)
