"""How rows are divided by a partition spec: Iceberg's transforms over Arrow, as an engine may use them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from pyiceberg import conversions
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform, UnknownTransform, VoidTransform
from pyiceberg.typedef import Record
from pyiceberg.types import IcebergType, UUIDType

from lakeopt.errors import Refused
from lakeopt.model.scan import FIELD_ID, PartitionKey
from lakeopt.tables.iceberg.arrow_schema import arrow_type

Encoded = Sequence[bytes | None]


class PartitionDivision:
    """One partition spec over the current schema: its keys, and its partitions as bytes and as pyiceberg's records."""

    def __init__(self, spec: PartitionSpec, schema: Schema, arrow: pa.Schema) -> None:
        """
        :raises Refused: a transform that is not known, or that takes no values of its source's type.
        """
        self._types = [field.field_type for field in spec.partition_type(schema).fields]
        self._void = [isinstance(field.transform, VoidTransform) for field in spec.fields]
        self.keys = tuple(_key(field, schema, arrow) for field in spec.fields if not _is_void(field))

    def encode(self, values: Sequence[Any]) -> tuple[bytes | None, ...]:
        """One value a field of the spec, in Iceberg's single-value binary form, of Arrow scalars, one a key."""
        given = iter(values)
        return tuple(
            None if void else to_bytes(kind, next(given)) for kind, void in zip(self._types, self._void, strict=True)
        )

    def record(self, encoded: Encoded) -> Record:
        """The partition as manifests hold it.

        :raises ValueError: there are not as many values as the spec has fields.
        """
        return Record(*(from_bytes(kind, value) for kind, value in zip(self._types, encoded, strict=True)))


def _is_void(field: PartitionField) -> bool:
    return isinstance(field.transform, VoidTransform)


def _key(field: PartitionField, schema: Schema, arrow: pa.Schema) -> PartitionKey:
    source = schema.find_type(field.source_id)
    if isinstance(field.transform, UnknownTransform) or not field.transform.can_transform(source):
        raise Refused(
            f"rows cannot be divided by the partition field {field.name!r}: "
            f"the transform {field.transform} of {source} is not known",
            hint="leave out --to-current-spec",
        )
    transform: Callable[[pa.Array], pa.Array] | None = None
    if not isinstance(field.transform, IdentityTransform):
        transform = field.transform.pyarrow_transform(source)
    return PartitionKey(_place(field.source_id, arrow), transform, _stored(field.transform.result_type(source)))


def _place(field_id: int, fields: pa.Schema | pa.StructType) -> tuple[int, ...]:
    """Where a field is: its place among the fields, or that of a struct and its place in there."""
    found = _search(field_id, fields)
    if found is None:
        raise Refused(
            f"the partition column with id {field_id} lies in a list or a map", hint="leave out --to-current-spec"
        )
    return found


def _search(field_id: int, fields: pa.Schema | pa.StructType) -> tuple[int, ...] | None:
    for place, field in enumerate(fields):
        if int(field.metadata[FIELD_ID]) == field_id:
            return (place,)
        if pa.types.is_struct(field.type) and (deeper := _search(field_id, field.type)) is not None:
            return (place, *deeper)
    return None


def _stored(kind: IcebergType) -> pa.DataType:
    """The Arrow type of partition values; UUID as their 16 bytes."""
    arrow = arrow_type(kind)
    return arrow.storage_type if isinstance(arrow, pa.BaseExtensionType) else arrow


def to_bytes(kind: Any, value: pa.Scalar) -> bytes | None:
    """An Arrow scalar in Iceberg's single-value binary form; None for a null."""
    if not value.is_valid:
        return None
    if pa.types.is_temporal(value.type):
        value = value.cast(pa.int32() if value.type.bit_width == 32 else pa.int64())
    plain = value.as_py()
    return bytes(plain) if isinstance(kind, UUIDType) else conversions.to_bytes(kind, plain)


def from_bytes(kind: Any, value: bytes | None) -> Any:
    """A value as pyiceberg has it. Inverse of :func:`to_bytes`."""
    if value is None:
        return None
    return uuid.UUID(bytes=value) if isinstance(kind, UUIDType) else conversions.from_bytes(kind, value)
