"""Iceberg schemas in Arrow types, with field ids at every depth.

The types are those that pyarrow writes as the Parquet types of the Iceberg spec: ``uuid`` is Arrow's canonical
UUID extension (16 fixed bytes with Parquet's UUID annotation; plain 16 bytes would lose it), ``fixed(n)`` fixed
binary, ``string`` and ``binary`` the 32-bit-offset forms, ``timestamptz`` a timestamp in UTC.
"""

from __future__ import annotations

import pyarrow as pa
from pyiceberg.schema import Schema, SchemaVisitorPerPrimitiveType, visit
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    GeographyType,
    GeometryType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampNanoType,
    TimestampType,
    TimestamptzNanoType,
    TimestamptzType,
    TimeType,
    UnknownType,
    UUIDType,
)

from lakeopt.model.scan import FIELD_ID


def arrow_schema(schema: Schema) -> pa.Schema:
    """Arrow schema of an Iceberg schema; every field at every depth carries its id as ``PARQUET:field_id``."""
    return pa.schema(list(visit(schema, _ToArrow())))


def arrow_type(kind: IcebergType) -> pa.DataType:
    """Arrow type of an Iceberg type."""
    return visit(Schema(NestedField(1, "x", kind)), _ToArrow())[0].type


class _ToArrow(SchemaVisitorPerPrimitiveType[pa.DataType]):
    def schema(self, _: Schema, struct_result: pa.DataType) -> pa.DataType:
        return struct_result

    def struct(self, _: StructType, field_results: list[pa.DataType]) -> pa.DataType:
        return pa.struct(field_results)

    def field(self, field: NestedField, field_result: pa.DataType) -> pa.Field:
        return pa.field(field.name, field_result, field.optional, {FIELD_ID: str(field.field_id).encode()})

    def list(self, list_type: ListType, element_result: pa.DataType) -> pa.DataType:
        return pa.list_(self.field(list_type.element_field, element_result))

    def map(self, map_type: MapType, key_result: pa.DataType, value_result: pa.DataType) -> pa.DataType:
        return pa.map_(self.field(map_type.key_field, key_result), self.field(map_type.value_field, value_result))

    def visit_boolean(self, _: BooleanType) -> pa.DataType:
        return pa.bool_()

    def visit_integer(self, _: IntegerType) -> pa.DataType:
        return pa.int32()

    def visit_long(self, _: LongType) -> pa.DataType:
        return pa.int64()

    def visit_float(self, _: FloatType) -> pa.DataType:
        return pa.float32()

    def visit_double(self, _: DoubleType) -> pa.DataType:
        return pa.float64()

    def visit_decimal(self, kind: DecimalType) -> pa.DataType:
        return pa.decimal128(kind.precision, kind.scale)

    def visit_date(self, _: DateType) -> pa.DataType:
        return pa.date32()

    def visit_time(self, _: TimeType) -> pa.DataType:
        return pa.time64("us")

    def visit_timestamp(self, _: TimestampType) -> pa.DataType:
        return pa.timestamp("us")

    def visit_timestamptz(self, _: TimestamptzType) -> pa.DataType:
        return pa.timestamp("us", tz="UTC")

    def visit_timestamp_ns(self, _: TimestampNanoType) -> pa.DataType:
        return pa.timestamp("ns")

    def visit_timestamptz_ns(self, _: TimestamptzNanoType) -> pa.DataType:
        return pa.timestamp("ns", tz="UTC")

    def visit_string(self, _: StringType) -> pa.DataType:
        return pa.string()

    def visit_uuid(self, _: UUIDType) -> pa.DataType:
        return pa.uuid()

    def visit_fixed(self, kind: FixedType) -> pa.DataType:
        return pa.binary(len(kind))

    def visit_binary(self, _: BinaryType) -> pa.DataType:
        return pa.binary()

    def visit_geometry(self, _: GeometryType) -> pa.DataType:
        return pa.binary()

    def visit_geography(self, _: GeographyType) -> pa.DataType:
        return pa.binary()

    def visit_unknown(self, _: UnknownType) -> pa.DataType:
        return pa.null()
