"""Tables that Spark wrote with Iceberg's own runtime: rewritten by lakeopt, read by Spark and by pyiceberg."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import lakeopt
from lakeopt.model.plan import SortField

pytestmark = [pytest.mark.service("Spark"), pytest.mark.slow]


def rows(spark: Any, table: str) -> Counter[Any]:
    spark.catalog.clearCache()
    spark.sql(f"REFRESH TABLE lake.n.{table}")
    return Counter(spark.sql(f"SELECT * FROM lake.n.{table}").collect())


def fill(spark: Any, table: str, parts: int = 4) -> None:
    for part in range(parts):
        spark.sql(
            f"INSERT INTO lake.n.{table} SELECT id + {part * 1000}, CAST(id * 37 % 50 AS INT), "
            f"concat('name-', id % 7), "
            f"timestamp '2026-01-01 00:00:00' + make_interval(0, 0, 0, CAST(id % 20 AS INT)), "
            f"CAST(id AS DECIMAL(9, 2)) FROM range(1000)"
        )


COLUMNS = "(id BIGINT, k INT, name STRING, at TIMESTAMP, amount DECIMAL(9, 2))"
KEY = (SortField("k"), SortField("id"))


@pytest.mark.parametrize(("version", "partition"), [(1, "PARTITIONED BY (days(at), bucket(3, name))"), (2, "")])
def test_v1_and_v2_tables_keep_their_rows(spark: Any, version: int, partition: str) -> None:
    name = f"t{version}_{len(partition)}"
    spark.sql(
        f"CREATE TABLE lake.n.{name} {COLUMNS} USING iceberg {partition} TBLPROPERTIES ('format-version'='{version}')"
    )
    fill(spark, name)
    before = rows(spark, name)
    result = lakeopt.rewrite(f"lake.n.{name}", sort_by=KEY, memory_bytes=4 * 10**9)
    assert result.groups_done >= 1
    assert rows(spark, name) == before
    latest = spark.sql(f"SELECT operation FROM lake.n.{name}.snapshots ORDER BY committed_at DESC LIMIT 1").collect()
    assert latest[0][0] == "replace"
    ten = spark.sql(f"SELECT count(*) FROM lake.n.{name} WHERE k = 10").collect()[0][0]
    assert ten == sum(count for row, count in before.items() if row.k == 10)
    assert lakeopt.plan(f"lake.n.{name}", sort_by=KEY).groups == ()
    spark.sql(f"INSERT INTO lake.n.{name} VALUES (-1, 1, 'after', timestamp '2026-02-02 00:00:00', 1.0)")
    spark.sql(f"DELETE FROM lake.n.{name} WHERE k = 10")
    assert sum(rows(spark, name).values()) == sum(before.values()) + 1 - ten


@pytest.mark.parametrize("granularity", ["file", "partition"])
def test_merge_on_read_tables_are_rewritten_with_their_deletes(spark: Any, granularity: str) -> None:
    """Spark's own delete files leave with the files that they apply to, and no sooner; Spark goes on afterwards."""
    name = f"mor_{granularity}"
    spark.sql(
        f"CREATE TABLE lake.n.{name} {COLUMNS} USING iceberg PARTITIONED BY (bucket(2, name)) TBLPROPERTIES ("
        "'format-version'='2', 'write.delete.mode'='merge-on-read', "
        f"'write.delete.granularity'='{granularity}')"
    )
    fill(spark, name)
    for k in (10, 11):
        spark.sql(f"DELETE FROM lake.n.{name} WHERE k = {k}")
    before = rows(spark, name)
    assert sum(before.values()) == 3840
    assert delete_files(spark, name)
    health = {finding.code: finding for finding in lakeopt.inspect(f"lake.n.{name}").findings}
    assert health["delete-files"].fix
    result = lakeopt.rewrite(f"lake.n.{name}", sort_by=KEY, memory_bytes=4 * 10**9)
    assert result.removed_delete_files_count > 0
    assert rows(spark, name) == before
    assert delete_files(spark, name) == 0
    spark.sql(f"DELETE FROM lake.n.{name} WHERE k = 12")
    assert delete_files(spark, name) > 0
    done = spark.sql(f"CALL lake.system.rewrite_data_files(table => 'n.{name}', options => map('rewrite-all', 'true'))")
    assert done.collect()
    assert rows(spark, name) == Counter({row: count for row, count in before.items() if row.k != 12})


def delete_files(spark: Any, name: str) -> int:
    """Live delete files, as Spark counts them."""
    spark.sql(f"REFRESH TABLE lake.n.{name}")
    return int(spark.sql(f"SELECT count(*) FROM lake.n.{name}.delete_files").collect()[0][0])
