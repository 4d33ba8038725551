"""Every Iceberg type in Arrow, and through a Parquet file and back."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg import types as t
from pyiceberg.io.pyarrow import pyarrow_to_schema
from pyiceberg.schema import Schema

from lakeopt.model.scan import FIELD_ID
from lakeopt.tables.iceberg.arrow_schema import arrow_schema, arrow_type

MOMENT = dt.datetime(2026, 11, 24, 1, 2, 3, 456789)
#: Iceberg type, Arrow type, a value, physical and logical Parquet type as the spec's appendix A asks.
PRIMITIVES: list[tuple[t.IcebergType, pa.DataType, Any, str, str]] = [
    (t.BooleanType(), pa.bool_(), True, "BOOLEAN", "None"),
    (t.IntegerType(), pa.int32(), -5, "INT32", "None"),
    (t.LongType(), pa.int64(), 2**40, "INT64", "None"),
    (t.FloatType(), pa.float32(), 1.5, "FLOAT", "None"),
    (t.DoubleType(), pa.float64(), 1.1, "DOUBLE", "None"),
    (t.DecimalType(9, 2), pa.decimal128(9, 2), Decimal("1.25"), "INT32", "Decimal(precision=9, scale=2)"),
    (t.DecimalType(18, 3), pa.decimal128(18, 3), Decimal("1.250"), "INT64", "Decimal(precision=18, scale=3)"),
    (t.DecimalType(38, 10), pa.decimal128(38, 10), Decimal("1.25"), "FIXED_LEN_BYTE_ARRAY", "Decimal(precision=38"),
    (t.DateType(), pa.date32(), MOMENT.date(), "INT32", "Date"),
    (t.TimeType(), pa.time64("us"), MOMENT.time(), "INT64", "Time(isAdjustedToUTC=false, timeUnit=micro"),
    (t.TimestampType(), pa.timestamp("us"), MOMENT, "INT64", "Timestamp(isAdjustedToUTC=false, timeUnit=micro"),
    (
        t.TimestamptzType(),
        pa.timestamp("us", "UTC"),
        MOMENT.replace(tzinfo=dt.UTC),
        "INT64",
        "Timestamp(isAdjustedToUTC=true, timeUnit=micro",
    ),
    (t.TimestampNanoType(), pa.timestamp("ns"), 1, "INT64", "Timestamp(isAdjustedToUTC=false, timeUnit=nano"),
    (t.TimestamptzNanoType(), pa.timestamp("ns", "UTC"), 1, "INT64", "Timestamp(isAdjustedToUTC=true, timeUnit=nano"),
    (t.StringType(), pa.string(), "été 🛫", "BYTE_ARRAY", "String"),
    (t.UUIDType(), pa.uuid(), uuid.UUID(int=7), "FIXED_LEN_BYTE_ARRAY", "UUID"),
    (t.FixedType(5), pa.binary(5), b"12345", "FIXED_LEN_BYTE_ARRAY", "None"),
    (t.BinaryType(), pa.binary(), b"\0\xff", "BYTE_ARRAY", "None"),
]


@pytest.mark.parametrize(("kind", "arrow", "value", "physical", "logical"), PRIMITIVES, ids=lambda v: str(v)[:20])
def test_each_type_is_written_as_the_spec_asks_and_read_back(
    kind: t.IcebergType, arrow: pa.DataType, value: Any, physical: str, logical: str, tmp_path: Path
) -> None:
    assert arrow_type(kind) == arrow
    schema = arrow_schema(Schema(t.NestedField(7, "x", kind, required=False)))
    rows = pa.table([pa.array([value, None], arrow)], schema=schema)
    pq.write_table(rows, tmp_path / "x.parquet", store_decimal_as_integer=True)
    column = pq.ParquetFile(tmp_path / "x.parquet").schema.column(0)
    assert column.physical_type == physical
    assert str(column.logical_type).startswith(logical)
    assert pq.read_table(tmp_path / "x.parquet", schema=schema).equals(rows)


def test_geometry_is_its_bytes_and_unknown_is_null() -> None:
    assert arrow_type(t.GeometryType()) == arrow_type(t.GeographyType()) == pa.binary()
    assert arrow_type(t.UnknownType()) == pa.null()


NAMES = st.text(min_size=1, max_size=8)


def nested(inner: st.SearchStrategy[t.IcebergType]) -> st.SearchStrategy[t.IcebergType]:
    structs = st.lists(st.tuples(NAMES, inner, st.booleans()), min_size=1, max_size=3, unique_by=lambda f: f[0]).map(
        lambda fields: t.StructType(*[t.NestedField(0, name, kind, required) for name, kind, required in fields])
    )
    lists = st.builds(lambda kind, required: t.ListType(0, kind, required), inner, st.booleans())
    maps = st.builds(lambda kind, required: t.MapType(0, t.StringType(), 0, kind, required), inner, st.booleans())
    return st.one_of(structs, lists, maps)


TYPES = st.recursive(st.sampled_from([kind for kind, *_ in PRIMITIVES]), nested, max_leaves=6)


def numbered(kind: t.IcebergType, ids: Any) -> t.IcebergType:
    if isinstance(kind, t.StructType):
        return t.StructType(
            *[t.NestedField(next(ids), f.name, numbered(f.field_type, ids), f.required) for f in kind.fields]
        )
    if isinstance(kind, t.ListType):
        return t.ListType(next(ids), numbered(kind.element_type, ids), kind.element_required)
    if isinstance(kind, t.MapType):
        value = numbered(kind.value_type, ids)
        return t.MapType(next(ids), kind.key_type, next(ids), value, kind.value_required)
    return kind


@given(st.lists(TYPES, min_size=1, max_size=4))
def test_ids_and_nullability_are_kept_at_every_depth(kinds: list[t.IcebergType]) -> None:
    ids = iter(range(1, 1000))
    schema = Schema(*[t.NestedField(next(ids), f"c{i}", numbered(kind, ids), False) for i, kind in enumerate(kinds)])
    made = arrow_schema(schema)
    assert pyarrow_to_schema(made, format_version=3) == schema
    assert all(FIELD_ID in field.metadata for field in made)
