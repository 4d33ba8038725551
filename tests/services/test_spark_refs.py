"""Branches, tags and staged writes (WAP) of Spark: a rewrite of one ref leaves the others, and Spark can publish."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from py4j.protocol import Py4JJavaError
from spark_sql import COLUMNS, FANOUT, answer, fill, go_on, number, operation, rows

import lakeopt
from lakeopt.model.plan import SortField

pytestmark = [pytest.mark.service("Spark"), pytest.mark.slow]

KEY = (SortField("k"), SortField("id"))
MEMORY = 2 * 10**9


def create(spark: Any, table: str, partition: str = "PARTITIONED BY (bucket(2, name))") -> None:
    properties = f"{FANOUT}, 'write.wap.enabled'='true', 'write.merge.mode'='merge-on-read'"
    spark.sql(f"CREATE TABLE {table} {COLUMNS} USING iceberg {partition} TBLPROPERTIES ({properties})")
    fill(spark, table, 0, 120)


def refs(spark: Any, table: str) -> dict[str, Any]:
    """Each ref as Spark lists it: type, snapshot and retention."""
    spark.sql(f"REFRESH TABLE {table}")
    return {ref.name: ref for ref in spark.sql(f"SELECT * FROM {table}.refs").collect()}


def at(spark: Any, table: str, ref: str | int) -> Counter[str]:
    """The rows of a ref or snapshot."""
    spark.sql(f"REFRESH TABLE {table}")
    return answer(spark, f"SELECT * FROM {table} VERSION AS OF {ref if isinstance(ref, int) else repr(ref)}")


def test_rewrites_of_main_and_of_a_branch_leave_every_other_ref(spark: Any) -> None:
    table = "lake.n.refs"
    create(spark, table)
    for change in (
        "CREATE TAG first RETAIN 30 DAYS",
        "CREATE BRANCH dev RETAIN 7 DAYS WITH SNAPSHOT RETENTION 2 SNAPSHOTS",
        "RENAME COLUMN flag TO mark",
        "ADD PARTITION FIELD days(at)",
    ):
        spark.sql(f"ALTER TABLE {table} {change}")
    fill(spark, f"{table}.branch_dev", 500, 560)
    fill(spark, table, 120, 180)
    spark.sql(f"ALTER TABLE {table} CREATE BRANCH next")
    held = {ref: at(spark, table, ref) for ref in ("main", "first", "dev", "next")}
    for branch in ("main", "dev", "next"):
        before = refs(spark, table)
        assert lakeopt.rewrite(table, sort_by=KEY, branch=branch, memory_bytes=MEMORY).groups_done
        after = refs(spark, table)
        assert {name for name in after if after[name] != before[name]} == {branch}
        assert after[branch].asDict() | {"snapshot_id": 0} == before[branch].asDict() | {"snapshot_id": 0}
        assert operation(spark, table, branch) == "replace"
        assert {ref: at(spark, table, ref) for ref in held} == held
    spark.sql(f"DELETE FROM {table}.branch_dev WHERE id >= 500")
    assert sum(at(spark, table, "dev").values()) == 120
    assert rows(spark, table) == held["main"]
    go_on(spark, table)
    assert at(spark, table, "first") == held["first"]


@pytest.mark.parametrize("write", ["append", "delete", "overwrite"])
def test_staged_snapshots_stay_staged_and_are_picked_afterwards_or_refused(spark: Any, write: str) -> None:
    """An append can be cherry-picked onto a rewrite; what replaced files of before cannot, and Spark says so."""
    table = f"lake.n.staged_{write}"
    create(spark, table, "PARTITIONED BY (k)")
    held = rows(spark, table)
    spark.conf.set("spark.wap.id", write)
    spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
    try:
        if write == "append":
            fill(spark, table, 300, 330)
        elif write == "delete":
            spark.sql(f"DELETE FROM {table} WHERE id % 4 = 1")
        else:
            spark.sql(f"INSERT OVERWRITE {table} SELECT * FROM {table} WHERE k = 3 AND id < 60")
    finally:
        spark.conf.unset("spark.wap.id")
        spark.conf.unset("spark.sql.sources.partitionOverwriteMode")
    staged = number(spark, f"SELECT snapshot_id FROM {table}.snapshots WHERE summary['wap.id'] = '{write}'")
    content = at(spark, table, staged)
    assert content != held
    lakeopt.rewrite(table, sort_by=KEY, memory_bytes=MEMORY)
    lakeopt.rewrite_manifests(table)
    assert lakeopt.remove_orphan_files(table, older_than=0, no_concurrent_writers=True).quarantined_files_count == 0
    assert rows(spark, table) == held
    assert at(spark, table, staged) == content
    assert number(spark, f"SELECT count(*) FROM {table}.history WHERE snapshot_id = {staged}") == 0
    pick = f"CALL lake.system.cherrypick_snapshot('{table.removeprefix('lake.')}', {staged})"
    if write == "append":
        spark.sql(pick)
        assert rows(spark, table) == content
    else:
        with pytest.raises(Py4JJavaError, match="Cannot cherry-pick"):
            spark.sql(pick)
        assert rows(spark, table) == held


def test_a_branch_of_wap_is_rewritten_and_published(spark: Any) -> None:
    table = "lake.n.audited"
    create(spark, table)
    held = rows(spark, table)
    spark.conf.set("spark.wap.branch", "audit")
    try:
        fill(spark, table, 300, 360)
        spark.sql(f"DELETE FROM {table} WHERE id % 10 = 7")
    finally:
        spark.conf.unset("spark.wap.branch")
    audited = at(spark, table, "audit")
    assert rows(spark, table) == held != audited
    assert lakeopt.rewrite(table, sort_by=KEY, branch="audit", memory_bytes=MEMORY).groups_done
    assert at(spark, table, "audit") == audited
    assert rows(spark, table) == held
    spark.sql(f"CALL lake.system.fast_forward('{table.removeprefix('lake.')}', 'main', 'audit')")
    assert rows(spark, table) == audited
    assert operation(spark, table) == "replace"
