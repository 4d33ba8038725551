"""Conditions read from SQL, and the pages that they touch against brute force over every row."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeopt.analysis.predicates import Condition, Interval, readings
from lakeopt.analysis.pruning import PagePruning
from lakeopt.analysis.rank_codes import rank_codes

COLUMNS = ["carrier", "month", "at"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("carrier = 'UA'", [Condition("carrier", (Interval("UA", "UA"),))]),
        ("'UA' = T.Carrier", [Condition("carrier", (Interval("UA", "UA"),))]),
        ("month < 3", [Condition("month", (Interval(None, "3", True, False),))]),
        ("-3 <= month", [Condition("month", (Interval("-3", None),))]),
        ("month BETWEEN 2 AND 4", [Condition("month", (Interval("2", "4"),))]),
        ("month IN (1, 7)", [Condition("month", (Interval("1", "1"), Interval("7", "7")))]),
        ("at >= DATE '2013-01-01'", [Condition("at", (Interval("2013-01-01", None),))]),
        (
            "(carrier = 'UA' AND (month = 1)) AND at < 5",
            [
                Condition("carrier", (Interval("UA", "UA"),)),
                Condition("month", (Interval("1", "1"),)),
                Condition("at", (Interval(None, "5", True, False),)),
            ],
        ),
        ("carrier = 'UA' OR month = 1", []),
        ("NOT carrier = 'UA'", []),
        ("month NOT IN (1, 7)", []),
        ("abs(month) = 1", []),
        ("month = at", []),
        ("month IN (SELECT 1)", []),
        ("month + 1 = 2", []),
        ("carrier <> 'UA'", []),
        ("elsewhere = 1", []),
    ],
)
def test_top_level_conjuncts_are_read(where: str, expected: list[Condition]) -> None:
    (reading,) = readings(f"SELECT count(*) FROM t WHERE {where}", COLUMNS)
    assert sorted(reading, key=str) == sorted(expected, key=str)


def test_each_reading_of_a_table_counts_for_itself() -> None:
    both = readings("WITH june AS (SELECT * FROM t WHERE month = 6) SELECT * FROM june JOIN t ON true", COLUMNS)
    assert sorted(map(len, both)) == [0, 1]


def test_an_outer_join_binds_nothing() -> None:
    found = readings("SELECT * FROM t a LEFT JOIN t b ON a.at = b.at WHERE b.month = 1", COLUMNS)
    assert list(map(len, found)) == [0, 0]


def values(kind: str) -> st.SearchStrategy[object]:
    return {
        "bigint": st.integers(-5, 5),
        "double": st.sampled_from([-2.5, -1.0, 0.0, 1.0, 2.5]),
        "varchar": st.sampled_from(["", "a", "ab", "b", "é"]),
        "date": st.integers(0, 6).map(lambda days: date(2013, 1, 1) + timedelta(days)),
        "timestamp": st.integers(0, 6).map(lambda hours: datetime(2013, 1, 1) + timedelta(hours=hours)),
        "decimal(9,2)": st.integers(-5, 5).map(lambda cents: Decimal(cents) / 4),
    }[kind]


ARROW = {
    "bigint": pa.int64(),
    "double": pa.float64(),
    "varchar": pa.string(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "decimal(9,2)": pa.decimal128(9, 2),
}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(ARROW)), page_rows=st.integers(1, 5))
def test_touched_pages_hold_every_matching_row(data: st.DataObject, kind: str, page_rows: int) -> None:
    drawn = data.draw(st.lists(st.none() | values(kind), min_size=1, max_size=25))
    rows = pa.table({"x": pa.array(drawn, ARROW[kind])})
    low, high = (data.draw(values(kind)) for _ in range(2))
    operator = data.draw(st.sampled_from(["=", "<", "<=", ">", ">=", "between", "in"]))
    literal = [f"'{v}'" if kind in ("varchar", "date", "timestamp") else str(v) for v in (low, high)]
    where = {"between": f"x BETWEEN {literal[0]} AND {literal[1]}", "in": f"x IN ({literal[0]}, {literal[1]})"}.get(
        operator, f"x {operator} {literal[0]}"
    )
    codes = {"x": rank_codes(rows["x"])}
    pruning = PagePruning(
        rows,
        codes,
        [(1.0, readings(f"SELECT * FROM t WHERE {where}", ["x"]))],
        partition=np.zeros(rows.num_rows, np.uint8),
        page_rows=page_rows,
    )
    order = np.argsort(codes["x"].codes, kind="stable")
    numbered = rows.take(pa.array(order)).append_column("page", pa.array(np.arange(rows.num_rows) // page_rows))
    with duckdb.connect() as connection:
        connection.register("t", numbered)
        matching = {page for (page,) in connection.execute(f"SELECT DISTINCT page FROM t WHERE {where}").fetchall()}
    pages = -(-rows.num_rows // page_rows)
    touched = round(pruning.scanned_ratio(order) * pages)
    assert len(matching) <= touched
    if operator not in ("in",):  # in sorted pages an interval touches its own pages, and at most one that straddles it
        assert touched <= len(matching) + 1


def pruned(rows: pa.Table, sql: str, *, order: str | None = None, page_rows: int = 10) -> float:
    codes = {name: rank_codes(rows[name]) for name in rows.column_names}
    pruning = PagePruning(
        rows,
        codes,
        [(1.0, readings(sql, rows.column_names))],
        partition=np.zeros(rows.num_rows, np.uint8),
        page_rows=page_rows,
    )
    identity = np.arange(rows.num_rows)
    return pruning.scanned_ratio(identity if order is None else np.argsort(codes[order].codes, kind="stable"))


def test_an_order_prunes_only_its_own_filters() -> None:
    draw = np.random.default_rng(1)
    rows = pa.table({"device": draw.integers(0, 100, 1000), "at": np.arange(1000)})
    sql = "SELECT count(*) FROM t WHERE device = 7"
    assert pruned(rows, sql, page_rows=50) > 0.9
    assert pruned(rows, sql, order="device", page_rows=50) <= 0.1
    assert pruned(rows, "SELECT count(*) FROM t", order="device") == 1.0


def test_what_no_row_holds_is_found_between_its_neighbours() -> None:
    rows = pa.table({"x": [0, 2] * 50})
    assert pruned(rows, "SELECT 1 FROM t WHERE x = 1") == 1.0  # every page spans it
    assert pruned(rows, "SELECT 1 FROM t WHERE x = 1", order="x") == 0.0
    assert pruned(rows, "SELECT 1 FROM t WHERE x = 9") == 0.0


def test_a_literal_of_another_type_leaves_nothing_out() -> None:
    rows = pa.table({"x": list(range(100))})
    assert pruned(rows, "SELECT 1 FROM t WHERE x = 'many'") == 1.0


def test_weights_count() -> None:
    rows = pa.table({"x": list(range(100))})
    pruning = PagePruning(
        rows,
        {"x": rank_codes(rows["x"])},
        [(3.0, readings("SELECT 1 FROM t WHERE x = 1", ["x"])), (1.0, readings("SELECT 1 FROM t", ["x"]))],
        partition=np.zeros(100, np.uint8),
        page_rows=10,
    )
    assert pruning.scanned_ratio(np.arange(100)) == pytest.approx((3 * 0.1 + 1) / 4)
    assert pruning.columns == ["x"]


def test_timestamps_with_a_zone() -> None:
    at = pa.array([datetime(2013, 1, 1) + timedelta(hours=h) for h in range(100)], pa.timestamp("us", "UTC"))
    rows = pa.table({"at": at})
    assert pruned(rows, "SELECT 1 FROM t WHERE at < TIMESTAMP '2013-01-01 10:00:00'") == 0.1


def test_of_columns_that_count_alike_the_first_asked_for_stands_first() -> None:
    """However text is hashed, and however many conditions a query has on one of them."""
    names = [f"c{number}" for number in range(9)]
    rows = pa.table({name: [1, 2] for name in names})
    codes = {name: rank_codes(rows[name]) for name in names}
    sql = "SELECT 1 FROM t WHERE " + " AND ".join(f"{name} = 1" for name in reversed(names)) + " AND c0 <= 2"
    asked = [(1.0, readings(sql, names))]
    pruning = PagePruning(rows, codes, asked, partition=np.zeros(2, np.uint8), page_rows=10)
    assert pruning.columns == names[::-1]
