"""Expiry, sweep, orphan removal, regrouped manifests and rollback on tables that Spark wrote, judged by Spark."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from spark_sql import COLUMNS, FANOUT, answer, fill, go_on, number

import lakeopt
from lakeopt.config import Settings
from lakeopt.errors import Refused
from lakeopt.model.plan import SortField
from lakeopt.parquet.scan import read_batches
from lakeopt.tables.open import open_table

pytestmark = [pytest.mark.service("Spark"), pytest.mark.slow]

KEY = (SortField("k"), SortField("id"))
MEMORY = 2 * 10**9


def create(spark: Any, table: str, version: int = 2) -> None:
    """Merge-on-read deletes, copied rows, an evolved spec and schema, a tag, a branch; of v2 in the end."""
    spark.sql(
        f"CREATE TABLE {table} {COLUMNS} USING iceberg PARTITIONED BY (days(at)) TBLPROPERTIES ("
        f"'format-version'='{version}', 'write.delete.mode'='merge-on-read', {FANOUT})"
    )
    fill(spark, table, 0, 120)
    spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('format-version'='2')")
    spark.sql(f"ALTER TABLE {table} CREATE TAG kept")
    spark.sql(f"ALTER TABLE {table} ADD PARTITION FIELD bucket(2, name)")
    spark.sql(f"ALTER TABLE {table} ALTER COLUMN k TYPE BIGINT")
    spark.sql(f"DELETE FROM {table} WHERE id % 6 = 1")
    fill(spark, table, 120, 180)
    spark.sql(f"ALTER TABLE {table} CREATE BRANCH dev")
    fill(spark, f"{table}.branch_dev", 200, 230)
    spark.sql(f"UPDATE {table} SET name = 'u' WHERE id % 10 = 2")


def states(spark: Any, table: str) -> dict[str, Counter[str]]:
    """The rows of each ref."""
    spark.sql(f"REFRESH TABLE {table}")
    return {ref: answer(spark, f"SELECT * FROM {table} VERSION AS OF '{ref}'") for ref in ("main", "kept", "dev")}


def files(spark: Any, table: str) -> Counter[str]:
    """Live files of main, delete files too."""
    spark.sql(f"REFRESH TABLE {table}")
    return answer(spark, f"SELECT content, file_path, spec_id FROM {table}.files")


@pytest.mark.parametrize("version", [1, 2])
def test_rewrites_and_regrouped_manifests_are_rolled_back(spark: Any, version: int) -> None:
    table = f"lake.n.undone_{version}"
    create(spark, table, version)
    held, before = states(spark, table), files(spark, table)
    manifests = number(spark, f"SELECT count(*) FROM {table}.manifests")
    regrouped = lakeopt.rewrite_manifests(table)
    assert (states(spark, table), files(spark, table)) == (held, before)
    assert number(spark, f"SELECT count(*) FROM {table}.manifests") < manifests
    rewritten = lakeopt.rewrite(table, sort_by=KEY, memory_bytes=MEMORY)
    assert states(spark, table) == held
    assert not files(spark, table) & before
    for plan in (rewritten.plan_id, regrouped.plan_id):
        assert lakeopt.restore(table, plan).snapshot_id
        assert (states(spark, table), files(spark, table)) == (held, before)
    assert number(spark, f"SELECT count(*) FROM {table}.manifests") == manifests
    go_on(spark, table)


def test_expiry_sweep_and_orphans_take_only_what_no_ref_of_spark_needs(
    spark: Any, spark_lake: tuple[Any, Path]
) -> None:
    table = "lake.n.swept"
    create(spark, table)
    held = states(spark, table)
    lakeopt.rewrite(table, sort_by=KEY, memory_bytes=MEMORY)
    assert states(spark, table) == held
    replaced = number(spark, f"SELECT count(*) FROM {table}.snapshots")
    expired = lakeopt.expire_snapshots(table, older_than="0s")
    assert states(spark, table) == held
    assert number(spark, f"SELECT count(*) FROM {table}.snapshots") == replaced - expired.expired_snapshots_count == 3
    swept = lakeopt.sweep(table, grace=0, no_concurrent_writers=True)
    assert swept.deleted_files_count == expired.marked_files_count > 0
    assert not swept.failed
    assert states(spark, table) == held

    folder = spark_lake[1] / "warehouse" / "n" / "swept"
    stray = folder / "data" / "at_day=2026-01-01" / "stray.parquet"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"PAR1")
    os.utime(stray, (1.5e9, 1.5e9))  # Spark looks at no file of the last 24 hours
    call = "remove_orphan_files(table => 'n.swept', older_than => TIMESTAMP '2020-01-01 00:00:00', dry_run => true)"
    by_spark = {row[0].removeprefix("file:") for row in spark.sql(f"CALL lake.system.{call}").collect()}
    assert by_spark == {str(stray)}
    checksums = {path for path in folder.rglob(".*.crc") if not (path.parent / path.name[1:-4]).exists()}
    orphans = lakeopt.remove_orphan_files(table, older_than=0, no_concurrent_writers=True)
    assert not stray.exists()
    assert not any(path.exists() for path in checksums)  # Hadoop's, of files that the sweep took
    assert orphans.quarantined_files_count == 1 + len(checksums)
    assert lakeopt.restore(table, orphans.plan_id).restored_files_count == 1 + len(checksums)
    assert stray.read_bytes() == b"PAR1"
    stray.unlink()
    assert states(spark, table) == held
    go_on(spark, table)


def test_v3_tables_are_read_with_their_deletes_and_refused_for_writing(spark: Any) -> None:
    """Deletion vectors, row lineage and an initial default: every row is read as Spark reads it, none is written."""
    table = "lake.n.third"
    spark.sql(
        f"CREATE TABLE {table} (id BIGINT, k INT) USING iceberg TBLPROPERTIES ('format-version'='3', "
        "'write.delete.mode'='merge-on-read', 'write.update.mode'='merge-on-read')"
    )
    spark.sql(f"INSERT INTO {table} SELECT id, CAST(id % 7 AS INT) FROM range(0, 100, 1, 2)")
    spark.sql(f"DELETE FROM {table} WHERE id % 5 = 1")
    iceberg = spark._jvm.org.apache.iceberg
    java = iceberg.spark.Spark3Util.loadIcebergTable(spark._jsparkSession, table)
    number_type = getattr(iceberg.types, "Types$IntegerType").get()
    java.updateSchema().addColumn("late", number_type, iceberg.expressions.Expressions.lit(5)).commit()
    spark.sql(f"REFRESH TABLE {table}")
    spark.sql(f"UPDATE {table} SET late = NULL WHERE id < 10")
    assert number(spark, f"SELECT count(*) FROM {table}.delete_files WHERE file_format = 'PUFFIN'")
    lineage = answer(spark, f"SELECT id, _row_id, _last_updated_sequence_number FROM {table}")
    expected = sorted(tuple(row) for row in spark.sql(f"SELECT * FROM {table} WHERE late IS NOT NULL").collect())
    assert len(expected) == 72

    opened = open_table(table, Settings())
    files_of_head = pa.concat_tables(opened.files(opened.snapshot_id()))
    read = pa.Table.from_batches(read_batches(opened.scan(files_of_head)))
    assert read.num_rows == 80
    assert sorted(tuple(row.values()) for row in read.drop_null().to_pylist()) == expected
    assert lakeopt.profile(table, exact=True).sampled_rows == 80
    assert lakeopt.inspect(table).delete_file_count > 0
    for write in (lakeopt.rewrite, lakeopt.rewrite_manifests, lakeopt.expire_snapshots):
        with pytest.raises(Refused, match="format version 3") as refused:
            write(table)
        assert "--engine spark" in refused.value.hint
    spark.sql(f"REFRESH TABLE {table}")
    assert answer(spark, f"SELECT id, _row_id, _last_updated_sequence_number FROM {table}") == lineage
