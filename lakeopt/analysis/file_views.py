"""File lists as people read them: one row a file, or one row a partition."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.analysis.checks.small_files import SMALL_SHARE
from lakeopt.model.scan import DATA

_CONTENTS = pa.array(["data", "position deletes", "equality deletes"])


def files(listed: pa.Table) -> pa.Table:
    """One row a live file, largest first within its partition; counts of delete files that apply, ids as text."""
    rows = pa.table(
        {
            "content": _CONTENTS.take(listed["content"]),
            "partition": listed["partition"],
            "bytes": listed["file_size_in_bytes"],
            "record_count": listed["record_count"],
            "delete_file_count": pc.fill_null(pc.list_value_length(listed["delete_files"]), 0),
            "sort_order_id": listed["sort_order_id"],
            "spec_id": listed["spec_id"],
            "data_sequence_number": listed["data_sequence_number"],
            "snapshot_id": pc.cast(listed["snapshot_id"], pa.string()),
            "file_format": listed["file_format"],
            "file_path": listed["file_path"],
        }
    )
    return rows.sort_by([("spec_id", "ascending"), ("partition", "ascending"), ("bytes", "descending")])


def partitions(listed: pa.Table, target_file_bytes: int) -> pa.Table:
    """One row a partition (of one spec): files, bytes, rows, delete files and data files below the small share."""
    data = pc.equal(listed["content"], DATA)
    size, zero = listed["file_size_in_bytes"], pa.scalar(0, pa.int64())
    small = pc.and_(data, pc.less(pc.cast(size, pa.float64()), SMALL_SHARE * target_file_bytes))
    measured = pa.table(
        {
            "partition": listed["partition"],
            "spec_id": listed["spec_id"],
            "data_file_count": pc.cast(data, pa.int64()),
            "small_file_count": pc.cast(small, pa.int64()),
            "record_count": pc.if_else(data, listed["record_count"], zero),
            "data_bytes": pc.if_else(data, size, zero),
            "delete_file_count": pc.cast(pc.invert(data), pa.int64()),
            "delete_bytes": pc.if_else(data, zero, size),
        }
    )
    summed = measured.column_names[2:]
    grouped = measured.group_by(["partition", "spec_id"]).aggregate([(name, "sum") for name in summed])
    return pa.table(
        {name: grouped[name if name in ("partition", "spec_id") else f"{name}_sum"] for name in measured.column_names}
    ).sort_by([("spec_id", "ascending"), ("partition", "ascending")])
