"""Cut points and leading keys against plain Python on values of every sortable type."""

from __future__ import annotations

import datetime
import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.keys.cut_points import from_text, places, quantiles, to_text
from lakeopt.keys.leading_key import CurveKey, RangeKey

UTC = datetime.UTC
TYPES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.bool_(): st.booleans(),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats() | st.sampled_from([0.0, -0.0, float("nan"), float("inf")]),
    pa.decimal128(9, 2): st.decimals(-9999, 9999, places=2),
    pa.decimal128(38, 10): st.decimals(-(10**20), 10**20, places=10),
    pa.date32(): st.dates(),
    pa.time64("us"): st.times(),
    pa.timestamp("us"): st.datetimes(),
    pa.timestamp("us", "UTC"): st.datetimes(timezones=st.just(UTC)),
    pa.string(): st.text(max_size=4),
    pa.binary(): st.binary(max_size=4),
    pa.binary(3): st.binary(min_size=3, max_size=3),
    pa.uuid(): st.uuids().map(lambda value: value.bytes),
}


def rank(value: Any) -> Any:
    """The spec's order in Python's: -0.0 below 0.0, NaN above infinity."""
    if isinstance(value, float):
        if value != value:
            return (1 << 63) - 1
        bits = struct.unpack("<q", struct.pack("<d", value))[0]
        return bits if bits >= 0 else bits ^ ((1 << 63) - 1)
    return value.encode() if isinstance(value, str) else value


def array(values: list[Any], kind: pa.DataType) -> pa.Array:
    stored = pa.array(values, kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind)
    return kind.wrap_array(stored) if isinstance(kind, pa.BaseExtensionType) else stored


def not_above(value: Any, cut: Any) -> bool:
    return value is not None and (cut is None or rank(cut) <= rank(value))


@pytest.mark.parametrize("kind", TYPES, ids=str)
@given(data=st.data())
def test_places_are_counted_as_the_spec_compares(kind: pa.DataType, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | TYPES[kind], max_size=20))
    cuts = sorted(data.draw(st.lists(TYPES[kind], max_size=5)), key=rank)
    found = places(array(values, kind), array(cuts, kind)).tolist()
    assert found == [sum(not_above(value, cut) for cut in cuts) for value in values]


@pytest.mark.parametrize("kind", TYPES, ids=str)
@given(data=st.data())
def test_cut_points_survive_being_text(kind: pa.DataType, data: st.DataObject) -> None:
    cuts = array(data.draw(st.lists(TYPES[kind], max_size=5)), kind)
    back = from_text(to_text(cuts), kind)
    assert places(back, back).tolist() == places(cuts, back).tolist()
    assert to_text(back) == to_text(cuts)


@given(st.lists(st.none() | st.integers(0, 9), max_size=60), st.integers(1, 8))
def test_quantiles_divide_rows_evenly_but_for_equal_values(values: list[int | None], ranges: int) -> None:
    cuts = quantiles(pa.array(values, pa.int64()), ranges)
    assert cuts.to_pylist() == sorted(cuts.to_pylist())
    rows = sorted(value for value in values if value is not None)
    assert len(cuts) == (ranges - 1 if rows else 0)
    for number, cut in enumerate(cuts.to_pylist(), 1):
        below = sum(value < cut for value in rows)
        assert below <= number * len(rows) // ranges < below + rows.count(cut)


PAIRS = st.tuples(st.none() | st.text("abc", max_size=2), st.none() | st.integers(-3, 3))


@given(st.lists(PAIRS, max_size=20), st.lists(PAIRS, max_size=6))
def test_a_bucket_is_the_number_of_pairs_that_are_not_above(rows: list[Any], cuts: list[Any]) -> None:
    def key(row: Any) -> tuple[Any, ...]:
        return (row[0] is not None, row[0] or "", row[1] is not None, row[1] or 0)

    cuts = sorted(cuts, key=key)
    kinds = (pa.string(), pa.int64())
    columns = [pa.array([row[place] for row in rows], kind) for place, kind in enumerate(kinds)]
    bounds = tuple(pa.array([cut[place] for cut in cuts], kind) for place, kind in enumerate(kinds))
    found = RangeKey(("a", "b"), bounds)(columns).to_pylist()
    assert found == [sum(key(cut) <= key(row) for cut in cuts) for row in rows]


@given(st.lists(st.tuples(st.none() | st.floats(), st.none() | st.text(max_size=2)), min_size=1, max_size=30))
def test_a_curve_key_does_not_depend_on_the_batch(rows: list[tuple[float | None, str | None]]) -> None:
    columns = [pa.array([row[0] for row in rows], pa.float64()), pa.array([row[1] for row in rows], pa.string())]
    for curve in ("z-order", "hilbert"):
        key = CurveKey(curve, ("x", "y"), tuple(quantiles(column, 8) for column in columns))
        whole = key(columns).to_pylist()
        assert whole == [key([column.slice(row, 1) for column in columns]).to_pylist()[0] for row in range(len(rows))]
