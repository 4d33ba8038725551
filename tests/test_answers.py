from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeopt.workflows.answers import read_ordering, same_answer

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-3, 3),
            "s": st.none() | st.sampled_from(["", "a", "ü"]),
            "f": st.none() | st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf, 1e300]),
            "n": st.none() | st.fixed_dictionaries({"x": st.none() | st.integers(0, 1)}),
            "l": st.none() | st.lists(st.integers(0, 2), max_size=2),
        }
    ),
    max_size=12,
)
SCHEMA = pa.schema(
    [
        ("i", pa.int64()),
        ("s", pa.string()),
        ("f", pa.float64()),
        ("n", pa.struct([("x", pa.int32())])),
        ("l", pa.list_(pa.int64())),
    ]
)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


@settings(deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_the_same_rows_in_any_order_are_the_same_answer(rows: list[dict[str, Any]], rng: random.Random) -> None:
    shuffled = rng.sample(rows, len(rows))
    assert same_answer(table(rows), table(shuffled), "SELECT * FROM t") is True


@settings(deadline=None)
@given(ROWS.filter(bool), st.data())
def test_one_changed_lost_or_doubled_row_is_another_answer(rows: list[dict[str, Any]], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    changes: dict[str, Any] = {"i": 77, "s": "b", "f": 2.5, "n": {"x": 9}, "l": [9]}
    column = data.draw(st.sampled_from(sorted(changes)))
    changed = [dict(row) for row in rows]
    changed[at][column] = changes[column]
    assert same_answer(table(rows), table(changed), "SELECT * FROM t") is False
    assert same_answer(table(rows), table(rows[:at] + rows[at + 1 :]), "SELECT * FROM t") is False
    assert same_answer(table(rows), table([*rows, rows[at]]), "SELECT * FROM t") is False


@settings(deadline=None)
@given(st.lists(st.floats(-1e9, 1e9, allow_subnormal=False), min_size=1, max_size=20), st.randoms())
def test_sums_of_floats_in_another_order_are_equal_and_other_sums_are_not(values: list[float], rng: Any) -> None:
    terms = [abs(value) for value in values]
    shuffled = rng.sample(terms, len(terms))
    left, right = pa.table({"x": [sum(terms)]}), pa.table({"x": [sum(shuffled)]})
    assert same_answer(left, right, "SELECT sum(x) AS x FROM t") is True
    assert same_answer(left, pa.table({"x": [sum(terms) * (1 + 1e-6) + 1e-6]}), "SELECT sum(x) AS x FROM t") is False


@pytest.mark.parametrize(
    ("left", "right"),
    [([None], [0.0]), ([math.nan], [0.0]), ([None], [math.nan]), ([math.inf], [-math.inf]), ([1.0], [None])],
)
def test_null_nan_and_zero_are_three_things(left: list[float | None], right: list[float | None]) -> None:
    kind = pa.float64()
    before, after = (pa.table({"x": pa.array(values, kind)}) for values in (left, right))
    assert same_answer(before, after, "SELECT x FROM t") is False


LEFT = pa.table({"k": [1, 2, 2, 3], "v": ["a", "b", "c", "d"]})


@pytest.mark.parametrize(
    ("sql", "right", "same"),
    [
        # ties of the ORDER BY columns may swap, other rows may not
        ("SELECT k, v FROM t ORDER BY k", {"k": [1, 2, 2, 3], "v": ["a", "c", "b", "d"]}, True),
        ("SELECT k, v FROM t ORDER BY k, v", {"k": [1, 2, 2, 3], "v": ["a", "c", "b", "d"]}, False),
        ("SELECT k, v FROM t ORDER BY k", {"k": [2, 1, 2, 3], "v": ["b", "a", "c", "d"]}, False),
        # an order that is not among the outputs says nothing that could be checked
        ("SELECT k, v FROM t ORDER BY other", {"k": [2, 1, 2, 3], "v": ["b", "a", "c", "d"]}, True),
        # with LIMIT the rows that tie for the last place may be others
        ("SELECT k, v FROM t ORDER BY k LIMIT 4", {"k": [1, 2, 2, 3], "v": ["a", "b", "c", "other"]}, True),
        ("SELECT k, v FROM t ORDER BY k LIMIT 4", {"k": [1, 2, 2, 3], "v": ["a", "b", "other", "d"]}, False),
        ("SELECT k, v FROM t ORDER BY k LIMIT 4", {"k": [1, 2, 2, 4], "v": ["a", "b", "c", "d"]}, False),
        ("SELECT k, v FROM t ORDER BY k LIMIT 4 OFFSET 2", {"k": [1, 2, 2, 3], "v": ["x", "b", "c", "d"]}, True),
        ("SELECT k, v FROM t ORDER BY k LIMIT 4", {"k": [1, 2, 2, 3], "v": ["x", "b", "c", "d"]}, False),
        # any rows will do
        ("SELECT k, v FROM t LIMIT 4", {"k": [9, 9, 9, 9], "v": ["x", "x", "x", "x"]}, None),
        ("SELECT k, v FROM t ORDER BY other LIMIT 4", {"k": [9, 9, 9, 9], "v": ["x", "x", "x", "x"]}, None),
        # but not any number of them
        ("SELECT k, v FROM t LIMIT 4", {"k": [1], "v": ["a"]}, False),
        # other types are another answer
        ("SELECT k, v FROM t", {"k": ["1", "2", "2", "3"], "v": ["a", "b", "c", "d"]}, False),
    ],
)
def test_order_by_and_limit(sql: str, right: dict[str, list[Any]], same: bool | None) -> None:
    assert same_answer(LEFT, pa.table(right), sql) is same


@pytest.mark.parametrize(
    ("sql", "keys"),
    [
        ("SELECT a, b FROM t", ()),
        ("SELECT a, b FROM t ORDER BY 2 DESC", (1,)),
        ("SELECT x AS a, count(*) AS b FROM t GROUP BY 1 ORDER BY count(*), A", (1, 0)),
        ("SELECT a, b FROM t ORDER BY ALL", (0, 1)),
        ("SELECT a, b FROM t ORDER BY a + b", None),
        ("WITH c AS (SELECT 1) SELECT a, b FROM t UNION ALL SELECT a, b FROM t ORDER BY b", (1,)),
        ("(SELECT a, b FROM t ORDER BY b)", (1,)),
    ],
)
def test_order_by_terms_are_found_among_the_outputs(sql: str, keys: tuple[int, ...] | None) -> None:
    assert read_ordering(sql, ["a", "b"]).keys == keys


def test_decimals_dates_uuids_and_maps_compare_exactly() -> None:
    kinds = {
        "d": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2)),
        "u": pa.array([b"0" * 16, None], pa.uuid()),
        "m": pa.array([[("a", 1), ("b", 2)], None], pa.map_(pa.string(), pa.int64())),
        "e": pa.array([None, None], pa.null()),
    }
    turned = pa.table(kinds).take([1, 0])
    turned = turned.set_column(2, "m", pa.array([None, [("b", 2), ("a", 1)]], pa.map_(pa.string(), pa.int64())))
    assert same_answer(pa.table(kinds), turned, "SELECT * FROM t") is True
    other = turned.set_column(0, "d", pa.array([None, Decimal("1.11")], pa.decimal128(9, 2)))
    assert same_answer(pa.table(kinds), other, "SELECT * FROM t") is False
