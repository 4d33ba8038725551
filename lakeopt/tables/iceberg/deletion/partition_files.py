"""Which files lie in some partitions: told by partition values alone, so that no file of another is among them."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record

from lakeopt.errors import UsageError
from lakeopt.model.scan import FIELD_ID
from lakeopt.tables.base import Table
from lakeopt.tables.iceberg.commits.writable import pyiceberg_table
from lakeopt.tables.iceberg.metadata.partitions import Partitioning
from lakeopt.tables.iceberg.planning.pruning import Pruning, filter_columns
from lakeopt.tables.iceberg.repartition import from_bytes, to_bytes


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


class PartitionFiles:
    """A filter over partitions of a table. A file's partition is told as text, which can be kept: spec and values."""

    def __init__(self, table: Table, where: str) -> None:
        iceberg = pyiceberg_table(table)
        self._types = {int(field.metadata[FIELD_ID]): field.type for field in table.schema}
        self._partitioning = Partitioning(iceberg.metadata)
        self._pruning = Pruning(where, iceberg.schema(), self._partitioning)
        self._known: dict[str, bool] = {"": False}

    def holds(self, partition: str) -> bool:
        """Whether the filter chooses a partition; no text is that of no partition."""
        if partition not in self._known:
            spec_id, _, values = partition.partition(" ")
            record = self._record(int(spec_id), values)
            self._known[partition] = bool(self._pruning.partition(int(spec_id))(record))
        return self._known[partition]

    def _record(self, spec_id: int, text: str) -> Record:
        """The partition as pyiceberg has it; fields of other transforms are null, for the filter asks of none."""
        spec, schema = self._partitioning.spec(spec_id), self._partitioning.schema
        constants = self._partitioning.constants(spec_id, text)
        values = []
        for field, typed in zip(spec.fields, spec.partition_type(schema).fields, strict=True):
            value = constants.get(field.source_id) if isinstance(field.transform, IdentityTransform) else None
            scalar = pa.scalar(value, self._types.get(field.source_id)) if value is not None else None
            encoded = None if scalar is None else to_bytes(typed.field_type, scalar)
            values.append(from_bytes(typed.field_type, encoded))
        return Record(*values)


def partitions_of(table: Table, snapshot_ids: Iterable[int]) -> dict[str, str]:
    """The partition of each data and delete file of these snapshots, as :class:`PartitionFiles` takes it.

    :raises DataFileError: a manifest list or a manifest is missing or damaged.
    """
    found = {}
    for snapshot_id in snapshot_ids:
        for part in table.files(snapshot_id, content="all"):
            rows = zip(*(part[name].to_pylist() for name in ("file_path", "spec_id", "partition")), strict=True)
            found.update({path: f"{spec_id} {partition}" for path, spec_id, partition in rows})
    return found
