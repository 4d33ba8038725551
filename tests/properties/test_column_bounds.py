"""Bounds contain what they bound, cut or not, in the order that Iceberg compares by."""

from __future__ import annotations

from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg import conversions
from pyiceberg.schema import Schema
from pyiceberg.types import BinaryType, DecimalType, NestedField, StringType

from lakeopt.model.scan import FIELD_ID
from lakeopt.tables.iceberg.commits.column_bounds import ordered, single_value, truncated
from lakeopt.tables.iceberg.commits.data_file import file_statistics

TEXTS = st.lists(
    st.text(alphabet=st.sampled_from("aé\ud7ff\ue000\uffff\U0010ffff🚀"), max_size=6) | st.text(max_size=6), min_size=1
)


@given(TEXTS, st.integers(1, 4))
def test_cut_text(texts: list[str], length: int) -> None:
    encoded = sorted(text.encode() for text in texts)
    lower, upper = truncated(StringType(), encoded[0], encoded[-1], length)
    assert lower <= encoded[0]
    assert len(lower.decode()) <= length
    if upper is None:
        assert max(texts)[:length] == "\U0010ffff" * length
    else:
        assert upper >= encoded[-1]
        assert len(upper.decode()) <= length


@given(st.lists(st.binary(max_size=6), min_size=1), st.integers(1, 4))
def test_cut_binary(values: list[bytes], length: int) -> None:
    values.sort()
    lower, upper = truncated(BinaryType(), values[0], values[-1], length)
    assert lower <= values[0]
    assert len(lower) <= length
    if upper is None:
        assert values[-1][:length] == b"\xff" * length
    else:
        assert upper >= values[-1]
        assert len(upper) <= length


@given(st.decimals(min_value=-(10**15), max_value=10**15, places=3, allow_nan=False))
def test_decimals_as_pyiceberg_has_them(value: Decimal) -> None:
    kind = DecimalType(20, 3)
    unscaled = int(value.scaleb(3))
    expected = conversions.to_bytes(kind, value)
    assert single_value(kind, unscaled) == expected
    assert single_value(kind, ordered(kind, unscaled.to_bytes(9, "big", signed=True))) == expected


@given(
    st.sampled_from([DecimalType(9, 2), DecimalType(18, 2), DecimalType(25, 2)]),
    st.lists(st.decimals(min_value=-1000, max_value=1000, places=2, allow_nan=False), min_size=1, max_size=8),
)
def test_decimals_of_both_signs_over_several_row_groups(kind: DecimalType, values: list[Decimal]) -> None:
    field = pa.field("d", pa.decimal128(kind.precision, kind.scale), metadata={FIELD_ID: b"1"})
    sink = pa.BufferOutputStream()
    rows = pa.table([pa.array(values, field.type)], schema=pa.schema([field]))
    pq.write_table(rows, sink, row_group_size=2, store_decimal_as_integer=True)
    footer = pq.read_metadata(pa.BufferReader(sink.getvalue()))
    found = file_statistics(footer, Schema(NestedField(1, "d", kind, required=False)), {}, {})
    assert conversions.from_bytes(kind, found.lower_bounds[1]) == min(values)
    assert conversions.from_bytes(kind, found.upper_bounds[1]) == max(values)
