"""Real services. A missing tool is named and its tests are skipped; with ``CI=true`` that is a failure."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from servers.hive import Hive
from servers.process import CACHE, ROOT, need

JARS = CACHE / "jars"
#: A program for another version of Spark, which reads its arguments.
collect_ignore = ["spark_read.py", "spark_hive_session.py"]


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., pa.Table]:
    """``oracle(metadata_location, snapshot_id=None)``: the table's rows as DuckDB's iceberg extension reads them."""
    python = ROOT / ".venv-oracle" / "bin" / "python"
    need("independent reader (DuckDB's iceberg extension)", python.exists(), "run `make services`")

    def read(metadata_location: str, snapshot_id: int | None = None) -> pa.Table:
        out = tmp_path_factory.mktemp("oracle") / "rows.parquet"
        script = Path(__file__).with_name("oracle_read.py")
        metadata = metadata_location.removeprefix("file://")
        arguments = [str(python), str(script), metadata, str(out)] + ([str(snapshot_id)] if snapshot_id else [])
        done = subprocess.run(arguments, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return pq.read_table(out)

    return read


@pytest.fixture(scope="session")
def spark_lake(tmp_path_factory: pytest.TempPathFactory, hive_port: int) -> Iterator[tuple[Any, Path]]:
    """A Spark session with Iceberg's own runtime over a SQLite catalog ``lake``, and the catalog's folder.

    Its own catalog is Hive's metastore, which :func:`spark_hive` starts; who uses ``lake`` alone does without.

    One session a test run: a JVM holds one active session and its static settings cannot change.
    """
    need("Spark", shutil.which("java") is not None, "install a JDK 17")
    jars = sorted(JARS.glob("*.jar")) if JARS.exists() else []
    need("Spark with Iceberg's runtime", len(jars) >= 2, "install Maven and run `make services`")
    need("Spark", importlib.util.find_spec("pyspark") is not None, "install the extra `spark`")
    from pyspark import sql

    folder = tmp_path_factory.mktemp("spark-lake")
    settings = {
        "spark.jars": ",".join(map(str, jars)),
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.driver.memory": "1g",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.type": "jdbc",
        "spark.sql.catalog.lake.jdbc.schema-version": "V1",
        "spark.sql.catalog.lake.uri": f"jdbc:sqlite:{folder}/catalog.db",
        "spark.sql.catalog.lake.warehouse": f"file://{folder}/warehouse",
        "spark.sql.warehouse.dir": f"file://{folder}/spark-warehouse",
        "spark.hadoop.hive.metastore.uris": f"thrift://127.0.0.1:{hive_port}",
        "spark.hadoop.hive.exec.dynamic.partition.mode": "nonstrict",
        "spark.sql.catalog.hice": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.hice.type": "hive",
        "spark.sql.catalog.hice.uri": f"thrift://127.0.0.1:{hive_port}",
    }
    session = sql.SparkSession.builder.master("local[2]").config(map=settings).enableHiveSupport().getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session, folder
    finally:
        session.stop()


@pytest.fixture
def spark(spark_lake: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The session, with the same catalog configured for pyiceberg."""
    session, folder = spark_lake
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__TYPE", "sql")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", f"sqlite:///{folder}/catalog.db")
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__WAREHOUSE", f"file://{folder}/warehouse")
    session.sql("CREATE NAMESPACE IF NOT EXISTS lake.n")
    return session


class SparkHive(NamedTuple):
    """A Spark session, a Hive database of its own (also at ``folder``), and that metastore as catalog ``hms``."""

    session: Any
    database: str
    folder: Path

    def sql(self, text: str) -> Any:
        """Run one statement; ``{db}`` stands for the database."""
        return self.session.sql(text.replace("{db}", self.database))

    def name(self, table: str) -> str:
        """How lakeopt is told of a table of the database."""
        return f"hms.{self.database}.{table}"


@pytest.fixture
def spark_hive(
    spark_lake: tuple[Any, Path], hive: Hive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SparkHive]:
    """Spark over a real metastore, in a new database of a folder of its own; ``hms`` is configured for pyiceberg."""
    session, _ = spark_lake
    database, folder = f"d{uuid.uuid4().hex[:12]}", tmp_path / "hive"
    properties = {"TYPE": "hive", "URI": hive.uri, "WAREHOUSE": folder.as_uri(), "HIVE__HIVE2_COMPATIBLE": "true"}
    for name, value in properties.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__HMS__{name}", value)
    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(tmp_path / "state"))
    session.sql(f"CREATE DATABASE {database} LOCATION '{folder.as_uri()}'")
    yield SparkHive(session, database, folder)
    session.sql(f"DROP DATABASE {database} CASCADE")
