"""What Spark reads of Hive tables before and after a rewrite: every type, in each form that its writers know.

Read by Spark's own readers and by Hive's, which Spark calls where it is told not to convert a table.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from servers.process import ROOT, need

import lakeopt
from lakeopt.model.plan import SortField
from lakeopt.tables.open import open_table

pytestmark = [pytest.mark.service("Spark"), pytest.mark.service("Hive metastore"), pytest.mark.slow]

ROWS = 36
#: Hive type -> a value of it for the number ``id``; in each column every seventh row is null.
TYPES = {
    "tinyint": "CAST(id - 9 AS TINYINT)",
    "smallint": "CAST(id * 300 AS SMALLINT)",
    "int": "CAST(id * -70000 AS INT)",
    "bigint": "id * 5000000000",
    "float": "CAST(IF(id % 3 = 0, 'NaN', concat(id, '.25')) AS FLOAT)",
    "double": "CAST(IF(id % 4 = 0, '-0.0', concat(id, '.125')) AS DOUBLE)",
    "boolean": "id % 2 = 0",
    "string": "concat('ü', id % 5)",
    "char(5)": "concat('c', id % 3)",
    "varchar(7)": "concat('v', id % 4, ' ')",
    "binary": "unhex(concat('ff0', id % 10))",
    "date": "date_add(array(DATE '1500-02-28', DATE '1582-10-04', DATE '1890-01-01', DATE '2024-02-29')[id % 4], id)",
    "decimal(5,2)": "CAST(id * 1.37 - 20 AS DECIMAL(5,2))",
    "decimal(18,3)": "CAST(id * 1000000.001 AS DECIMAL(18,3))",
    "decimal(38,10)": "CAST(id * -123456789012345.6789 AS DECIMAL(38,10))",
    "array<int>": "IF(id % 5 = 0, array(), array(CAST(id AS INT), NULL))",
    "map<string,int>": "map(concat('k', id), CAST(id AS INT), 'other', NULL)",
    "struct<x:int,y:array<struct<z:string,w:int>>>": (
        "named_struct('x', CAST(id AS INT), 'y', array(named_struct('z', 'q', 'w', CAST(id AS INT))))"
    ),
}
OLD = "'1500-02-28 11:22:33', '1890-01-01 00:00:00', '1969-12-31 23:59:59.999999', '2024-03-10 02:30:00'"
NEW = "'1971-01-01 11:22:33.25', '2024-11-03 01:30:00', '2024-03-10 02:30:00', '1999-12-31 23:59:59.999999'"
TEXT = "the Text"
LEGACY = {f"spark.sql.parquet.{kind}RebaseModeInWrite": "LEGACY" for kind in ("datetime", "int96")}
#: Hive's own reader and writer instead of Spark's.
SERDE = {"spark.sql.hive.convertMetastoreParquet": "false", "spark.sql.hive.convertMetastoreOrc": "false"}
ZONE = "spark.sql.session.timeZone"


@dataclass(frozen=True)
class Written:
    """A table and how Spark writes it; ``holds`` is what the first file must say, so that the case is the one meant.

    Hive's reader of Spark's own jars takes no timestamp but an INT96: ``by_hive`` says whether it is asked.
    """

    stored: str
    settings: dict[str, str] = field(default_factory=dict)
    times: str = OLD
    holds: str = ""
    by_hive: bool = False


MICROS = {"spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS"}
TABLES = {
    "INT96 in Los Angeles": Written("USING parquet", {ZONE: "America/Los_Angeles"}, holds="int96"),
    "old calendar": Written("USING parquet", {**LEGACY, ZONE: "America/Los_Angeles"}, holds="legacyINT96"),
    "Spark's writer, Hive's table": Written(
        "STORED AS PARQUET", {"spark.sql.parquet.writeLegacyFormat": "true"}, holds="int96", by_hive=True
    ),
    "microseconds": Written(
        "USING parquet", {**MICROS, "spark.sql.parquet.compression.codec": "gzip"}, holds="timeUnit=microseconds"
    ),
    "old calendar, microseconds, old lists": Written(
        "STORED AS PARQUET", {**LEGACY, **MICROS, "spark.sql.parquet.writeLegacyFormat": "true"}, holds="legacyDateTime"
    ),
    "Hive's writer": Written("STORED AS PARQUET", SERDE, holds="bag", by_hive=True),
    "ORC": Written("USING orc", {"spark.sql.orc.compression.codec": "zstd"}, NEW),
    "ORC of Hive": Written("STORED AS ORC", SERDE, NEW, by_hive=True),
}


@contextmanager
def configured(spark: Any, settings: dict[str, str]) -> Iterator[None]:
    """Settings of a session for a while."""
    before = {name: spark.conf.get(name, None) for name in settings}
    for name, value in settings.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            spark.conf.unset(name) if value is None else spark.conf.set(name, value)


def fill(spark_hive: Any, table: Written, rows: int = ROWS) -> None:
    """Two partitions of three files each."""
    names = [f"c{place}" for place in range(len(TYPES))]
    names[7] = TEXT if "USING" in table.stored else "c7"  # Hive's tables take no spaces
    columns = ", ".join(f"`{name}` {kind}" for name, kind in zip(names, TYPES, strict=True))
    partition = "PARTITIONED BY (k)" if "USING" in table.stored else "PARTITIONED BY (k STRING)"
    column = ", k STRING" if "USING" in table.stored else ""
    spark_hive.sql(f"CREATE TABLE {{db}}.t (id BIGINT, {columns}, `Ts` TIMESTAMP{column}) {table.stored} {partition}")
    cells = [f"IF((id + {place}) % 7 = 0, NULL, {cell}) AS c{place}" for place, cell in enumerate(TYPES.values())]
    listed = (
        ", ".join(cells)
        .replace("AS c7,", f"AS `{names[7]}`,")
        .replace("[id % 4], id)", "[CAST(id % 4 AS INT)], CAST(id AS INT))")
    )
    times = f"CAST(array({table.times})[CAST(id % 4 AS INT)] AS TIMESTAMP)"
    keys = "IF(id % 2 = 0, NULL, 'a/b=c%20 ü')"
    with configured(spark_hive.session, {"spark.sql.shuffle.partitions": "3", **table.settings}):
        spark_hive.sql(
            f"INSERT INTO {{db}}.t SELECT id, {listed}, {times} AS ts, {keys} AS k FROM range(0, {rows}, 1, 3)"
        )


def seen(spark_hive: Any, settings: dict[str, str]) -> Counter[str]:
    """All rows as text, by one of the readers, with the microseconds of timestamps."""
    with configured(spark_hive.session, settings):
        spark_hive.sql("REFRESH TABLE {db}.t")
        found = spark_hive.sql("SELECT *, unix_micros(ts) AS micros, CAST(ts AS STRING) AS text FROM {db}.t").collect()
    return Counter(repr({**row.asDict(), "ts": None}) for row in found)


def paths(spark_hive: Any) -> list[Path]:
    """Files of the table now."""
    table = open_table(spark_hive.name("t"))
    return [Path(table.resolve(part)[1]) for some in table.files() for part in some["file_path"].to_pylist()]


def by_duckdb(files: list[Path]) -> Counter[str]:
    """Rows of Parquet files as DuckDB's reader finds them."""
    return Counter(map(repr, duckdb.read_parquet(list(map(str, files)), hive_partitioning=False).fetchall()))


