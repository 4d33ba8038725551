"""Partition values: as JSON text, as values of columns, as folders of a path."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from pyiceberg import conversions
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.transforms import IdentityTransform, VoidTransform
from pyiceberg.typedef import Record
from pyiceberg.types import (
    IcebergType,
    NestedField,
    PrimitiveType,
    TimestampNanoType,
    TimestamptzNanoType,
    UnknownType,
)

from lakeopt.errors import Refused

UNPARTITIONED = "{}"


class Partitioning:
    """Partition specs of a table, with the types of their fields even where the source column is gone.

    One object serves one reading of a table's metadata; it remembers the partitions that it has met.
    """

    def __init__(self, metadata: TableMetadata) -> None:
        self._specs = metadata.specs()
        self._schema = source_schema(metadata)
        self._types = {i: spec.partition_type(self._schema).fields for i, spec in self._specs.items()}
        self._met: dict[tuple[int, tuple[Any, ...]], str] = {}

    @property
    def schema(self) -> Schema:
        """The current columns, and those of older schemas that a spec still speaks of."""
        return self._schema

    def spec(self, spec_id: int) -> PartitionSpec:
        """The partition spec of that id."""
        return self._specs[spec_id]

    def is_global(self, spec_id: int) -> bool:
        """Whether the spec divides nothing: no fields, or (in v1 tables, which keep dropped fields) only void ones."""
        return all(isinstance(field.transform, VoidTransform) for field in self._specs[spec_id].fields)

    def text(self, spec_id: int, record: Record) -> str:
        """Partition as JSON: field name to value in Iceberg's single-value form; void fields are left out."""
        values = tuple(record[i] for i in range(len(record)))
        if not values:
            return UNPARTITIONED
        if any(isinstance(value, float) for value in values):  # 0.0 == -0.0, yet they are two partitions
            return self._encode(spec_id, values)
        key = (spec_id, values)
        if (known := self._met.get(key)) is None:
            known = self._met[key] = self._encode(spec_id, values)
        return known

    def constants(self, spec_id: int, text: str) -> dict[int, Any]:
        """Values of identity-partitioned columns in one partition, by field id of the column.

        Python values as pyarrow takes them for the column's type; null where the partition is.
        """
        values = json.loads(text)
        fields = zip(self._specs[spec_id].fields, self._types[spec_id], strict=True)
        return {
            field.source_id: _from_json(typed.field_type, values[field.name])
            for field, typed in fields
            if isinstance(field.transform, IdentityTransform) and not isinstance(typed.field_type, UnknownType)
        }

    def path(self, spec_id: int, record: Record) -> str:
        """Folders of a partition, as Iceberg names them.

        :raises Refused: a date or time lies beyond what Python, and so pyiceberg, can write out.
        """
        try:
            return self._specs[spec_id].partition_to_path(record, self._schema)
        except OverflowError as error:
            raise Refused(f"partition value out of range: {self.text(spec_id, record)}") from error

    def _encode(self, spec_id: int, values: Sequence[Any]) -> str:
        fields: tuple[PartitionField, ...] = self._specs[spec_id].fields
        if len(values) != len(fields):
            raise ValueError(f"{len(values)} partition values where spec {spec_id} has {len(fields)} fields")
        typed = zip(fields, self._types[spec_id], values, strict=True)
        named = {f.name: _to_json(t.field_type, v) for f, t, v in typed if not isinstance(f.transform, VoidTransform)}
        return json.dumps(named, ensure_ascii=False)


def source_schema(metadata: TableMetadata) -> Schema:
    """The current schema, plus the fields of older ones that partition specs still refer to.

    A field that was dropped keeps its values in old partitions; its name may have been taken since, so that it
    gets one that no column can be mistaken for.
    """
    current = metadata.schema()
    wanted = {field.source_id for spec in metadata.partition_specs for field in spec.fields} - current.field_ids
    gone: list[NestedField] = []
    for schema in reversed(metadata.schemas):
        for field_id in sorted(wanted & schema.field_ids):
            field = schema.find_field(field_id)
            gone.append(NestedField(field_id, f"\0dropped {field_id}", field.field_type, required=False))
            wanted.discard(field_id)
    return Schema(*current.fields, *gone) if gone else current


def _to_json(kind: IcebergType, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(kind, (TimestampNanoType, TimestamptzNanoType)):
        return str(value)  # nanoseconds since 1970: pyiceberg has no text form of them
    if isinstance(kind, UnknownType) or not isinstance(kind, PrimitiveType):
        return value if isinstance(value, (bool, int, float, str)) else str(value)
    try:
        return conversions.to_json(kind, value)
    except (OverflowError, ValueError):  # dates and times beyond the year 9999
        return str(value)


def _from_json(kind: IcebergType, value: Any) -> Any:
    if value is None:
        return None
    if isinstance(kind, (TimestampNanoType, TimestamptzNanoType)):
        return int(value)
    if isinstance(value, str) and str(kind) in ("float", "double"):
        return float(value)
    try:
        return conversions.from_json(kind, value)  # type: ignore[arg-type]
    except (OverflowError, ValueError):
        return int(value)
