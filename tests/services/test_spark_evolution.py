"""Tables that Spark evolved, merged into, migrated and upgraded: after a rewrite Spark reads the same and goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from spark_sql import COLUMNS, FANOUT, fill, go_on, number, operation, rows

import lakeopt
from lakeopt.model.plan import SortField

pytestmark = [pytest.mark.service("Spark"), pytest.mark.slow]

MEMORY = 2 * 10**9
TABLE = "lake.n.histories"


def create(spark: Any, columns: str, partition: str = "", version: int = 2, properties: str = "") -> None:
    spark.sql(f"DROP TABLE IF EXISTS {TABLE} PURGE")
    spark.sql(
        f"CREATE TABLE {TABLE} {columns} USING iceberg {partition} "
        f"TBLPROPERTIES ('format-version'='{version}', {FANOUT}{properties})"
    )


def alter(spark: Any, *changes: str) -> None:
    for change in changes:
        spark.sql(f"ALTER TABLE {TABLE} {change}")


def schema(spark: Any) -> None:
    """Columns added at every depth, dropped, renamed, moved and widened; a dropped name comes back as another type."""
    create(
        spark,
        "(id BIGINT, i INT, f FLOAT, d DECIMAL(7, 2), gone STRING, old STRING, s STRUCT<a: INT, b: STRING, c: FLOAT>, "
        "l ARRAY<STRUCT<x: INT, y: STRING>>, m MAP<STRING, STRUCT<v: INT>>)",
        "PARTITIONED BY (bucket(2, i), truncate(2, d))",
    )
    spark.sql(
        f"INSERT INTO {TABLE} SELECT id, CAST(id % 7 AS INT), CAST(id / 3 AS FLOAT), CAST(id % 3 AS DECIMAL(7, 2)), "
        "'gone', concat('o', id), IF(id % 5 = 0, NULL, struct(CAST(id AS INT), 'b', CAST(0.1 AS FLOAT))), "
        "IF(id % 4 = 0, array(), array(struct(CAST(id AS INT), 'y'), NULL)), map('k', struct(CAST(id AS INT))) "
        "FROM range(0, 120, 1, 6)"
    )
    alter(
        spark,
        "DROP COLUMN gone",
        "ADD COLUMN gone INT",
        "RENAME COLUMN old TO new",
        "ADD COLUMN s.old DOUBLE",
        "RENAME COLUMN s.b TO bee",
        "DROP COLUMN s.c",
        "ADD COLUMN s.c STRING",
        "ALTER COLUMN s.a TYPE BIGINT",
        "ADD COLUMN s.deep STRUCT<p: INT>",
        "ALTER COLUMN i TYPE BIGINT",
        "ALTER COLUMN f TYPE DOUBLE",
        "ALTER COLUMN d TYPE DECIMAL(12, 2)",
        "RENAME COLUMN l.element.y TO why",
        "ADD COLUMN l.element.z INT",
        "ALTER COLUMN m.value.v TYPE BIGINT",
        "ALTER COLUMN new FIRST",
        "ALTER COLUMN d AFTER id",
        "RENAME COLUMN i TO old",
    )
    spark.sql(
        f"INSERT INTO {TABLE} SELECT concat('n', id), id, CAST(1234567890.12 AS DECIMAL(12, 2)), "
        "id * 5000000000, id / 7, struct(id, 'b', 0.5D, 'c', struct(1)), array(struct(1, 'w', 2)), "
        "map('k', struct(id * 5000000000)), 7 FROM range(200, 240, 1, 2)"
    )


def merged(spark: Any) -> None:
    """Copy-on-write DELETE, UPDATE and MERGE."""
    create(spark, COLUMNS, "PARTITIONED BY (days(at), bucket(2, name))")
    fill(spark, TABLE, 0, 240)
    spark.sql(f"DELETE FROM {TABLE} WHERE k = 3")
    spark.sql(f"UPDATE {TABLE} SET at = at + INTERVAL 1 DAY WHERE id % 10 = 1")
    spark.sql(
        f"MERGE INTO {TABLE} t USING (SELECT id + 200 AS key FROM range(80)) s ON t.id = s.key WHEN MATCHED AND "
        "key % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET name = 'm' WHEN NOT MATCHED THEN INSERT (id) VALUES (key)"
    )


def merged_on_read(spark: Any) -> None:
    """Position deletes of DELETE, UPDATE and MERGE in an older spec and in the one of now, under an evolved schema."""
    modes = ", ".join(f"'write.{verb}.mode'='merge-on-read'" for verb in ("delete", "update", "merge"))
    create(spark, COLUMNS, "PARTITIONED BY (days(at))", properties=f", {modes}")
    fill(spark, TABLE, 0, 120)
    spark.sql(f"DELETE FROM {TABLE} WHERE id % 6 = 1")
    alter(spark, "DROP PARTITION FIELD at_day", "ADD PARTITION FIELD bucket(2, name)", "RENAME COLUMN k TO kk")
    fill(spark, TABLE, 120, 240)
    spark.sql(f"UPDATE {TABLE} SET kk = kk + 100 WHERE id % 10 = 2")
    spark.sql(f"DELETE FROM {TABLE} WHERE id BETWEEN 130 AND 133")
    spark.sql(
        f"MERGE INTO {TABLE} t USING (SELECT id * 5 AS key FROM range(60)) s ON t.id = s.key "
        "WHEN MATCHED AND key % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET name = 'm' "
        "WHEN NOT MATCHED THEN INSERT (id) VALUES (key)"
    )
    assert number(spark, f"SELECT count(*) FROM {TABLE}.delete_files")


def migrated(spark: Any) -> None:
    """Files without field ids, added from a Hive layout, under a name mapping; then renames and a wider type."""
    plain = "spark_catalog.default.plain_files"
    spark.sql(f"DROP TABLE IF EXISTS {plain}")
    spark.sql(
        f"CREATE TABLE {plain} USING parquet PARTITIONED BY (region) AS SELECT id, CAST(id % 7 AS INT) AS k, "
        "struct(id AS a, concat('v', id) AS b) AS s, IF(id % 3 = 0, 'a b/ü', 'eu') AS region FROM range(0, 120, 1, 6)"
    )
    create(spark, "(id BIGINT, k INT, s STRUCT<a: BIGINT, b: STRING>, region STRING)", "PARTITIONED BY (region)")
    spark.sql(f"CALL lake.system.add_files(table => 'n.histories', source_table => '{plain}')")
    assert number(spark, f"SELECT count(*) FROM {TABLE}") == 120
    alter(
        spark,
        "RENAME COLUMN s.b TO c",
        "ALTER COLUMN k TYPE BIGINT",
        "RENAME COLUMN k TO key",
        "ADD COLUMN more STRING",
    )
    spark.sql(f"INSERT INTO {TABLE} VALUES (500, 1, struct(1, 'x'), 'eu', 'k'), (502, 9, NULL, NULL, NULL)")


def upgraded(spark: Any) -> None:
    """Manifests of v1 form in a table that was upgraded to v2, and position deletes since then."""
    create(spark, COLUMNS, "PARTITIONED BY (bucket(2, name), days(at))", version=1)
    fill(spark, TABLE, 0, 180)
    alter(spark, "DROP PARTITION FIELD at_day", "SET TBLPROPERTIES ('format-version'='2')")
    fill(spark, TABLE, 180, 240)
    alter(spark, "SET TBLPROPERTIES ('write.delete.mode'='merge-on-read')")
    spark.sql(f"DELETE FROM {TABLE} WHERE id % 9 = 4")


@pytest.mark.usefixtures("hive")  # Spark's own catalog is the metastore
@pytest.mark.parametrize("history", [schema, merged, merged_on_read, migrated, upgraded])
def test_rewritten_tables_read_the_same_and_spark_goes_on(spark: Any, history: Callable[[Any], None]) -> None:
    history(spark)
    held = rows(spark, TABLE)
    kinds = f"SELECT DISTINCT content, spec_id FROM {TABLE}.files"
    specs = {(content, spec) for content, spec in spark.sql(kinds).collect() if content == 0}
    for choice in ({"strategy": "bin-pack"}, {"sort_by": (SortField("id", "desc"),)}):
        result = lakeopt.rewrite(TABLE, memory_bytes=MEMORY, **choice)
        assert (result.groups_done > 0, result.failed) == (True, ())
        assert operation(spark, TABLE) == "replace"
        assert rows(spark, TABLE) == held
    lakeopt.rewrite_manifests(TABLE)
    assert rows(spark, TABLE) == held
    assert {tuple(row) for row in spark.sql(kinds).collect()} == specs
    go_on(spark, TABLE)
