"""From Hive to Iceberg with a real metastore and Spark: both ways read equal, the doubled read is found and healed."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

import lakeopt
from lakeopt.cli.app import main
from lakeopt.model.plan import SortField
from lakeopt.workflows.migrate import migrate

pytestmark = [pytest.mark.slow, pytest.mark.service("Spark"), pytest.mark.service("Hive metastore")]


def rows(spark_hive: Any, table: str) -> list[tuple[str, ...]]:
    return sorted(tuple(map(repr, row)) for row in spark_hive.sql(f"SELECT * FROM {table}").collect())


def test_a_hive_table_both_ways(spark_hive: Any) -> None:
    spark_hive.sql(
        "CREATE TABLE {db}.source (Id BIGINT, agent STRING, cost DECIMAL(9,2), day0 DATE, small TINYINT, "
        "tags ARRAY<STRUCT<a: INT, b: STRING>>) PARTITIONED BY (k STRING, n INT) STORED AS PARQUET"
    )
    spark_hive.sql(
        "INSERT INTO {db}.source SELECT id, concat('agent ', id % 5), id / 4, date_add(DATE '1890-01-01', int(id)), "
        "id % 3, array(named_struct('a', int(id), 'b', NULL)), "
        "CASE id % 3 WHEN 0 THEN 'a/b=c%20 ü' WHEN 1 THEN 'x' END, int(id % 2) FROM range(600)"
    )
    wanted = rows(spark_hive, "{db}.source")
    migrate(spark_hive.name("source"), spark_hive.name("named"))
    result = migrate(
        spark_hive.name("source"), spark_hive.name("made"), rewrite=True, strategy="sort", sort_by=(SortField("agent"),)
    )
    assert result.comparison is not None
    for table in ("hice.{db}.named", "hice.{db}.made", "{db}.source"):
        assert rows(spark_hive, table) == wanted, table
    pruned = "SELECT count(*) FROM hice.{db}.named WHERE k = 'a/b=c%20 ü' AND n = 1"
    assert spark_hive.sql(pruned).collect()[0][0] == 100
    # what an engine writes after it is read with what was there
    spark_hive.sql("INSERT INTO hice.{db}.named SELECT 1, 'new', 1.5, DATE '2026-01-01', 1, NULL, 'x', 1")
    assert spark_hive.sql("SELECT count(*), count(DISTINCT id) FROM hice.{db}.named").collect()[0][0] == 601
    assert rows(spark_hive, "{db}.source") == wanted


def test_the_doubled_read_is_found_and_healed(spark_hive: Any, capsys: pytest.CaptureFixture[str]) -> None:
    spark_hive.sql("CREATE TABLE hice.{db}.new (id BIGINT, day STRING) USING iceberg PARTITIONED BY (day)")
    for day in ("a", "b"):
        spark_hive.sql(f"INSERT INTO hice.{{db}}.new SELECT id, '{day}' FROM range(100)")
    location = spark_hive.folder / "new" / "data"
    spark_hive.sql(
        "CREATE EXTERNAL TABLE {db}.old (id BIGINT) PARTITIONED BY (day STRING) STORED AS PARQUET "
        f"LOCATION '{location}'"
    )
    spark_hive.sql("MSCK REPAIR TABLE {db}.old")

    def counts() -> dict[str, int]:
        spark_hive.sql("REFRESH TABLE {db}.old")
        return dict(spark_hive.sql("SELECT day, count(*) FROM {db}.old GROUP BY day").collect())

    def findings() -> dict[str, Any]:
        profile = lakeopt.inspect(spark_hive.name("old"))
        return {one.code: one for one in profile.findings}

    assert counts() == {"a": 100, "b": 100}
    assert findings()["double-reading"].severity == "warning"
    for day in ("a", "b"):  # the day is run again, as when a job is repeated
        spark_hive.sql(f"INSERT OVERWRITE hice.{{db}}.new PARTITION (day = '{day}') SELECT id FROM range(100)")
    assert counts() == {"a": 200, "b": 200}
    found = findings()["double-reading"]
    assert (found.severity, found.evidence["rows"], found.evidence["partitions"]) == ("critical", 200, 2)
    assert found.fix is not None

    own = [*shlex.split(found.fix)[1:3], "--partition", "day = 'a'", "--older-than", "0s", "--retain-last", "1"]
    name = spark_hive.name("new")
    sweep = ["sweep", name, "--grace", "0s", "--no-concurrent-writers", "--yes", "--quiet"]
    assert main([*own, "--yes", "--quiet"]) == 0
    assert main(sweep) == 0
    assert counts() == {"a": 100, "b": 200}
    assert spark_hive.sql("SELECT count(*) FROM hice.{db}.new").collect()[0][0] == 200
    found = findings()["double-reading"]
    assert (found.evidence["rows"], found.evidence["partitions"]) == (100, 1)
    assert found.fix is not None
    assert "--partition 'day = '\"'\"'b'\"'\"''" in found.fix

    # the snapshots of b's dead files are gone already: its own expiry marks what was remembered
    assert main([*shlex.split(found.fix)[1:], "--yes", "--quiet"]) == 0
    assert main(sweep) == 0
    assert counts() == {"a": 100, "b": 100}
    assert findings()["double-reading"].severity == "warning"
    capsys.readouterr()
