from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.expressions.parser import parse
from pyiceberg.expressions.visitors import expression_evaluator
from pyiceberg.io.pyarrow import _pyarrow_to_schema_without_ids
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.typedef import Record

from lakeopt.model.workload import Query
from lakeopt.workflows.pushdown import file_filter

ARROW = pa.schema(
    [
        ("i", pa.int32()),
        ("l", pa.int64()),
        ("s", pa.string()),
        ("b", pa.bool_()),
        ("f", pa.float64()),
        ("n", pa.decimal128(9, 2)),
        ("d", pa.date32()),
        ("ts", pa.timestamp("us")),
        ("tz", pa.timestamp("us", tz="UTC")),
        ("select", pa.int32()),
    ]
)
SCHEMA: Schema = assign_fresh_schema_ids(_pyarrow_to_schema_without_ids(ARROW))
TYPES = {field.name: str(field.field_type) for field in SCHEMA.fields}
DAY = dt.datetime(2013, 6, 1)

rows = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-2, 2),
            "l": st.none() | st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1]),
            "s": st.none() | st.sampled_from(["", "a", "ab", "b", "a'b", "é", "A"]),
            "b": st.none() | st.booleans(),
            "f": st.none() | st.sampled_from([float("nan"), float("inf"), -1.0, 0.0, -0.0, 1.5]),
            "n": st.none() | st.sampled_from([Decimal("-1.00"), Decimal("0.00"), Decimal("1.50"), Decimal("2.00")]),
            "d": st.none() | st.sampled_from([DAY.date() + dt.timedelta(days) for days in (-1, 0, 1)]),
            "ts": st.none() | st.sampled_from([DAY + dt.timedelta(hours=hours) for hours in (-1, 0, 1)]),
            "tz": st.none()
            | st.sampled_from([(DAY + dt.timedelta(hours=h)).replace(tzinfo=dt.UTC) for h in (-2, 0, 1)]),
            "select": st.none() | st.integers(0, 1),
        }
    ),
    max_size=6,
)
LITERALS = {
    "i": ["0", "1", "-1", "1.5", "99999999999", "1e0"],
    "l": ["0", "-1", "9223372036854775807"],
    "s": ["'a'", "'a''b'", "''", "'é'", "CAST('a' AS VARCHAR)"],
    "b": ["true", "false"],
    "f": ["1.5", "0", "-1", "'nan'::double"],
    "n": ["1.5", "1.505", "2", "-1.00"],
    "d": ["DATE '2013-06-01'", "'2013-06-01'", "TIMESTAMP '2013-06-01 12:00:00'", "CAST('2013-05-31' AS DATE)"],
    "ts": ["TIMESTAMP '2013-06-01 00:00:00'", "'2013-06-01 01:00:00'", "DATE '2013-06-01'", "'2013-06-01T00:00'"],
    "tz": [
        "TIMESTAMPTZ '2013-06-01 00:00:00+00'",
        "'2013-06-01 02:00:00+02:00'",
        "TIMESTAMP '2013-06-01 01:00:00'",
        "DATE '2013-06-01'",
    ],
    '"select"': ["0", "1"],
}


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    column = draw(st.sampled_from(sorted(LITERALS)))
    value, other = (draw(st.sampled_from(LITERALS[column])) for _ in range(2))
    operator = draw(st.sampled_from(["=", "<", "<=", ">", ">=", "<>", "IS DISTINCT FROM"]))
    name = draw(st.sampled_from([column, column.upper(), f"t.{column}"])) if column != '"select"' else column
    forms = [
        f"{name} {operator} {value}",
        f"{value} {operator} {name}",
        f"{name} BETWEEN {value} AND {other}",
        f"{name} IN ({value}, {other})",
        f"{name} NOT IN ({value}, {other})",
        f"{name} IS NULL",
        f"{name} IS NOT NULL",
        f"coalesce({name}, {value}) = {other}",
    ]
    if column == "s":
        forms += ["s LIKE 'a%'", "s LIKE 'a_%'", "s LIKE '%a'", "s LIKE 'a'", "s ILIKE 'a%'", "s NOT LIKE 'a%'"]
    return draw(st.sampled_from(forms))


predicates = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        inner.map(lambda p: f"NOT ({p})"),
    ),
    max_leaves=4,
)


