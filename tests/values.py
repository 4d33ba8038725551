"""Hypothesis strategies: Iceberg types, as Arrow types with field ids at every depth, and values of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Context, Decimal
from itertools import count
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st
from scans import field

PRIMITIVES = [
    pa.bool_(),
    pa.int32(),
    pa.int64(),
    pa.float32(),
    pa.float64(),
    pa.decimal128(9, 2),
    pa.decimal128(18, 0),
    pa.decimal128(38, 4),
    pa.date32(),
    pa.time64("us"),
    pa.timestamp("us"),
    pa.timestamp("us", "UTC"),
    pa.string(),
    pa.binary(),
    pa.binary(5),
    pa.uuid(),
]


def kinds(ids: Iterator[int], depth: int = 2) -> st.SearchStrategy[pa.DataType]:
    """Any Iceberg type of at most this many levels of nesting."""
    plain = st.sampled_from(PRIMITIVES)
    if not depth:
        return plain
    # pyarrow builds no nested array with an extension type from Python values
    inner = st.deferred(lambda: kinds(ids, depth - 1).filter(lambda kind: kind != pa.uuid()))
    keys = st.sampled_from([pa.int32(), pa.string(), pa.decimal128(38, 4)])
    return st.one_of(
        plain,
        inner.map(lambda kind: pa.list_(field("element", kind, next(ids)))),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda kinds: pa.struct([field(f"f{i}", kind, next(ids)) for i, kind in enumerate(kinds)])
        ),
        st.tuples(keys, inner).map(
            lambda pair: pa.map_(field("key", pair[0], next(ids), False), field("value", pair[1], next(ids)))
        ),
    )


@st.composite
def schemas(draw: st.DrawFn, *, max_columns: int = 4, depth: int = 2) -> pa.Schema:
    ids = count(100)
    found = draw(st.lists(kinds(ids, depth), min_size=1, max_size=max_columns))
    return pa.schema([field(f"c{i}", kind, i + 1) for i, kind in enumerate(found)])


def values(kind: pa.DataType, *, null: bool = True) -> st.SearchStrategy[Any]:
    """Values of a type as ``pa.array`` takes them, now and then null."""
    found = _values(kind)
    return st.one_of(st.none(), found, found, found) if null else found


def _values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    if pa.types.is_struct(kind):
        return st.fixed_dictionaries({part.name: values(part.type) for part in kind})
    if pa.types.is_map(kind):
        pairs = st.tuples(values(kind.key_type, null=False), values(kind.item_type))
        return st.lists(pairs, max_size=3, unique_by=lambda pair: pair[0])
    if pa.types.is_list(kind):
        return st.lists(values(kind.value_type), max_size=3)
    if pa.types.is_decimal(kind):
        limit = 10**kind.precision - 1
        return st.integers(-limit, limit).map(lambda n: Decimal(n).scaleb(-kind.scale, _WIDE))
    if pa.types.is_timestamp(kind):
        zone = dt.UTC if kind.tz else None
        return st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30)).map(lambda t: t.replace(tzinfo=zone))
    if kind == pa.float32():
        return st.floats(width=32)
    plain: dict[pa.DataType, st.SearchStrategy[Any]] = {
        pa.bool_(): st.booleans(),
        pa.int32(): st.integers(-(2**31), 2**31 - 1),
        pa.int64(): st.integers(-(2**63), 2**63 - 1),
        pa.float64(): st.floats(),
        pa.date32(): st.dates(),
        pa.time64("us"): st.times(),
        pa.string(): st.text(max_size=20),
        pa.binary(): st.binary(max_size=20),
        pa.binary(5): st.binary(min_size=5, max_size=5),
        pa.uuid(): st.binary(min_size=16, max_size=16),
    }
    return plain[kind]


_WIDE = Context(prec=60)


@st.composite
def tables(draw: st.DrawFn, *, min_rows: int = 0, max_rows: int = 8, **options: Any) -> pa.Table:
    schema = draw(schemas(**options))
    rows = draw(st.integers(min_rows, max_rows))
    columns = [draw(st.lists(values(column.type), min_size=rows, max_size=rows)) for column in schema]
    arrays = [pa.array(column, part.type) for column, part in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
