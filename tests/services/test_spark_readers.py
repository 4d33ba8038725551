"""What Spark's own vectorised Parquet reader and Iceberg's read of each encoding and feature, in the versions tested.

Iceberg 1.12 reads in the session of the other tests, older ones in a process of Spark 3.5.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import encoded_files
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoded_files import FILTERED, NESTED, OTHERS, differing, rows_of, types_of
from lake import Lake
from servers.process import CACHE, ROOT, need

from lakeopt.layout.readers import READERS
from lakeopt.model.scan import ENCODINGS

pytestmark = pytest.mark.service("Spark")

#: Spark reads no times, and Iceberg reads nested columns row by row, in their default encoding.
LEFT_OUT = {"time", *NESTED}
CONTENTS = (*ENCODINGS, *OTHERS, "byte-stream-split")


def _content(name: str) -> tuple[str, pa.Table, Callable[[pa.Table, IO[bytes]], None]]:
    """What a file of that name proves, its rows, and how it is written."""
    if name in ENCODINGS:
        types = tuple(kind for kind in types_of(name) if kind not in LEFT_OUT)
        return name, rows_of(types), lambda rows, sink: encoded_files.write_encoded(rows, sink, name)
    if name == "byte-stream-split":
        encodings = dict.fromkeys(("float", "double"), "BYTE_STREAM_SPLIT")
        return name, rows_of(("float", "double")), lambda rows, sink: encoded_files.write_other(rows, sink, encodings)
    other = OTHERS[name]
    return other.feature, rows_of(tuple(kind for kind in other.types if kind not in LEFT_OUT)), other.write


@pytest.fixture(scope="module")
def encoded(spark_lake: tuple[Any, Path]) -> dict[str, tuple[str, str, str]]:
    """Content -> what it proves, the Iceberg table that holds it, and its one file."""
    lake, made = Lake(spark_lake[1]), {}
    for name in CONTENTS:
        feature, rows, write = _content(name)
        table = lake.create(f"readers.{name.replace('-', '_')}", rows.schema)
        file = lake.data_file(table, rows, write=write)
        lake.land(table, file)
        made[name] = feature, f"lake.readers.{name.replace('-', '_')}", file.file_path.removeprefix("file://")
    return made


def _judge(reads: frozenset[str], feature: str, path: str, outcome: str, read: Callable[[], pa.Table]) -> None:
    """``outcome`` says how the file was read, or what the reader said of it."""
    if feature not in reads:
        assert "UnsupportedOperationException" in outcome or "ArrayIndexOutOfBoundsException" in outcome
        return
    assert outcome == "vectorised"
    assert differing(pq.read_table(path), read()) == []


def test_readers_of_this_version(spark: Any, encoded: dict[str, tuple[str, str, str]]) -> None:
    assert spark.version.startswith("4.1.")
    for feature, table, path in encoded.values():
        for reader, version, source in (("spark", "4.1", path), ("spark-iceberg", "1.12", table)):
            # Iceberg 1.12 reads what Spark itself does not; that does not make it fit to be written.
            if reader == "spark-iceberg" and feature == "byte-stream-split":
                continue
            frame = spark.read.parquet(source) if reader == "spark" else spark.table(source)
            plan = frame._jdf.queryExecution().executedPlan().toString()
            try:
                read, outcome = frame.toArrow(), "vectorised" if "ColumnarToRow" in plan else "row by row"
            except Exception as error:
                read, outcome = None, str(error)
            _judge(READERS[reader][version], feature, path, outcome, lambda read=read: read)


@pytest.mark.parametrize("iceberg", ["1.9.2", "1.10.1"])
def test_readers_of_older_versions(
    spark_lake: tuple[Any, Path], encoded: dict[str, tuple[str, str, str]], tmp_path: Path, iceberg: str
) -> None:
    python, version = ROOT / ".venv-spark35" / "bin" / "python", iceberg.rpartition(".")[0]
    jar = CACHE / "spark35-jars" / f"iceberg-spark-runtime-3.5_2.12-{iceberg}.jar"
    need("Spark 3.5 with Iceberg's older runtimes", python.exists() and jar.exists(), "run `make services`")
    reads = {f"spark-iceberg {name}": table for name, (_, table, _) in encoded.items()}
    if version == min(READERS["spark-iceberg"], key=lambda text: [int(part) for part in text.split(".")]):
        reads |= {f"spark {name}": path for name, (_, _, path) in encoded.items()}
    asked = {
        "jars": [str(jar), *map(str, (CACHE / "jars").glob("sqlite-jdbc-*.jar"))],
        "catalog": str(spark_lake[1]),
        "reads": reads,
        "out": str(tmp_path),
    }
    script = Path(__file__).with_name("spark_read.py")
    done = subprocess.run([str(python), str(script), json.dumps(asked)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, outcome in json.loads(done.stdout.splitlines()[-1]).items():
        reader, content = name.split(" ")
        feature, _, path = encoded[content]
        entry = READERS[reader]["3.5" if reader == "spark" else version]
        _judge(entry, feature, path, outcome, lambda name=name: pq.read_table(tmp_path / name))


@pytest.mark.usefixtures("hive")  # Spark's own catalog is the metastore
def test_no_filter_hides_a_value_from_spark(spark: Any, encoded: dict[str, tuple[str, str, str]]) -> None:
    _, table, path = encoded["bloom-filters"]
    rows = pq.read_table(path)
    asked: list[tuple[str, str, int]] = []
    for column in (f"{name}_dense" for name in FILTERED if name not in LEFT_OUT):
        values = rows[column].to_pylist()
        kind = {"date32[day]": "DATE", "timestamp[us]": "TIMESTAMP_NTZ"}.get(str(rows[column].type), "")
        for value in list(dict.fromkeys(values))[6:200:110]:
            literal = str(value) if column.startswith(("int", "long")) else f"{kind or 'TIMESTAMP'} '{value}'"
            asked.append((column, f"'{value}'" if column.startswith("string") else literal, values.count(value)))
    for source in (table, f"parquet.`{path}`"):
        counts = [f"SELECT {n}, count(*) FROM {source} WHERE {c} = {v}" for n, (c, v, _) in enumerate(asked)]
        found = dict(map(tuple, spark.sql(" UNION ALL ".join(counts)).collect()))
        assert [found[n] for n in range(len(asked))] == [count for _, _, count in asked], source