def holds(where: str, row: dict[str, Any]) -> bool:
    """pyiceberg's own reading of a filter, on one row in Iceberg's representation."""

    def internal(value: Any) -> Any:
        if isinstance(value, dt.datetime):
            zone = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
            return (zone - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
        return (value - dt.date(1970, 1, 1)).days if isinstance(value, dt.date) else value

    record = Record(*[internal(row[name]) for name in ARROW.names])
    return bool(expression_evaluator(SCHEMA, parse(where), case_sensitive=True)(record))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(rows, predicates)
def test_every_row_that_a_query_selects_fulfils_its_filter(table: list[dict[str, Any]], predicate: str) -> None:
    where = file_filter(Query("q", f"SELECT * FROM t WHERE {predicate}"), TYPES)
    if where is None:
        return
    connection = duckdb.connect(config={"threads": "1"})
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("t", pa.Table.from_pylist(table, schema=ARROW))
    selected = connection.sql(f"SELECT * FROM t WHERE {predicate}").to_arrow_table().to_pylist()
    assert all(holds(where, row) for row in selected)


@pytest.mark.parametrize(
    ("sql", "where"),
    [
        ("SELECT 1 FROM t WHERE i = 1", '"i" = 1'),
        ("SELECT 1 FROM t WHERE 1 < I AND f > 2", '"i" > 1'),
        ("SELECT 1 FROM t WHERE i = 1 OR f > 2", None),
        ("SELECT 1 FROM t WHERE s LIKE 'ab%'", "\"s\" like 'ab%'"),
        ("SELECT 1 FROM t WHERE s = 'it''s'", "\"s\" = 'it''s'"),
        ("SELECT 1 FROM t WHERE n = 1.5", '"n" = 1.50'),
        ("SELECT 1 FROM t WHERE d >= DATE '2013-06-01'", "\"d\" >= '2013-06-01'"),
        ("SELECT 1 FROM t WHERE ts < '2013-06-01 12:30:00'", "\"ts\" < '2013-06-01T12:30:00'"),
        ("SELECT 1 FROM t WHERE tz < '2013-06-01 02:00:00+02'", "\"tz\" < '2013-06-01T00:00:00+00:00'"),
        ("SELECT 1 FROM t", None),
        ("SELECT count(*) FROM t HAVING count(*) > 1", None),
        # two readings: a file stays if either needs it
        ("SELECT 1 FROM t AS a, t AS b WHERE a.i = 1 AND b.i = 2", '("i" = 1 or "i" = 2)'),
        ("SELECT 1 FROM t WHERE i = 1 UNION ALL SELECT 1 FROM t WHERE i = 2", '("i" = 1 or "i" = 2)'),
        ("SELECT 1 FROM t WHERE i = (SELECT max(i) FROM t)", None),
        ("SELECT 1 FROM (SELECT * FROM t WHERE i = 1) WHERE l = 2", '"i" = 1'),
        ("WITH c AS (SELECT * FROM t WHERE i = 1) SELECT * FROM c WHERE l = 2", '"i" = 1'),
        # rows that are made before WHERE looks at them
        ("SELECT 1 FROM t AS a LEFT JOIN t AS b USING (i) WHERE b.l IS NULL", None),
        ("SELECT 1 FROM t AS a ASOF JOIN t AS b ON a.i >= b.i WHERE b.l = 1", None),
        ("SELECT 1 FROM t TABLESAMPLE 10% WHERE i = 1", None),
        ("PIVOT t ON s USING sum(i)", None),
        # not surely this table's column
        ("SELECT 1 FROM t, t AS u WHERE i = 1", None),
        ("SELECT 1 FROM t WHERE other.i = 1", None),
        ("SELECT i AS l FROM t WHERE l = 1", '"l" = 1'),
    ],
)
def test_what_is_understood_and_what_is_not(sql: str, where: str | None) -> None:
    assert file_filter(Query("q", sql), TYPES) == where


def test_names_that_pyiceberg_cannot_parse_or_that_differ_only_in_case_prune_nothing() -> None:
    types = {"a.b": "int", 'c"d': "int", "x": "int", "X": "int", "e f": "int", "🛫": "int"}
    for name in ("a.b", 'c""d', "x", "X"):
        assert file_filter(Query("q", f'SELECT 1 FROM t WHERE "{name}" = 1'), types) is None
    for name in ("e f", "🛫"):
        where = file_filter(Query("q", f'SELECT 1 FROM t WHERE "{name}" = 1'), types)
        assert where == f'"{name}" = 1'
        parse(where)
