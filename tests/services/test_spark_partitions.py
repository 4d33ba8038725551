"""Hidden partitions that Spark wrote, of every transform and of evolved specs: pruned after a rewrite as before."""

from __future__ import annotations

from typing import Any

import pytest
from spark_sql import COLUMNS, FANOUT, answer, fill, operation, planned, rows

import lakeopt
from lakeopt.model.plan import SortField

pytestmark = [pytest.mark.service("Spark"), pytest.mark.slow]

KEY = (SortField("amount"), SortField("id"))
PACK: dict[str, Any] = {"strategy": "bin-pack"}
SORT: dict[str, Any] = {"sort_by": KEY}
MEMORY = 2 * 10**9


def require_kept(spark: Any, table: str, filters: tuple[str, ...], *choices: dict[str, Any], by_bounds: bool) -> None:
    """Rewritten, the table has its rows, and each filter its answer out of fewer files.

    Where no file has bounds, a filter leaves exactly the partitions and rows of before.
    """
    whole, everything = rows(spark, table), planned(spark, table, "id >= 0")
    answers = [rows(spark, table, where) for where in filters]
    plans = [planned(spark, table, where) for where in filters]
    for choice in choices:
        result = lakeopt.rewrite(table, memory_bytes=MEMORY, **choice)
        assert (result.groups_done > 0, result.failed) == (True, ())
        assert operation(spark, table) == "replace"
        assert rows(spark, table) == whole
        assert planned(spark, table, "id >= 0").partitions == everything.partitions
        for where, expected, before in zip(filters, answers, plans, strict=True):
            after = planned(spark, table, where)
            assert rows(spark, table, where) == expected, where
            assert after.partitions < everything.partitions, where
            assert sum(expected.values()) <= after.rows < everything.rows, where
            if not by_bounds:
                assert (after.partitions, after.rows) == (before.partitions, before.rows), where
                assert after.files < before.files, where


@pytest.mark.parametrize(
    ("spec", "filters", "choice"),
    [
        ("k, flag", ("k = 3", "k IS NULL AND flag"), PACK),
        ("name", ("name = 'x=1&y %2F'", "name = ''", "name IS NULL"), SORT),
        ("bucket(3, name), bucket(2, id)", ("name = 'a/b'", "id = 17 AND name IS NULL"), PACK),
        ("bucket(4, amount), bucket(2, raw)", ("amount = -500.00", "raw = X'6B31'"), SORT),
        ("bucket(3, day), bucket(2, at)", ("day = date '1969-12-30'",), PACK),
        ("truncate(2, name), truncate(200, id)", ("name LIKE 'Zü%'", "id BETWEEN 20 AND 40"), SORT),
        ("truncate(50000, amount), truncate(1, raw)", ("amount < -400", "amount IS NULL"), SORT),
        ("years(at), years(local)", ("at < timestamp '2026-01-01 00:00:00'", "local IS NULL"), SORT),
        ("months(at), months(day)", ("day < date '1970-01-01'", "at >= timestamp '2026-02-01 00:00:00'"), PACK),
        ("days(day), days(local)", ("day = date '1969-12-31'", "local < timestamp_ntz '1970-01-01 00:00:00'"), SORT),
        ("hours(local), hours(at)", ("local = timestamp_ntz '1969-12-31 23:00:00'",), PACK),
    ],
)
def test_every_transform_prunes_as_before(spark: Any, spec: str, filters: tuple[str, ...], choice: Any) -> None:
    table = "lake.n.hidden"
    spark.sql(f"DROP TABLE IF EXISTS {table} PURGE")
    properties = f"'write.metadata.metrics.default'='none', {FANOUT}"
    spark.sql(f"CREATE TABLE {table} {COLUMNS} USING iceberg PARTITIONED BY ({spec}) TBLPROPERTIES ({properties})")
    fill(spark, table, 0, 240)
    require_kept(spark, table, filters, choice, by_bounds=False)


@pytest.mark.parametrize("version", [1, 2])
def test_evolved_specs_prune_as_before(spark: Any, version: int) -> None:
    """Fields added, replaced, and dropped (``void`` in v1, gone in v2); each file stays in its spec."""
    table = f"lake.n.specs_{version}"
    spark.sql(
        f"CREATE TABLE {table} {COLUMNS} USING iceberg PARTITIONED BY (days(at)) "
        f"TBLPROPERTIES ('format-version'='{version}', {FANOUT})"
    )
    changes = (
        "ADD PARTITION FIELD bucket(2, name)",
        "REPLACE PARTITION FIELD at_day WITH months(at) AS month",
        "DROP PARTITION FIELD bucket(2, name)",
        "DROP PARTITION FIELD month",
        "ADD PARTITION FIELD truncate(50, id)",
    )
    for place, change in enumerate(("", *changes)):
        if change:
            spark.sql(f"ALTER TABLE {table} {change}")
        fill(spark, table, place * 60, place * 60 + 60)
    specs = answer(spark, f"SELECT spec_id FROM {table}.files")
    filters = ("at < timestamp '2026-01-20 00:00:00'", "name = 'a/b' AND id < 150", "id > 310")
    require_kept(spark, table, filters, PACK, SORT, by_bounds=True)
    assert answer(spark, f"SELECT spec_id FROM {table}.files").keys() == specs.keys()