def said(path: Path) -> str:
    """What a Parquet footer says: schema, key-values, writer."""
    footer = pq.ParquetFile(path)
    return f"{footer.schema} {footer.metadata.metadata} {footer.metadata.created_by}"


@pytest.mark.parametrize(
    "name",
    [
        *list(TABLES)[::3],
        *(pytest.param(one, marks=pytest.mark.full) for number, one in enumerate(TABLES) if number % 3),
    ],
)
def test_readers_find_the_same_rows_after_a_rewrite(spark_hive: Any, name: str) -> None:
    table = TABLES[name]
    fill(spark_hive, table)
    readers = [{ZONE: "UTC"}, {ZONE: "America/Los_Angeles", "spark.sql.parquet.enableVectorizedReader": "false"}]
    if table.by_hive:
        readers.append(SERDE)
    before = [seen(spark_hive, reader) for reader in readers]
    assert sum(before[0].values()) == ROWS
    first = paths(spark_hive)
    if table.holds:
        assert table.holds in said(first[0])
    told = pq.ParquetFile(first[0]).schema if "orc" not in table.stored.lower() else None
    rows = by_duckdb(first) if told is not None else None
    key = SortField(TEXT if "USING" in table.stored else "c7")
    result = lakeopt.apply(lakeopt.plan(spark_hive.name("t"), strategy="sort", sort_by=(key,)))
    assert (result.groups_done, result.groups_failed, dict(result.skipped)) == (2, 0, {})
    after = paths(spark_hive)
    assert len(after) == 2
    assert not set(after) & set(first)
    assert [seen(spark_hive, reader) for reader in readers] == before
    if told is not None:
        assert pq.ParquetFile(after[0]).schema.equals(told)
        assert by_duckdb(after) == rows


def test_files_of_two_calendars_stay_apart(spark_hive: Any) -> None:
    """Old dates in both ways of counting: no single file could say both."""
    table = TABLES["microseconds"]
    fill(spark_hive, table, 8)
    with configured(spark_hive.session, {**LEGACY, **MICROS}):
        spark_hive.sql("INSERT INTO {db}.t SELECT * FROM {db}.t")
    before = seen(spark_hive, {})
    plan = lakeopt.plan(spark_hive.name("t"), strategy="sort", sort_by=(SortField("id"),))
    assert not plan.groups
    assert {group.reason for group in plan.skipped} == {
        "dates or timestamps of its files are read by more than one calendar or zone"
    }
    assert seen(spark_hive, {}) == before


@pytest.mark.full
def test_files_of_spark_3_5_in_its_old_calendar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written and read by Spark 3.5 in the zone of Los Angeles, which refuses old dates that no key explains."""
    python = ROOT / ".venv-spark35" / "bin" / "python"
    need("Spark 3.5", python.exists(), "run `make services`")
    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(tmp_path / "state"))
    script = Path(__file__).with_name("spark_hive_session.py")
    command = [str(python), str(script), str(tmp_path / "lake")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as spark:
        assert spark.stdin is not None
        assert spark.stdout is not None
        before = json.loads(spark.stdout.readline())
        done = {}
        for name in ("parquet", "orc"):
            plan = lakeopt.plan(str(tmp_path / "lake" / name), strategy="sort", sort_by=(SortField("text"),))
            done[name] = lakeopt.apply(plan)
        spark.stdin.write("\n")
        spark.stdin.flush()
        assert json.loads(spark.stdout.readline()) == before
    assert {name: (result.groups_done, result.groups_failed) for name, result in done.items()} == {
        "parquet": (2, 0),
        "orc": (2, 0),
    }
