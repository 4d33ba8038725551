"""Bucket tables: their SQL computes what a rewrite's key computes, on DuckDB here and on Spark in tests/services."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import sqlglot
from lake import Lake
from typer.testing import CliRunner

import lakeopt
from lakeopt.cli.app import app
from lakeopt.errors import Refused, UnknownName, UsageError
from lakeopt.keys.cut_points import from_text
from lakeopt.keys.leading_key import RangeKey
from lakeopt.model.buckets import BucketTable
from lakeopt.model.plan import SortField
from lakeopt.model.serde import from_json, to_json

HARD = ["", "it's", 'say "x"', "back\\slash", "é", "🦆", "${home}", "tab\tline\n", "Z", "a", "a ", None]


PRICE = pa.decimal128(9, 2)


def hard_rows() -> pa.Table:
    """Values that SQL spells in many ways, each a few times or many."""
    count = [1, 2, 3, 5, 8, 13, 21, 34, 55, 1, 90, 7]
    text = [value for value, times in zip(HARD, count, strict=True) for _ in range(times)]
    number = range(len(text))
    start = dt.datetime(2024, 2, 28, 23, 59, 59, 999_999)
    return pa.table(
        {
            "text": pa.array(text),
            "long": pa.array([None if n % 13 == 0 else (n * 7919 % 100) - 2**63 for n in number], pa.int64()),
            "int": pa.array([n * 31 % 40 - 20 for n in number], pa.int32()),
            "price": pa.array([Decimal(n * 37 % 90 - 45) / 100 if n % 17 else None for n in number], PRICE),
            "flag": pa.array([[True, False, None][n % 3] for n in number]),
            "day": pa.array([dt.date(1969, 12, 20) + dt.timedelta(n % 30) for n in number]),
            "at": pa.array([start + dt.timedelta(seconds=n * 7 % 50) for n in number], pa.timestamp("us")),
            "utc": pa.array([start + dt.timedelta(hours=n * 11 % 60) for n in number], pa.timestamp("us", "UTC")),
        }
    )  # fmt: skip


def expected(value: BucketTable, rows: pa.Table) -> list[int]:
    """What a rewrite's key says of the rows."""
    names = [value.column] + ([value.by] if value.by else [])
    last = len(value.buckets) - (value.seen is not None)
    starts = [(bucket.value, bucket.second) for bucket in value.buckets[1:last]]
    cuts = tuple(
        from_text([start[n] for start in starts], rows.schema.field(name).type) for n, name in enumerate(names)
    )
    seen = None if value.seen is None else from_text(value.seen, rows.schema.field(names[0]).type)
    numbers: list[int] = RangeKey(tuple(names), cuts, seen)([rows[name].combine_chunks() for name in names]).to_pylist()
    return numbers


def in_duckdb(sql: str, dialect: str, rows: pa.Table) -> list[int]:
    (text,) = sqlglot.transpile(f"SELECT {sql} AS bucket FROM lines", read=dialect, write="duckdb")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'America/New_York'")
    connection.register("lines", rows)
    return [number for (number,) in connection.execute(text).fetchall()]


COLUMNS = [
    ("text", "long"),
    ("int", "text"),
    ("price", "at"),
    ("flag", "utc"),
    ("day", "price"),
    ("at", "flag"),
    ("utc", "day"),
]


@pytest.mark.parametrize(("column", "by"), COLUMNS)
def test_both_dialects_compute_the_bucket_that_a_rewrite_would(lake: Lake, column: str, by: str) -> None:
    rows = hard_rows()
    lake.append(lake.create("db.t", rows.schema), rows.slice(0, 200))
    value = lakeopt.buckets("db.t", column=column, by=by, buckets=6)
    wanted = expected(value, rows)
    assert len(set(wanted)) >= 4
    for dialect, sql in (("spark", value.spark_sql), ("hive", value.hive_sql)):
        assert in_duckdb(sql, dialect, rows) == wanted


def test_a_value_that_came_later_is_in_the_last_bucket(lake: Lake) -> None:
    rows = pa.table({"name": ["a"] * 50 + ["c"] * 50, "n": list(range(100))})
    lake.append(lake.create("db.t", rows.schema), rows)
    value = lakeopt.buckets("db.t", column="name", by="n", buckets=4)
    later = pa.table({"name": ["b", None, "c", "a"], "n": [1, 2, 99, 0]})
    assert in_duckdb(value.spark_sql, "spark", later) == [4, 4, 3, 0]
    assert [bucket.rows for bucket in value.buckets] == [25, 25, 25, 25, 0]
    assert from_json(BucketTable, to_json(value)) == value


