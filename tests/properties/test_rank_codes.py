"""Rank codes compare as Iceberg compares the values, and sorting by them is a stable lexicographic sort."""

from __future__ import annotations

import math
import struct
import uuid
from datetime import date, datetime, time
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.analysis.rank_codes import RankCodes, is_sortable, rank_codes, sorted_rows
from lakeopt.keys.comparable import comparable_column

VALUES = {
    "boolean": (pa.bool_(), st.booleans()),
    "int": (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    "long": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float": (pa.float32(), st.floats(width=32)),
    "double": (pa.float64(), st.floats()),
    "decimal": (pa.decimal128(12, 3), st.decimals(-(10**8), 10**8, places=3)),
    "date": (pa.date32(), st.dates()),
    "time": (pa.time64("us"), st.times()),
    "timestamp": (pa.timestamp("us"), st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))),
    "string": (pa.string(), st.text()),
    "binary": (pa.binary(), st.binary()),
    "fixed": (pa.binary(4), st.binary(min_size=4, max_size=4)),
    "uuid": (pa.uuid(), st.uuids()),
}


def iceberg_key(value: object) -> object:
    """Plain reading of the spec: -0.0 before 0.0, NaN largest, text and bytes by unsigned bytes, null first."""
    if value is None:
        return (0, 0)
    if isinstance(value, float):
        if math.isnan(value):
            return (1, 1, 0.0, 0.0)
        return (1, 0, value, math.copysign(1.0, value))
    if isinstance(value, str):
        return (1, value.encode())
    if isinstance(value, uuid.UUID):
        return (1, value.bytes)
    assert isinstance(value, bool | int | Decimal | date | datetime | time | bytes)
    return (1, value)


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_codes_are_dense_ranks(kind: str, data: st.DataObject) -> None:
    arrow_type, strategy = VALUES[kind]
    values = data.draw(st.lists(st.none() | strategy, max_size=40))
    cut = data.draw(st.integers(0, len(values)))
    column = pa.chunked_array(
        [
            pa.array([v.bytes if isinstance(v, uuid.UUID) else v for v in part], storage(arrow_type))
            for part in (values[:cut], values[cut:])
        ]
    )
    if arrow_type == pa.uuid():
        column = pa.chunked_array([pa.ExtensionArray.from_storage(arrow_type, chunk) for chunk in column.chunks])
    ranks = rank_codes(column)
    keys = [iceberg_key(value) for value in values]
    distinct = sorted(set(keys))
    assert ranks.codes.tolist() == [distinct.index(key) for key in keys]
    assert (ranks.cardinality, ranks.has_nulls) == (len(distinct), None in values)


def storage(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


@given(
    st.lists(st.integers(0, 56), min_size=0, max_size=4).flatmap(
        lambda bits: st.integers(1, 50).flatmap(
            lambda count: st.tuples(
                st.just(count),
                st.tuples(*(st.lists(st.integers(0, 2**b), min_size=count, max_size=count) for b in bits)),
            )
        )
    )
)
def test_sorted_rows_is_a_stable_sort(case: tuple[int, tuple[list[int], ...]]) -> None:
    count, columns = case
    # Sparse codes with a huge cardinality stand for keys that do not fit 64 bits together.
    keys = [RankCodes(np.array(values, np.uint64), max(values) + 1, False) for values in columns]
    expected = sorted(range(count), key=lambda row: [values[row] for values in columns])
    assert sorted_rows(keys, count).tolist() == expected


def test_nan_payloads_are_one_value() -> None:
    strange = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000123))[0]
    assert rank_codes(pa.chunked_array([[strange, math.nan, math.inf]])).codes.tolist() == [1, 1, 0]


def test_columns_without_values() -> None:
    assert rank_codes(pa.chunked_array([pa.array([None, None], pa.string())])).codes.tolist() == [0, 0]
    assert rank_codes(pa.chunked_array([pa.nulls(2)])).cardinality == 1
    assert rank_codes(pa.chunked_array([], pa.int64())).cardinality == 0


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int32()), pa.map_(pa.string(), pa.int32()), pa.struct([("a", pa.int32())])]
)
def test_nested_types_cannot_be_keys(kind: pa.DataType) -> None:
    assert not is_sortable(kind)


def test_half_floats_and_slices() -> None:
    column = pa.chunked_array([pa.array([1.5, None, -0.0], pa.float32()).slice(1)])
    assert comparable_column(column).to_pylist() == [None, -1]
