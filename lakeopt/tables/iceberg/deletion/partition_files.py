"""Which files lie in some partitions: told by partition values alone, so that no file of another is among them."""

from __future__ import annotations

from collections.abc import Iterable

from pyiceberg.transforms import IdentityTransform

from lakeopt.errors import UsageError
from lakeopt.tables.base import Table
from lakeopt.tables.iceberg.commits.writable import pyiceberg_table
from lakeopt.tables.iceberg.planning.pruning import filter_columns


def require_partition_filter(table: Table, where: str) -> None:
    """Refuse a filter that partition values alone cannot decide, for any of the table's specs.

    :raises UsageError: it is no filter, or names a column that is not partitioned by its own values.
    :raises UnknownName: it names a column that is not there.
    """
    iceberg = pyiceberg_table(table)
    schema = iceberg.schema()
    specs = iceberg.specs().values()
    for name in sorted(filter_columns(where, schema)):
        source = schema.find_field(name).field_id
        for spec in specs:
            if not any(
                field.source_id == source and isinstance(field.transform, IdentityTransform) for field in spec.fields
            ):
                raise UsageError(
                    f"{name!r} is no identity partition column of every partition spec of {table.identifier}",
                    hint="--partition takes columns that files are partitioned by, such as day = '2026-01-01'",
                )


def partition_files(table: Table, snapshot_ids: Iterable[int], where: str) -> set[str]:
    """Data and delete files of these snapshots that lie in the partitions of a filter.

    :raises DataFileError: a manifest list or a manifest is missing or damaged.
    """
    return {
        path
        for snapshot_id in snapshot_ids
        for part in table.files(snapshot_id, where=where, content="all")
        for path in part["file_path"].to_pylist()
    }
