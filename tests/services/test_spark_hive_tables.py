"""Tables that Spark made in a real metastore: as lakeopt reads and rewrites them, and as Spark reads them then."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pyarrow import compute as pc

import lakeopt
from lakeopt.model.plan import SortField
from lakeopt.tables.open import open_table

pytestmark = [pytest.mark.service("Spark"), pytest.mark.service("Hive metastore")]
KEY = (SortField("word"),)
HOSTILE = ["a/b=c%20 ü", "it's", "{x}[^]", " lead", None]


def rows(spark_hive: Any, table: str, **settings: str) -> Counter[Any]:
    """All rows as Spark reads them, with these settings of its session."""
    session = spark_hive.session
    session.catalog.refreshTable(f"{spark_hive.database}.{table}")
    for name, value in settings.items():
        session.conf.set(name.replace("__", "."), value)
    try:
        return Counter(map(tuple, spark_hive.sql(f"SELECT * FROM {{db}}.{table}").collect()))
    finally:
        for name in settings:
            session.conf.unset(name.replace("__", "."))


def partitions(name: str) -> dict[str, int]:
    found = list(open_table(name).files())
    return {
        text: pc.sum(part.filter(pc.equal(part["partition"], text))["record_count"]).as_py()
        for part in found
        for text in part["partition"].to_pylist()
    }


def fill(spark_hive: Any, table: str) -> None:
    """Two inserts of six rows a partition, hostile values among the keys."""
    spark_hive.session.createDataFrame(
        [(i, f"w{i * 7 % 5}", value, i % 2) for i in range(12) for value in HOSTILE],
        "id INT, word STRING, k STRING, n INT",
    ).createOrReplaceTempView("wanted")
    for half in (0, 1):
        spark_hive.sql(f"INSERT INTO {{db}}.{table} SELECT * FROM wanted WHERE id % 4 DIV 2 = {half}")


@pytest.mark.slow
@pytest.mark.parametrize("held", ["PARQUET", "ORC"])
def test_hostile_partitions_are_rewritten_and_read_alike(spark_hive: Any, held: str) -> None:
    spark_hive.sql(f"CREATE TABLE {{db}}.t (id INT, word STRING) PARTITIONED BY (k STRING, n INT) STORED AS {held}")
    fill(spark_hive, "t")
    before, name = rows(spark_hive, "t"), spark_hive.name("t")
    serde = {f"spark__sql__hive__convertMetastore{held.capitalize()}": "false"}
    by_serde = rows(spark_hive, "t", **serde)  # which reads a null key as the name that stands for it
    assert sum(before.values()) == 60
    assert set(partitions(name).values()) == {6}
    assert {f'{{"k": {k}, "n": {n}}}' for k in ('"a/b=c%20 ü"', '" lead"', "null") for n in (0, 1)} <= set(
        partitions(name)
    )
    chosen = list(open_table(name).files(where="k = 'a/b=c%20 ü' and n = 1"))
    assert {text for part in chosen for text in part["partition"].to_pylist()} == {'{"k": "a/b=c%20 ü", "n": 1}'}
    result = lakeopt.rewrite(name, strategy="sort", sort_by=KEY)
    assert (result.groups_done, result.groups_failed) == (10, 0)
    suffix = f".{held.lower()}"
    assert all(path.endswith(suffix) for part in open_table(name).files() for path in part["file_path"].to_pylist())
    assert rows(spark_hive, "t") == before
    assert rows(spark_hive, "t", **serde) == by_serde
    assert lakeopt.plan(name, strategy="sort", sort_by=KEY).groups == ()
    spark_hive.sql("MSCK REPAIR TABLE {db}.t")
    assert rows(spark_hive, "t") == before


@pytest.mark.slow
def test_tables_of_spark_itself_go_by_its_own_rules(spark_hive: Any) -> None:
    """Names keep their case, and a location is where Spark looks for it."""
    spark_hive.sql("CREATE TABLE {db}.part (id BIGINT, dayOfWeek STRING, Kk INT) USING parquet PARTITIONED BY (Kk)")
    spark_hive.sql("CREATE TABLE {db}.whole (id BIGINT, dayOfWeek STRING) USING orc")
    values = ", ".join(f"({i}, 'd{i * 5 % 7}'" for i in range(8))
    spark_hive.sql(f"INSERT INTO {{db}}.part VALUES {values.replace(', (', ', 1), (')}, 1)")
    spark_hive.sql(f"INSERT INTO {{db}}.whole VALUES {values.replace(', (', '), (')})")
    for table, columns in (("part", ["id", "dayOfWeek", "Kk"]), ("whole", ["id", "dayOfWeek"])):
        name, before = spark_hive.name(table), rows(spark_hive, table)
        assert list(open_table(name).field_types) == columns
        assert lakeopt.rewrite(name, strategy="sort", sort_by=(SortField("dayOfWeek"),)).groups_done == 1
        assert rows(spark_hive, table) == before
        spark_hive.sql(f"INSERT INTO {{db}}.{table} SELECT * FROM {{db}}.{table}")
        assert rows(spark_hive, table) == before + before
    spark_hive.sql("CREATE TABLE {db}.buckets (id INT) USING parquet CLUSTERED BY (id) INTO 2 BUCKETS")
    spark_hive.sql("CREATE TABLE {db}.words (id INT) USING csv")
    spark_hive.sql("CREATE VIEW {db}.seen AS SELECT 1 AS one")
    for table, reason in (("buckets", "bucketed by Spark"), ("words", "text"), ("seen", "view")):
        assert reason in str(open_table(spark_hive.name(table)).read_only)


def test_text_and_avro_are_listed(spark_hive: Any) -> None:
    for held in ("TEXTFILE", "AVRO"):
        spark_hive.sql(f"CREATE TABLE {{db}}.{held} (id INT) STORED AS {held}")
        spark_hive.sql(f"INSERT INTO {{db}}.{held} VALUES (1)")
        table = open_table(spark_hive.name(held.lower()))
        assert "listed and not rewritten" in str(table.read_only)
        assert sum(map(len, table.files())) == 1
