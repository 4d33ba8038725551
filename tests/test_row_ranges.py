"""Ranges of rows: even, true to the order, and the same for equal rows."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.keys.row_ranges import RowRanges, divided_ranges, even_ranges, row_order

ORDERS = [(True, True), (True, False), (False, True), (False, False)]
VALUES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int": (pa.int64(), st.none() | st.integers(-3, 3)),
    "text": (pa.string(), st.none() | st.text("ab\u00e9", max_size=3)),
    "float": (pa.float64(), st.none() | st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1.5])),
    "bool": (pa.bool_(), st.none() | st.booleans()),
    "bytes": (pa.binary(), st.none() | st.binary(max_size=2)),
}


def key(value: Any, ascending: bool, nulls_first: bool) -> tuple[Any, ...]:
    """A value as the spec compares it, in plain Python."""
    if value is None:
        return (0 if nulls_first else 2,)
    if isinstance(value, float):
        value = (1, 0.0, 0.0) if math.isnan(value) else (0, value, math.copysign(1, value))
    if isinstance(value, str):
        value = value.encode()
    return (1, value if ascending else Turned(value))


class Turned:
    """Compares the other way round."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: Turned) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Turned) and bool(self.value == other.value)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[pa.Array], list[tuple[bool, bool]]]:
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3))
    count = draw(st.integers(1, 30))
    columns = [
        pa.array(draw(st.lists(VALUES[kind][1], min_size=count, max_size=count)), VALUES[kind][0]) for kind in kinds
    ]
    return columns, [draw(st.sampled_from(ORDERS)) for _ in kinds]


def plain(columns: list[pa.Array], order: list[tuple[bool, bool]]) -> list[tuple[Any, ...]]:
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return [tuple(key(value, *how) for value, how in zip(row, order, strict=True)) for row in rows]


@given(tables(), st.integers(1, 8))
def test_ranges_keep_the_order_and_cuts_begin_theirs(
    made: tuple[list[pa.Array], list[tuple[bool, bool]]], count: int
) -> None:
    columns, order = made
    keys = plain(columns, order)
    ranges = even_ranges(columns, order, count)
    places = ranges(columns).tolist()
    by_place = sorted(zip(places, keys, strict=True), key=lambda pair: pair[0])
    for (one, low), (two, high) in itertools.pairwise(by_place):
        assert not (one < two and high < low)
        assert one == two or low != high
    cuts = plain(list(ranges.cuts), order)
    assert places == [sum(not row < cut for cut in cuts) for row in keys]
    assert [keys[n] for n in row_order(columns, order)] == sorted(keys)


def test_a_value_that_most_rows_share_is_spread_by_the_columns_behind_it() -> None:
    generator = np.random.default_rng(7)
    hot = generator.random(10_000) < 0.9
    columns = [pa.array(np.where(hot, 5, generator.integers(0, 100, 10_000))), pa.array(np.arange(10_000))]
    ranges = even_ranges(columns, [(True, True)] * 2, 8)
    assert set(Counter(ranges(columns).tolist()).values()) == {1250}


def test_one_range_has_no_cut_and_takes_everything() -> None:
    ranges = even_ranges([pa.array([1, 2])], [(True, True)], 1)
    assert ranges([pa.array([None, 7])]).tolist() == [0, 0]


def test_numbers_never_share_a_range_even_where_the_sample_lacks_one() -> None:
    generator = np.random.default_rng(8)
    numbers = np.where(generator.random(4000) < 0.7, 3, generator.integers(0, 9, 4000))
    columns = [pa.array(numbers), pa.array(generator.random(4000))]
    sample = [column.take(pa.array(np.arange(0, 4000, 40))) for column in columns]
    ranges = divided_ranges(sample, [(True, True)] * 2, 9, 0.1)
    places = ranges(columns)
    assert all(len(set(numbers[places == place].tolist())) == 1 for place in set(places.tolist()))
    assert len(set(places[numbers == 3].tolist())) >= 6
    assert isinstance(ranges, RowRanges)
    assert (np.sort(places) == places[np.lexsort((columns[1], numbers))]).all()
