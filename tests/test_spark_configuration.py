"""What Spark is told before it starts: no JVM is needed to know what is wrong with it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from lakeopt.config import load_settings
from lakeopt.engines.spark.catalogs import derived
from lakeopt.engines.spark.configuration import Installation, given, jar_settings, refuse_connect, require_java
from lakeopt.engines.spark.writer_settings import not_applied, table_properties
from lakeopt.errors import ConfigurationError, Refused, UnknownName
from lakeopt.model.scan import WriterOptions

RUNTIME = "iceberg-spark-runtime-4.1_2.13-1.12.0.jar"


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    for name in ("SPARK_CONF_DIR", "SPARK_HOME", "PYSPARK_SUBMIT_ARGS", "LAKEOPT_SPARK_JARS", "SPARK_REMOTE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "jars").mkdir()
    return Installation(tmp_path, "4.1", "2.13")


def folder(tmp_path: Path, *names: str) -> str:
    made = tmp_path / "given"
    made.mkdir(exist_ok=True)
    for name in names:
        (made / name).touch()
    return str(made)


def test_the_command_line_is_before_submit_arguments_and_these_before_defaults(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "spark-defaults.conf").write_text("spark.master yarn\nspark.a = 1\nspark.b 1\nspark.c\t1\n")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--conf spark.b=2 --conf spark.c=2 pyspark-shell")
    assert given({"spark.c": "3"}) == {"spark.master": "yarn", "spark.a": "1", "spark.b": "2", "spark.c": "3"}


def test_a_runtime_is_found_in_a_folder_with_what_lies_beside_it(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEOPT_SPARK_JARS", folder(tmp_path, RUNTIME, "sqlite-jdbc-3.jar"))
    found = jar_settings(installation, {"spark.jars": "mine.jar"})["spark.jars"].split(",")
    assert [Path(jar).name for jar in found] == ["mine.jar", RUNTIME, "sqlite-jdbc-3.jar"]


@pytest.mark.parametrize(
    "conf",
    [
        {"spark.jars": f"/x/{RUNTIME}"},
        {"spark.jars.packages": "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0"},
        {"spark.driver.extraClassPath": f"/x/{RUNTIME}:/y.jar"},
    ],
)
def test_a_runtime_that_the_user_names_is_left_to_spark(installation: Installation, conf: dict[str, str]) -> None:
    assert jar_settings(installation, conf) == {}


def test_no_runtime_and_a_wrong_one_name_the_right_one(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=r"Spark 4\.1 is not there") as error:
        jar_settings(installation, {})
    assert "iceberg-spark-runtime-4.1_2.13:1.12.0" in str(error.value.hint)
    monkeypatch.setenv("LAKEOPT_SPARK_JARS", folder(tmp_path, "iceberg-spark-runtime-3.5_2.12-1.10.1.jar"))
    with pytest.raises(ConfigurationError, match="another Spark"):
        jar_settings(installation, {})
    wrong_scala = {"spark.jars": "iceberg-spark-runtime-4.1_2.12-1.12.0.jar"}
    with pytest.raises(ConfigurationError, match="another Spark"):
        jar_settings(installation, wrong_scala)


def test_no_java_and_an_old_one(installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match="there is none"):
        require_java(installation)
    java = tmp_path / "old" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    java.chmod(java.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    with pytest.raises(ConfigurationError, match=r"needs Java 17, .* is 11"):
        require_java(installation)
    require_java(Installation(tmp_path, "3.5", "2.12"))


@pytest.mark.parametrize("conf", [{"spark.remote": "sc://x"}, {"spark.api.mode": "connect"}])
def test_connect_is_refused(installation: Installation, conf: dict[str, str]) -> None:
    refuse_connect({})
    with pytest.raises(Refused, match="Spark Connect"):
        refuse_connect(conf)


def test_catalogs_are_told_to_spark_as_pyiceberg_has_them() -> None:
    sql = {"type": "sql", "uri": "sqlite:////data/c.db", "warehouse": "file:///wh"}
    assert derived("lake", sql) == {
        "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.type": "jdbc",
        "spark.sql.catalog.lake.jdbc.schema-version": "V1",
        "spark.sql.catalog.lake.uri": "jdbc:sqlite:/data/c.db",
        "spark.sql.catalog.lake.warehouse": "file:///wh",
    }
    stored = {"uri": "http://h:1", "s3.endpoint": "http://s", "s3.region": "eu", "s3.access-key-id": "k"}
    rest = derived("r", stored)
    assert rest["spark.sql.catalog.r.type"] == "rest"
    assert rest["spark.sql.catalog.r.s3.path-style-access"] == "true"
    assert rest["spark.sql.catalog.r.client.region"] == "eu"
    assert rest["spark.sql.catalog.r.s3.access-key-id"] == "k"
    assert derived("h", {"uri": "thrift://h:9083"})["spark.sql.catalog.h.type"] == "hive"
    with pytest.raises(ConfigurationError, match="in-memory") as error:
        derived("m", {"type": "in-memory"})
    assert "spark.lakeopt.catalog.m" in str(error.value.hint)


def test_the_writer_in_words_of_java_and_what_it_has_none_for() -> None:
    writer = WriterOptions(codec="none", encodings={"a": "plain"}, bloom_filters={"b": 9}, row_group_rows=5)
    told = table_properties(writer, "/t")
    assert told["write.parquet.compression-codec"] == "uncompressed"
    assert told["write.parquet.bloom-filter-enabled.column.b"] == "true"
    assert len(not_applied(writer)) == 2
    assert not_applied(WriterOptions(level=9)) == ()


def test_sections_of_lakeopt_toml(tmp_path: Path) -> None:
    path = tmp_path / "lakeopt.toml"
    path.write_text(
        '[spark.conf]\n"spark.master" = "local[4]"\n"spark.ui.enabled" = true\n[spark.catalogs]\nlake = "prod"\n'
    )
    assert load_settings(tmp_path, {}).spark == {
        "spark.master": "local[4]",
        "spark.ui.enabled": "true",
        "spark.lakeopt.catalog.lake": "prod",
    }
    path.write_text("[spark.catalog]\nlake = 'prod'\n")
    with pytest.raises(UnknownName, match="section of spark"):
        load_settings(tmp_path, {})
    path.write_text("[spark.conf]\nspark.master = 'local'\n")
    with pytest.raises(ConfigurationError, match="must be text"):
        load_settings(tmp_path, {})
