"""Row groups copied byte for byte, read back by Spark: by Iceberg's vectorised reader and by Spark's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoded_files import differing
from foreign_files import READERS, SCHEMA, WRITERS, part
from lake import Lake
from spark_sql import number, planned

import lakeopt
from lakeopt.model.plan import RewritePlan

pytestmark = [pytest.mark.service("Spark"), pytest.mark.slow]

MEMORY = 2 * 10**9
COLUMNS = (
    "id BIGINT, k INT, x DOUBLE, name STRING, at TIMESTAMP, amount DECIMAL(9, 2), raw BINARY, flag BOOLEAN, "
    "tags ARRAY<STRING>, place STRUCT<a: INT, b: STRING>, counts MAP<STRING, BIGINT>"
)
CELLS = (
    "CAST(coalesce(id * 37 % 1000, 0) AS INT)",
    "IF(id % 11 = 0, CAST('NaN' AS DOUBLE), id / 7)",
    "concat('name-', id % 300)",
    "timestamp '1969-12-31 22:30:00' + make_interval(0, 0, 0, 0, 0, CAST(id % 5000 AS INT))",
    "CAST(id % 90000 - 500 AS DECIMAL(9, 2))",
    "CAST(concat('k', id % 4) AS BINARY)",
    "id % 2 = 0",
    "array(concat('t', id % 3), IF(id % 5 = 0, NULL, 'u'))",
    "named_struct('a', CAST(id % 9 AS INT), 'b', concat('b', id % 8))",
    "map(concat('m', id % 3), IF(id % 7 = 0, NULL, id))",
)
TASKS, ROWS = 4, 66_000


def paths_of(spark: Any, table: str) -> list[str]:
    spark.sql(f"REFRESH TABLE {table}")
    return [row[0].removeprefix("file:") for row in spark.sql(f"SELECT file_path FROM {table}.files").collect()]


def bin_pack(spark: Any, table: str, files: float) -> RewritePlan:
    total = sum(row[0] for row in spark.sql(f"SELECT file_size_in_bytes FROM {table}.files").collect())
    return lakeopt.plan(table, strategy="bin-pack", target_file_bytes=int(total / files))


def summary(frame: Any, columns: Sequence[str]) -> tuple[int, int]:
    """Rows, and the sum of half their hashes by Spark."""
    count, total = frame.selectExpr("count(*)", f"sum(xxhash64({', '.join(columns)}) & 4294967295)").head()
    return count, total


def require_same_rows(
    spark: Any, table: str, old: list[str], before: tuple[int, int], columns: Sequence[str]
) -> list[str]:
    """Rows of before by each reader, of new files alone; their paths."""
    new = paths_of(spark, table)
    assert not set(new) & set(old)
    for frame in (spark.table(table), spark.read.parquet(*new)):
        flat = frame.select([column for column, kind in frame.dtypes if "<" not in kind])
        assert "ColumnarToRow" in flat._jdf.queryExecution().executedPlan().toString()
        assert summary(frame, columns) == before
    wanted = in_order(READERS[0](list(map(Path, old))))
    for read in READERS:
        assert differing(wanted, in_order(read(list(map(Path, new))))) == [], read.__name__
    return new


def in_order(table: pa.Table) -> pa.Table:
    """Rows by id, with numbers for floats, since NaN is not equal to itself; without maps, which Polars has not."""
    table = table.select([name for name in table.column_names if name != "counts"])
    views = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}  # no kernel of pyarrow takes rows of these
    table = table.cast(pa.schema([(column.name, views.get(column.type, column.type)) for column in table.schema]))
    table = table.sort_by("id").combine_chunks()
    for place, column in enumerate(table.schema):
        if pa.types.is_floating(column.type):
            table = table.set_column(place, column.name, table[column.name].combine_chunks().view(pa.int64()))
    return table


@pytest.mark.parametrize("kind", ["required", "optional"])
def test_files_of_spark_are_copied_and_read_back(spark: Any, kind: str) -> None:
    """Spark says in a file that a column is required where its query gives no null; the table says optional."""
    table, cells = f"lake.n.copied_{kind}", CELLS
    spark.sql(f"CREATE TABLE {table} ({COLUMNS}) USING iceberg")
    if kind == "optional":
        cells = tuple(f"IF((id + {place}) % 9 = 0, NULL, {cell})" for place, cell in enumerate(cells))
    spark.sql(f"INSERT INTO {table} SELECT id, {', '.join(cells)} FROM range(0, {TASKS * ROWS}, 1, {TASKS})")
    columns = [f"map_entries({name})" if name == "counts" else name for name in spark.table(table).columns]
    old, before = paths_of(spark, table), summary(spark.table(table), columns)
    required = [column.name for column in pq.read_schema(old[0]) if not column.nullable]
    assert required == (["id"] if kind == "optional" else ["id", "k", "tags", "place", "counts"])
    made = bin_pack(spark, table, 2)
    assert [(group.method, group.file_count) for group in made.groups] == [("copy", TASKS)], made.groups
    result = lakeopt.apply(made, memory_bytes=MEMORY)
    assert result.verification is not None
    assert result.verification.method == "bytes"
    new = require_same_rows(spark, table, old, before, columns)
    assert len(new) == 2
    assert [c.name for c in pq.read_schema(new[0]) if not c.nullable] == required
    where = "k = 77 AND name = 'name-21' AND flag = false"
    ids = {row[0] for row in spark.sql(f"SELECT id FROM {table} WHERE {where}").collect()}
    assert ids == {row[0] for row in spark.read.parquet(*old).filter(where).select("id").collect()} != set()
    assert planned(spark, table, f"id < {ROWS}").files == 1
    assert lakeopt.plan(table, strategy="bin-pack", target_file_bytes=made.target_file_bytes).groups == ()
    # Nulls come later, in files that say optional: these are copied apart, and all are one table.
    spark.sql(f"INSERT INTO {table} (id) SELECT id FROM range({TASKS * ROWS}, {TASKS * ROWS} + 9, 1, 1)")
    assert rows_where(spark, table, f"id >= {TASKS * ROWS} AND k IS NULL AND flag IS NULL") == 9


def rows_where(spark: Any, table: str, where: str) -> int:
    spark.sql(f"REFRESH TABLE {table}")
    return number(spark, f"SELECT count(*) FROM {table} WHERE {where}")


@pytest.mark.parametrize("writer", WRITERS)
def test_files_of_other_writers_are_copied_for_spark(
    spark: Any, spark_lake: tuple[Any, Path], writer: str, tmp_path: Path
) -> None:
    lake, table = Lake(spark_lake[1]), f"lake.n.copied_by_{writer}"

    def write(rows: pa.Table, sink: IO[bytes]) -> None:
        WRITERS[writer](rows, tmp_path / "part.parquet")
        sink.write((tmp_path / "part.parquet").read_bytes())

    landed = lake.create(f"n.copied_by_{writer}", SCHEMA)
    lake.land(landed, *(lake.data_file(landed, part(place), write=write) for place in range(4)))
    old = paths_of(spark, table)
    before = summary(spark.table(table), SCHEMA.names)
    made = bin_pack(spark, table, 2)
    assert [(group.method, group.file_count) for group in made.groups] == [("copy", 4)], made.groups
    lakeopt.apply(made, memory_bytes=MEMORY)
    assert len(require_same_rows(spark, table, old, before, SCHEMA.names)) == 2
    row = part(2).slice(77, 1).to_pylist()[0]
    assert rows_where(spark, table, f"id = {row['id']} AND name = '{row['name']}'") == 1
