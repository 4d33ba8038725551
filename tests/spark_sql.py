"""What tests ask Spark of an Iceberg table, always anew: rows, planned files, heads; and Spark's own care for it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

_CONVERTER = "org.apache.spark.sql.execution.datasources.SparkExpressionConverter"
#: Columns of every kind that a transform takes, and a query that fills them; each column has nulls.
COLUMNS = (
    "(id BIGINT, k INT, name STRING, at TIMESTAMP, day DATE, amount DECIMAL(9, 2), raw BINARY, flag BOOLEAN, "
    "local TIMESTAMP_NTZ)"
)
FANOUT = "'write.distribution-mode'='none', 'write.spark.fanout.enabled'='true'"
_NAMES = "array('plain', 'a/b', 'x=1&y %2F', 'Zürich', '', ' ', 'äöü long enough to be cut')"


def fill(spark: Any, table: str, start: int, stop: int, tasks: int = 6) -> None:
    """Insert the rows with ids from ``start`` up to ``stop``; every ninth value of a column is null.

    With :data:`FANOUT`, each of the tasks writes a file of its own into each partition.
    """
    cells = (
        "CAST(id * 37 % 10 AS INT)",
        f"{_NAMES}[CAST(id % 7 AS INT)]",
        "timestamp '2025-12-31 22:30:00' + make_interval(0, 0, 0, 0, CAST(id % 5 AS INT) * 700)",
        "date '1969-12-30' + CAST(id % 5 AS INT)",
        "CAST(id * 3.7 - 500 AS DECIMAL(9, 2))",
        "CAST(concat('k', id % 4) AS BINARY)",
        "id % 2 = 0",
        "timestamp_ntz '1969-12-31 23:00:00' + make_interval(0, 0, 0, 0, CAST(id % 4 AS INT))",
    )
    listed = ", ".join(f"IF((id + {place}) % 9 = 0, NULL, {cell})" for place, cell in enumerate(cells))
    spark.sql(f"INSERT INTO {table} SELECT id, {listed} FROM range({start}, {stop}, 1, {tasks})")


def answer(spark: Any, query: str) -> Counter[str]:
    """The rows of a query as a multiset, each with the names and values of all its fields at every depth."""
    return Counter(map(repr, spark.sql(query).collect()))


def rows(spark: Any, table: str, where: str = "true") -> Counter[str]:
    spark.sql(f"REFRESH TABLE {table}")
    return answer(spark, f"SELECT * FROM {table} WHERE {where}")


def number(spark: Any, query: str) -> int:
    """The one number that a query gives."""
    return int(spark.sql(query).collect()[0][0])


def operation(spark: Any, table: str, ref: str = "main") -> str:
    """What made the head of a branch."""
    spark.sql(f"REFRESH TABLE {table}")
    query = f"SELECT s.operation FROM {table}.snapshots s JOIN {table}.refs r ON s.snapshot_id = r.snapshot_id"
    return str(spark.sql(f"{query} WHERE r.name = '{ref}'").collect()[0][0])


@dataclass(frozen=True)
class Planned:
    """What Iceberg's planner reads for a filter: files and rows in them, and the partitions that they lie in."""

    files: int
    rows: int
    partitions: frozenset[tuple[int, str]]


def planned(spark: Any, table: str, where: str) -> Planned:
    """The files that Iceberg's own planner leaves for a filter, from metadata alone."""
    jvm = spark._jvm
    java = jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(spark._jsparkSession, table)
    java.refresh()
    converter = getattr(jvm, _CONVERTER)
    resolved = converter.collectResolvedSparkExpression(spark._jsparkSession, table, where)
    tasks = java.newScan().filter(converter.convertToIcebergExpression(resolved)).planFiles()
    found, files = [], tasks.iterator()
    while files.hasNext():
        file = files.next().file()
        # Java prints an array of bytes as the place where it happens to lie.
        partition = re.sub(r"\[B@[0-9a-f]+", "bytes", file.partition().toString())
        found.append((file.specId(), partition, file.recordCount()))
    tasks.close()
    return Planned(len(found), sum(count for *_, count in found), frozenset((spec, text) for spec, text, _ in found))


def go_on(spark: Any, table: str, key: str = "id") -> None:
    """Spark's own writes and procedures after a rewrite, each checked by what the table holds then.

    ``key`` is a column of whole numbers that are never negative.
    """
    name = table.removeprefix("lake.")
    evens = [row[0] for row in spark.sql(f"SELECT {key} FROM {table} WHERE {key} % 2 = 0").collect()]
    spark.sql(f"DELETE FROM {table} WHERE {key} % 2 = 1")
    spark.sql(f"UPDATE {table} SET {key} = {key} + 1 WHERE {key} % 4 = 0")
    spark.sql(
        f"MERGE INTO {table} t USING (SELECT DISTINCT {key} AS old FROM {table} WHERE {key} % 8 = 1) s "
        f"ON t.{key} = s.old WHEN MATCHED THEN UPDATE SET {key} = t.{key} - 1"
    )
    spark.sql(f"INSERT INTO {table} SELECT * FROM {table} WHERE {key} % 4 = 2")
    held = spark.sql(f"SELECT * FROM {table}").collect()
    twice = [value for value in evens if value % 4 == 2]
    expected = Counter([value + 1 if value % 8 == 4 else value for value in evens] + twice)
    assert Counter(row[key] for row in held) == expected
    for call in (
        f"rewrite_data_files(table => '{name}', options => map('rewrite-all', 'true'))",
        f"rewrite_manifests('{name}')",
        f"expire_snapshots(table => '{name}', older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)",
    ):
        assert spark.sql(f"CALL lake.system.{call}").collect()
    orphans = f"remove_orphan_files(table => '{name}', older_than => TIMESTAMP '2020-01-01 00:00:00', dry_run => true)"
    assert spark.sql(f"CALL lake.system.{orphans}").collect() == []
    assert rows(spark, table) == Counter(map(repr, held))
