"""Bucket expressions in real Spark: the numbers that a rewrite's key gives, whatever the session's zone."""

from __future__ import annotations

from typing import Any

import pytest
from pyiceberg.catalog import load_catalog
from spark_sql import COLUMNS, fill

import lakeopt
from lakeopt.keys.cut_points import from_text
from lakeopt.keys.leading_key import RangeKey

pytestmark = [pytest.mark.service("Spark"), pytest.mark.slow]

PAIRS = [
    ("name", "amount"),
    ("k", "at"),
    ("at", "name"),
    ("local", "id"),
    ("amount", "day"),
    ("day", "local"),
    ("flag", "k"),
]
HARD = ["it's", 'say "x"', "back\\slash", "${user.dir}", "tab\tline\n", "🦆"]


@pytest.fixture(scope="module")
def table(spark_lake: Any) -> str:
    spark = spark_lake[0]
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.n")
    spark.sql("DROP TABLE IF EXISTS lake.n.buckets PURGE")
    spark.sql(f"CREATE TABLE lake.n.buckets {COLUMNS} USING iceberg")
    fill(spark, "lake.n.buckets", 0, 240)
    for number, text in enumerate(HARD * 4):
        spark.sql(f"INSERT INTO lake.n.buckets (id, name) VALUES ({1000 + number}, :text)", args={"text": text})
    return "lake.n.buckets"


@pytest.mark.parametrize(("column", "by"), PAIRS)
def test_spark_computes_the_bucket_that_a_rewrite_would(
    spark: Any, spark_lake: Any, table: str, column: str, by: str
) -> None:
    catalog = load_catalog("lake", type="sql", uri=f"sqlite:///{spark_lake[1]}/catalog.db")
    value = lakeopt.buckets(table, column=column, by=by, buckets=5)
    rows = catalog.load_table("n.buckets").scan().to_arrow().combine_chunks()
    last = len(value.buckets) - (value.seen is not None)
    starts = [(bucket.value, bucket.second) for bucket in value.buckets[1:last]]
    cuts = tuple(
        from_text([start[place] for start in starts], rows.schema.field(name).type)
        for place, name in enumerate((column, by))
    )
    seen = None if value.seen is None else from_text(value.seen, rows.schema.field(column).type)
    numbers = RangeKey((column, by), cuts, seen)([rows[name].combine_chunks() for name in (column, by)])
    expected = dict(zip(rows["id"].to_pylist(), numbers.to_pylist(), strict=True))
    for zone in ("UTC", "America/New_York"):
        spark.conf.set("spark.sql.session.timeZone", zone)
        found = {row[0]: row[1] for row in spark.sql(f"SELECT id, {value.spark_sql} FROM {table}").collect()}
        assert found == expected
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    assert len(set(expected.values())) >= 3
