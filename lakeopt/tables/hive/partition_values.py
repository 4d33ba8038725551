"""Partition values of a Hive table, typed: as Iceberg's partition records, and which cannot be told apart or read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from pyiceberg import conversions
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record

from lakeopt.tables.hive.hive_types import parse_value
from lakeopt.tables.hive.source import Column
from lakeopt.tables.iceberg.metadata.partitions import Partitioning

_FIRST_FIELD_ID = 1000


@dataclass(frozen=True, slots=True)
class TypedPartition:
    """One partition: its values as a record, as JSON text, and why it is left alone."""

    record: Record
    text: str
    reason: str | None
    bounds: Mapping[int, bytes | None] = field(default_factory=dict)

    def metrics(self, rows: int) -> dict[str, list[tuple[int, Any]]]:
        """Counts and bounds of the partition columns in a file of so many rows, by name of the file list's column."""
        known = [(number, bound) for number, bound in self.bounds.items() if bound is not None]
        return {
            "value_counts": [(number, rows) for number in self.bounds],
            "null_value_counts": [(number, 0 if bound is not None else rows) for number, bound in self.bounds.items()],
            "lower_bounds": list(known),
            "upper_bounds": list(known),
        }


class PartitionTypes:
    """The partition columns of one table, as a spec of identity transforms over its schema."""

    def __init__(self, schema: Schema, columns: Sequence[Column]) -> None:
        by_name = {column.name: column for column in schema.fields}
        fields = [
            PartitionField(by_name[name].field_id, _FIRST_FIELD_ID + i, IdentityTransform(), name)
            for i, (name, _) in enumerate(columns)
        ]
        self.columns = tuple(columns)
        self._kinds: list[Any] = [by_name[name].field_type for name, _ in columns]
        self.spec = PartitionSpec(*fields, spec_id=0)
        described: Any = SimpleNamespace(
            specs=lambda: {0: self.spec}, schema=lambda: schema, partition_specs=[self.spec], schemas=[schema]
        )
        self.partitioning = Partitioning(described)

    def typed(self, partitions: Sequence[tuple[str | None, ...]]) -> list[TypedPartition]:
        """Values of all partitions of the table; those that readers cannot tell apart say so."""
        found = [self._typed(values) for values in partitions]
        again = {text for text, count in Counter(text for _, text, _ in found).items() if count > 1}
        return [
            TypedPartition(
                record,
                text,
                reason or ("another partition has the same values, spelt otherwise" if text in again else None),
                self._bounds(record),
            )
            for record, text, reason in found
        ]

    def _bounds(self, record: Record) -> dict[int, bytes | None]:
        """The value of each column in Iceberg's binary form, by field id; None for a null."""
        fields = zip(self.spec.fields, self._kinds, range(len(self.columns)), strict=True)
        return {
            part.source_id: None if record[i] is None else conversions.to_bytes(kind, record[i])
            for part, kind, i in fields
        }

    def _typed(self, values: tuple[str | None, ...]) -> tuple[Record, str, str | None]:
        held: list[Any] = []
        reason = None
        for (name, kind), value in zip(self.columns, values, strict=True):
            try:
                held.append(None if value is None else parse_value(value, kind))
            except ValueError:
                held.append(None)
                reason = f"{value!r} is no {kind}, which partition column {name} holds"
        record = Record(*held)
        return record, self.partitioning.text(0, record), reason
