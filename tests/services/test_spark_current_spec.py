"""A table that Spark wrote in two partition specs: moved to the current one by lakeopt, read and changed by Spark."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import lakeopt
from lakeopt.model.plan import SortField

pytestmark = [pytest.mark.service("Spark"), pytest.mark.slow]

TABLE = "lake.n.evolved"


def rows(spark: Any) -> Counter[Any]:
    spark.catalog.clearCache()
    spark.sql(f"REFRESH TABLE {TABLE}")
    return Counter(spark.sql(f"SELECT * FROM {TABLE}").collect())


def fill(spark: Any, start: int) -> None:
    """Negative numbers, times before 1970, text beyond ASCII and nulls."""
    spark.sql(
        f"INSERT INTO {TABLE} SELECT id + {start}, CAST(id * 37 % 50 - 25 AS INT), "
        "CASE WHEN id % 9 = 0 THEN NULL ELSE concat('é-🦆-', id % 7) END, "
        "timestamp '1969-11-20 00:00:00' + make_interval(0, 0, 0, CAST(id % 90 AS INT)) FROM range(1000)"
    )


def test_a_spark_table_moves_to_its_current_spec(spark_lake: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Deletes of the old spec are applied; Spark finds the partitions where its own transforms would have put them."""
    spark, folder = spark_lake
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", f"sqlite:///{folder}/catalog.db")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__WAREHOUSE", f"file://{folder}/warehouse")
    spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.n")
    spark.sql(
        f"CREATE TABLE {TABLE} (id BIGINT, k INT, name STRING, at TIMESTAMP) USING iceberg PARTITIONED BY (days(at)) "
        "TBLPROPERTIES ('format-version'='2', 'write.delete.mode'='merge-on-read')"
    )
    fill(spark, 0)
    spark.sql(f"DELETE FROM {TABLE} WHERE k = 10")
    spark.sql(f"ALTER TABLE {TABLE} DROP PARTITION FIELD days(at)")
    for field in ("bucket(4, name)", "months(at)", "truncate(10, k)"):
        spark.sql(f"ALTER TABLE {TABLE} ADD PARTITION FIELD {field}")
    fill(spark, 1000)
    before = rows(spark)
    expected = Counter(
        spark.sql(
            f"SELECT lake.system.bucket(4, name), lake.system.months(at), lake.system.truncate(10, k) FROM {TABLE}"
        ).collect()
    )
    key = (SortField("id"),)
    result = lakeopt.rewrite(TABLE, sort_by=key, to_current_spec=True, memory_bytes=4 * 10**9)
    assert result.removed_delete_files_count > 0
    assert rows(spark) == before
    files = spark.sql(f"SELECT spec_id, partition, record_count FROM {TABLE}.files").collect()
    assert len({file.spec_id for file in files}) == 1
    placed: Counter[Any] = Counter()
    for file in files:
        part = file.partition.asDict()
        placed[tuple(value for name, value in part.items() if name != "at_day")] += file.record_count
    assert placed == Counter({tuple(row): count for row, count in expected.items()})
    for wanted in ("name = 'é-🦆-3'", "k < -20", "at < timestamp '1970-01-01 00:00:00'", "name IS NULL"):
        found = spark.sql(f"SELECT * FROM {TABLE} WHERE {wanted}").collect()
        whole = spark.createDataFrame(list(before.elements()), spark.table(TABLE).schema).where(wanted).collect()
        assert Counter(found) == Counter(whole), wanted
    assert lakeopt.plan(TABLE, sort_by=key, to_current_spec=True).groups == ()
    spark.sql(f"DELETE FROM {TABLE} WHERE k = 12")
    assert rows(spark) == Counter({row: count for row, count in before.items() if row.k != 12})