def test_the_command_writes_json_sql_or_a_table(lake: Lake, tmp_path: Path) -> None:
    rows = pa.table({"name": ["a"] * 50 + ["c"] * 50, "n": list(range(100))})
    lake.append(lake.create("db.t", rows.schema), rows)

    def run(*words: str) -> Any:
        return CliRunner().invoke(
            app, ["buckets", "db.t", "--column", "name", "--buckets", "4", *words], standalone_mode=False
        )

    assert "4 buckets" in run().output or "5 buckets" in run().output
    run("-o", str(tmp_path / "b.json"))
    run("-o", str(tmp_path / "b.sql"))
    held = json.loads((tmp_path / "b.json").read_text())
    assert held["kind"] == "bucket_table"
    assert held["by"] == "n"
    text = (tmp_path / "b.sql").read_text()
    assert held["spark_sql"] in text
    assert "-- Hive\n" in text


def test_a_second_key_is_chosen_that_engines_compare_alike(lake: Lake) -> None:
    """Floats and times of day would divide the rows best; where there is nothing else, heavy values stay whole."""
    number = range(300)
    rows = pa.table(
        {
            "name": ["heavy" if n % 3 else "light" for n in number],
            "x": [float("nan") if n % 50 == 0 else n / 7 for n in number],
            "time": pa.array([n * 1_000_003 for n in number], pa.time64("us")),
            "big": pa.array([Decimal(n % 90 - 45).scaleb(27) for n in number], pa.decimal128(38, 8)),
        }
    )
    lake.append(lake.create("db.t", rows.schema), rows)
    value = lakeopt.buckets("db.t", column="name", buckets=4)
    assert value.by == "big"
    for dialect, sql in (("spark", value.spark_sql), ("hive", value.hive_sql)):
        assert in_duckdb(sql, dialect, rows) == expected(value, rows)
    lake.append(lake.create("db.none", rows.schema.remove(3)), rows.drop_columns("big"))
    alone = lakeopt.buckets("db.none", column="name", buckets=4)
    assert alone.by is None
    assert in_duckdb(alone.spark_sql, "spark", rows) == expected(alone, rows)
    planned = lakeopt.plan("db.none", strategy="pv-buckets", sort_by=[SortField("name")], buckets=4)
    assert [field.name for field in planned.layout.columns] in (["name", "x"], ["name", "time"])


def test_the_second_key_is_the_one_in_whose_order_rows_take_the_fewest_bytes(lake: Lake) -> None:
    """Of two that divide a heavy value alike, not the one of fewer values but the one that others follow from."""
    draw = np.random.default_rng(7)
    session = draw.integers(0, 400, 6_000)
    rows = pa.table(
        {
            "name": ["heavy"] * 6_000,
            "noise": draw.integers(0, 200, 6_000),
            "session": session,
            **{f"detail_{n}": (session * (2 * n + 3) * 1_000_003) % 10_007 for n in range(4)},
        }
    )
    lake.append(lake.create("db.t", rows.schema), rows)
    assert lakeopt.buckets("db.t", column="name", buckets=2).by in ("session", *(f"detail_{n}" for n in range(4)))


def test_quotes_and_backslashes_are_read_alike_whatever_a_session_says_of_them(lake: Lake) -> None:
    rows = pa.table({"wei`rd 'name": ["it's", "a\\b", "plain", "\n"] * 20, "n": list(range(80))})
    lake.append(lake.create("db.t", rows.schema), rows)
    value = lakeopt.buckets("db.t", column="wei`rd 'name", buckets=4)
    named = value.spark_sql.replace("`wei``rd 'name`", "")
    assert "'plain'" in named
    assert "\\" not in named
    assert named.count("DECODE(UNHEX('69742773'), 'UTF-8')") >= 1
    assert in_duckdb(value.hive_sql, "hive", rows) == expected(value, rows)


def test_what_has_no_buckets_is_refused(lake: Lake) -> None:
    rows = pa.table({"f": [1.5], "n": [1]})
    table = lake.create("db.t", rows.schema)
    with pytest.raises(UsageError, match="no rows"):
        lakeopt.buckets("db.t", column="n")
    lake.append(table, rows)
    with pytest.raises(Refused, match="engines differ"):
        lakeopt.buckets("db.t", column="f")
    with pytest.raises(UnknownName, match="'m'"):
        lakeopt.buckets("db.t", column="m")
