"""The Spark engine: rewrites through Iceberg's staged path, held to lakeopt's own proof and to DuckDB's order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lakeopt
from lakeopt.engines.spark.native_ranges import native_ranges
from lakeopt.engines.spark.ordering import Term
from lakeopt.errors import (
    CommitConflict,
    CommitOutcomeUnknown,
    ConfigurationError,
    DataFileError,
    ProofFailed,
    Refused,
    StalePlan,
)
from lakeopt.keys.row_ranges import even_ranges
from lakeopt.model.plan import SortField
from lakeopt.model.result import RewriteResult

pytestmark = [pytest.mark.service("Spark"), pytest.mark.slow]

KEY = (SortField("k"), SortField("x", "desc", "last"))
MEMORY = 1 << 30


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(tmp_path / "state"))


def table(spark: Any, name: str, version: int, rows: int = 40_000, partitioned: str = "") -> str:
    """A table of two files and deletes by position; most rows share the value 7 of ``k``."""
    full = f"lake.n.{name}"
    spark.sql(
        f"CREATE TABLE {full} (id BIGINT, k INT, s STRING, x DOUBLE, at TIMESTAMP) USING iceberg {partitioned} "
        f"TBLPROPERTIES ('format-version'='{version}', 'write.delete.mode'='merge-on-read')"
    )
    for start in (0, rows // 2):
        spark.sql(
            f"INSERT INTO {full} SELECT /*+ COALESCE(1) */ id + {start}, "
            "CAST(if(id % 10 < 6, 7, id * 7919 % 1000) AS INT), "
            "if(id % 13 = 0, NULL, concat('s', id % 50)), if(id % 100 = 0, -0.0, if(id % 99 = 0, 0.0, id / 3)), "
            f"timestamp_micros(id * 61000000) FROM range({rows // 2})"
        )
    spark.sql(f"DELETE FROM {full} WHERE id % 97 = 0")
    return full


def stored(spark: Any, name: str) -> int:
    return int(spark.sql(f"SELECT sum(file_size_in_bytes) FROM {name}.data_files").head()[0])


def rows_of(spark: Any, name: str, *more: str) -> list[tuple[Any, ...]]:
    spark.sql(f"REFRESH TABLE {name}")
    columns = ", ".join(("id", "k", "s", "x", "at", *more))
    return sorted(map(tuple, spark.sql(f"SELECT {columns} FROM {name}").collect()))


def rewrite(spark: Any, name: str, files: int, **choices: Any) -> RewriteResult:
    target = -(-stored(spark, name) // files)
    return lakeopt.rewrite(name, target_file_bytes=target, memory_bytes=MEMORY, threads=2, **choices)


def written(spark: Any, name: str) -> list[pa.Table]:
    """The new data files in the order of the layout."""
    spark.sql(f"REFRESH TABLE {name}")
    paths = [row[0] for row in spark.sql(f"SELECT file_path FROM {name}.data_files").collect()]
    return [pq.read_table(path.removeprefix("file:").replace("//", "/")) for path in sorted(paths)]


def sort_key(row: dict[str, Any]) -> tuple[Any, ...]:
    """As the spec compares: -0.0 below 0.0, ``x`` descending."""
    return row["k"], -row["x"], str(row["x"]).startswith("-")


def test_v2_is_rewritten_in_even_sorted_files_and_deletes_are_gone(spark: Any) -> None:
    name = table(spark, "sorted_v2", 2)
    before = rows_of(spark, name)
    result = rewrite(spark, name, 4, engine="spark", sort_by=KEY)
    assert rows_of(spark, name) == before
    files = written(spark, name)
    counts = [file.num_rows for file in files]
    assert result.added_data_files_count == len(counts) == 4
    assert max(counts) <= 1.01 * min(counts), "one value has 60 % of the rows"
    keys = [sort_key(row) for file in files for row in file.select(["k", "x"]).to_pylist()]
    assert keys == sorted(keys)
    assert result.verification is not None
    assert result.verification.method == "rows"
    head = spark.sql(f"SELECT operation, summary FROM {name}.snapshots ORDER BY committed_at DESC").head()
    assert (head[0], head[1]["lakeopt.plan-id"]) == ("replace", result.plan_id)
    assert spark.sql(f"SELECT count(*) FROM {name}.delete_files").head()[0] == 0


def test_v3_keeps_row_lineage_and_drops_its_deletion_vectors(spark: Any) -> None:
    name = table(spark, "sorted_v3", 3)
    lineage = ("_row_id", "_last_updated_sequence_number")
    before = rows_of(spark, name, *lineage)
    assert spark.sql(f"SELECT count(*) FROM {name}.delete_files WHERE file_format = 'PUFFIN'").head()[0] == 2
    with pytest.raises(Refused, match="format version 3"):
        rewrite(spark, name, 4, engine="duckdb", sort_by=KEY)
    result = rewrite(spark, name, 4, engine="spark", sort_by=KEY)
    assert rows_of(spark, name, *lineage) == before
    assert result.removed_delete_files_count == 2
    assert spark.sql(f"SELECT count(*) FROM {name}.delete_files").head()[0] == 0
    head = spark.sql(f"SELECT operation, snapshot_id FROM {name}.snapshots ORDER BY committed_at DESC").head()
    assert (head[0], str(head[1])) == ("replace", result.snapshot_ids[0])


def test_a_delete_since_the_plan_ends_it_and_an_append_does_not(spark: Any) -> None:
    name = table(spark, "raced_v3", 3, rows=2000)
    first = lakeopt.plan(name, engine="spark", sort_by=KEY)
    spark.sql(f"INSERT INTO {name} VALUES (-1, 0, 'new', 0.5, NULL)")
    lakeopt.apply(first, memory_bytes=MEMORY)
    assert spark.sql(f"SELECT count(*) FROM {name} WHERE id = -1").head()[0] == 1
    second = lakeopt.plan(name, engine="spark", sort_by=(SortField("id"),))
    spark.sql(f"DELETE FROM {name} WHERE id = 500")
    before = rows_of(spark, name)
    with pytest.raises(StalePlan):
        lakeopt.apply(second, memory_bytes=MEMORY)
    assert rows_of(spark, name) == before


def test_ranges_in_words_of_spark_are_those_of_lakeopt(spark: Any) -> None:
    generator = np.random.default_rng(3)
    rows = [
        (None if a < 0 else int(a), None if b < 1 else "\u00e9ab"[int(b) % 3] * int(b), n)
        for n, (a, b) in enumerate(zip(generator.integers(-2, 9, 500), generator.integers(0, 6, 500), strict=True))
    ]
    frame = spark.createDataFrame(rows, "a INT, b STRING, n BIGINT")
    held = pa.table({"a": pa.array([r[0] for r in rows], pa.int32()), "b": [r[1] for r in rows], "n": range(500)})
    columns = [column.combine_chunks() for column in held.columns]
    for ascending, nulls_first in ((True, True), (True, False), (False, True), (False, False)):
        order = [Term("a", ascending, nulls_first), Term("b", not ascending, nulls_first), Term("n")]
        ranges = even_ranges(columns, [term.direction for term in order], 9)
        native = native_ranges(ranges, order)
        assert native is not None
        found = dict(frame.select("n", native.alias("place")).collect())
        assert [found[n] for n in range(500)] == ranges(columns).tolist()
        assert max(Counter(found.values()).values()) <= 56
    assert native_ranges(even_ranges(columns, [(True, True)] * 3, 90), order) is None
    floats = [pa.array([0.5, 1.5])]
    assert native_ranges(even_ranges(floats, [(True, True)], 2), [Term("x")]) is None


@pytest.mark.parametrize(
    "strategy", ["z-order", *(pytest.param(one, marks=pytest.mark.full) for one in ("hilbert", "pv-buckets"))]
)
def test_layouts_of_cut_points_hold_the_rows_and_their_order(spark: Any, strategy: str) -> None:
    name = table(spark, f"cut_{strategy.replace('-', '_')}", 2, rows=20_000)
    columns = (SortField("s"), SortField("at")) if strategy == "pv-buckets" else (SortField("k"), SortField("at"))
    before = rows_of(spark, name)
    result = rewrite(spark, name, 3, engine="spark", strategy=strategy, sort_by=columns)
    assert rows_of(spark, name) == before
    assert result.layout.strategy == strategy
    if strategy == "pv-buckets":
        assert all(len(set(file["s"].to_pylist())) < 51 for file in written(spark, name))


@pytest.mark.full
def test_partitions_stay_and_no_file_is_left_beside_those_of_the_table(
    spark: Any, spark_lake: tuple[Any, Path]
) -> None:
    name = table(spark, "parted", 2, rows=4000, partitioned="PARTITIONED BY (bucket(2, id))")
    before = rows_of(spark, name)
    rewrite(spark, name, 1, engine="spark", strategy="bin-pack")
    assert rows_of(spark, name) == before
    assert files_of(spark_lake, "parted") <= listed(spark, name)


def test_what_spark_cannot_express_is_in_the_plan(spark: Any) -> None:
    name = table(spark, "choices", 2, rows=2000)
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('write.parquet.row-group-limit'='500')")
    plan = lakeopt.plan(name, engine="spark", sort_by=KEY)
    assert plan.not_applied == ("row groups of 500 rows: Spark cuts them by bytes alone",)
    assert lakeopt.plan(name, engine="duckdb", sort_by=KEY).not_applied == ()


@pytest.mark.full
def test_a_catalog_that_spark_knows_under_another_name(spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = table(spark, "renamed", 2, rows=2000)
    plan = lakeopt.plan(name, engine="spark", sort_by=KEY)
    from lakeopt.config import Settings

    wrong = Settings(spark={"spark.lakeopt.catalog.lake": "nowhere"})
    with pytest.raises(ConfigurationError, match="nowhere"):
        lakeopt.apply(plan, memory_bytes=MEMORY, settings=wrong)
    assert lakeopt.apply(plan, memory_bytes=MEMORY).groups_done == 1


def test_connect_is_refused_with_the_reason(spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name = table(spark, "connected", 2, rows=2000)
    monkeypatch.setenv("SPARK_REMOTE", "sc://localhost")
    with pytest.raises(Refused, match="Spark Connect"):
        rewrite(spark, name, 1, engine="spark", sort_by=KEY)


@pytest.mark.full
def test_a_lost_answer_is_looked_for_by_the_snapshot_that_was_announced(
    spark: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakeopt.engines.spark import replace_files

    name = table(spark, "lost_answer", 3, rows=2000)
    before = rows_of(spark, name)
    send = replace_files._send

    def lose(transaction: Any, snapshot_id: int) -> None:
        send(transaction, snapshot_id)
        raise CommitOutcomeUnknown("the connection broke")

    monkeypatch.setattr(replace_files, "_send", lose)
    result = rewrite(spark, name, 1, engine="spark", sort_by=KEY)
    spark.sql(f"REFRESH TABLE {name}")
    head = spark.sql(f"SELECT snapshot_id FROM {name}.snapshots ORDER BY committed_at DESC").head()[0]
    assert result.snapshot_ids == (str(head),)
    assert rows_of(spark, name) == before


@pytest.mark.full
def test_a_commit_that_fails_leaves_the_table_and_no_file(
    spark: Any, spark_lake: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lakeopt.engines.spark import replace_files

    name = table(spark, "overtaken", 3, rows=2000)
    before = rows_of(spark, name)
    send = replace_files._send

    def overtake(transaction: Any, snapshot_id: int) -> None:
        spark.sql(f"DELETE FROM {name} WHERE id = 501")
        send(transaction, snapshot_id)

    monkeypatch.setattr(replace_files, "_send", overtake)
    with pytest.raises(CommitConflict):
        rewrite(spark, name, 1, engine="spark", sort_by=KEY)
    assert rows_of(spark, name) == [row for row in before if row[0] != 501]
    assert files_of(spark_lake, "overtaken") <= listed(spark, name)


@pytest.mark.full
def test_a_data_file_that_is_gone_ends_it_before_anything_is_written(spark: Any, spark_lake: tuple[Any, Path]) -> None:
    name = table(spark, "torn", 2, rows=2000)
    plan = lakeopt.plan(name, engine="spark", sort_by=KEY)
    gone = Path(plan.groups[0].data_files[0].path.removeprefix("file:"))
    kept = gone.read_bytes()
    gone.unlink()
    with pytest.raises(DataFileError):
        lakeopt.apply(plan, memory_bytes=MEMORY)
    gone.write_bytes(kept)
    assert files_of(spark_lake, "torn") <= listed(spark, name)
    assert lakeopt.apply(plan, memory_bytes=MEMORY).groups_done == 1


def test_rows_that_lose_their_lineage_are_found_out(spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from lakeopt.engines.spark import stage

    name = table(spark, "lineage_lost", 3, rows=2000)
    before = rows_of(spark, name, "_row_id")
    whole = stage._sorted

    def without(frame: Any, *more: Any) -> Any:
        from pyspark.sql import functions as f

        return whole(frame, *more).withColumn("_row_id", f.lit(None).cast("bigint"))

    monkeypatch.setattr(stage, "_sorted", without)
    with pytest.raises(ProofFailed, match="lineage"):
        rewrite(spark, name, 1, engine="spark", sort_by=KEY)
    assert rows_of(spark, name, "_row_id") == before


def listed(spark: Any, name: str) -> set[str]:
    """Paths of all data files that any snapshot names."""
    spark.sql(f"REFRESH TABLE {name}")
    paths = spark.sql(f"SELECT file_path FROM {name}.all_files").collect()
    return {row[0].removeprefix("file:").replace("//", "/") for row in paths}


def files_of(lake: tuple[Any, Path], table: str) -> set[str]:
    """Paths of the Parquet files below the table's data folder."""
    return {str(path) for path in (lake[1] / "warehouse" / "n" / table / "data").rglob("*.parquet")}
