"""Partition values over Arrow are those of pyiceberg's own transforms, value by value."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import parse_transform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from lakeopt.parquet.partition_keys import partition_batch
from lakeopt.tables.iceberg.arrow_schema import arrow_schema
from lakeopt.tables.iceberg.repartition import PartitionDivision

#: Years 1 to 9999, as Python's dates have them: days and microseconds since 1970.
DAYS = st.integers(-719_162, 2_932_896)
MICROS = st.integers(-719_162 * 86_400_000_000, 2_932_897 * 86_400_000_000 - 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
#: Values as Iceberg holds them inside: integers for dates and times.
VALUES: dict[IcebergType, st.SearchStrategy[Any]] = {
    BooleanType(): st.booleans(),
    IntegerType(): st.integers(-(2**31), 2**31 - 1),
    LongType(): st.integers(-(2**63), 2**63 - 1),
    FloatType(): st.floats(width=32),
    DoubleType(): st.floats(),
    DecimalType(9, 2): st.integers(-(10**9) + 1, 10**9 - 1).map(lambda n: Decimal(n).scaleb(-2)),
    DecimalType(20, 3): st.integers(-(10**20) + 1, 10**20 - 1).map(lambda n: Decimal(f"{n}e-3")),
    DateType(): DAYS,
    TimeType(): st.integers(0, 86_400_000_000 - 1),
    TimestampType(): MICROS,
    TimestamptzType(): MICROS,
    StringType(): TEXT,
    UUIDType(): st.uuids(),
    FixedType(5): st.binary(min_size=5, max_size=5),
    BinaryType(): st.binary(max_size=12),
}
TRANSFORMS = ["identity", "void", "bucket[7]", "truncate[3]"]
CASES = [
    (kind, text)
    for kind in VALUES
    for text in [*TRANSFORMS, "year", "month", "day", "hour"]
    if parse_transform(text).can_transform(kind)
]


def stored(kind: IcebergType, value: Any) -> Any:
    """As pyarrow takes the value for the column."""
    return value.bytes if isinstance(value, uuid.UUID) else value


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    return bool(left == right) and type(left) is type(right)


@pytest.mark.parametrize(("kind", "text"), CASES, ids=lambda part: str(part))
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_values_are_those_of_the_plain_transform(kind: IcebergType, text: str, data: st.DataObject) -> None:
    values, nested = VALUES[kind], data.draw(st.booleans())
    # Truncating the least numbers leads below the type, and readers differ on what is there.
    if text.startswith("truncate") and isinstance(kind, (IntegerType, LongType)):
        values = values.filter(lambda n: n >= (-(2**31) if isinstance(kind, IntegerType) else -(2**63)) + 1000)
    if text.startswith("truncate") and isinstance(kind, DecimalType):
        values = values.filter(lambda n: n > -(10 ** (kind.precision - kind.scale)) + 10)
    drawn = data.draw(st.lists(st.none() | values, min_size=1, max_size=8))
    leaf = NestedField(2, "x", kind, required=False)
    schema = Schema(
        NestedField(1, "n", LongType(), required=False),
        NestedField(3, "s", StructType(NestedField(4, "o", StringType()), leaf), required=False) if nested else leaf,
    )
    spec = PartitionSpec(PartitionField(2, 1000, parse_transform(text), "p"))
    arrow = arrow_schema(schema)
    division = PartitionDivision(spec, schema, arrow)
    column = arrow.field(1).type.field(1) if nested else arrow.field(1)
    storage = column.type.storage_type if isinstance(column.type, pa.BaseExtensionType) else column.type
    array = pa.array([stored(kind, value) for value in drawn], storage)
    array = pa.ExtensionArray.from_storage(column.type, array) if storage is not column.type else array
    if nested:
        absent = pa.array([value is None for value in drawn])
        array = pa.StructArray.from_arrays([pa.nulls(len(drawn), pa.string()), array], names=["o", "x"], mask=absent)
    batch = pa.RecordBatch.from_arrays([pa.nulls(len(drawn), pa.int64()), array], names=["n", "c"])
    found = partition_batch(batch, division.keys, [key.source[0] for key in division.keys])
    plain = parse_transform(text).transform(kind)
    for row, value in enumerate(drawn):
        record = division.record(division.encode([column[row] for column in found.columns]))
        expected = None if value is None else plain(value)
        assert same(record[0], expected), (value, record[0], expected)


def test_known_values_of_the_specification() -> None:
    """The hash values of appendix B, by their buckets, and days before 1970."""
    hashes = {
        IntegerType(): (34, 2017239379),
        LongType(): (34, 2017239379),
        DecimalType(9, 2): (Decimal("14.20"), -500754589),
        DateType(): ((dt.date(2017, 11, 16) - dt.date(1970, 1, 1)).days, -653330422),
        StringType(): ("iceberg", 1210000089),
        UUIDType(): (uuid.UUID("f79c3e09-677c-4bbd-a479-3f349cb785e7"), 1488055340),
        BinaryType(): (b"\x00\x01\x02\x03", -188683207),
    }
    for kind, (value, hashed) in hashes.items():
        schema = Schema(NestedField(1, "x", kind, required=False))
        spec = PartitionSpec(PartitionField(1, 1000, parse_transform("bucket[1000]"), "p"))
        division = PartitionDivision(spec, schema, arrow_schema(schema))
        arrow = arrow_schema(schema).field(0).type
        storage = arrow.storage_type if isinstance(arrow, pa.BaseExtensionType) else arrow
        batch = pa.RecordBatch.from_arrays([pa.array([stored(kind, value)], storage)], names=["x"])
        found = partition_batch(batch, division.keys, [0])
        assert found.column(0).to_pylist() == [(hashed & 0x7FFFFFFF) % 1000], kind
