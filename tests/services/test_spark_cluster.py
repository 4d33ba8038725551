"""Spark whose executors are processes of their own: they write the rows, and they prove them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lake import Lake
from servers.process import CACHE, need

import lakeopt
from lakeopt.model.plan import SortField

pytestmark = [pytest.mark.service("Spark"), pytest.mark.slow]

JARS = CACHE / "jars"
#: Two executors of one core each, started by Spark itself.
CLUSTER = "local-cluster[2,1,1024]"


@pytest.fixture
def on_executors(lake: Lake, tmp_path: Path) -> dict[str, str]:
    """Environment of a process whose Spark knows the lake's catalog, and is of this machine alone."""
    need("Spark", shutil.which("java") is not None, "install a JDK 17")
    need("Spark with Iceberg's runtime", JARS.exists(), "install Maven and run `make services`")
    return {**os.environ, "LAKEOPT_SPARK_JARS": str(JARS), "SPARK_LOCAL_IP": "127.0.0.1"}


def rewrite(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lakeopt", "rewrite", "db.t", "--engine", "spark", "--yes", "--json", *options]
    command += ["--spark-conf", f"spark.master={CLUSTER}", "--spark-conf", "spark.executor.memory=512m"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)


def land(lake: Lake) -> pa.Table:
    rows = pa.table({"id": range(20_000), "k": [f"k{number * 7919 % 1000}" for number in range(20_000)]})
    lake.catalog.create_namespace("db")
    table = lake.catalog.create_table("db.t", rows.schema)
    for start in range(0, 20_000, 5_000):
        table.append(rows.slice(start, 5_000))
    return rows


@pytest.mark.full
def test_executors_write_and_prove(lake: Lake, on_executors: dict[str, str], tmp_path: Path) -> None:
    rows, log = land(lake), tmp_path / "events"
    log.mkdir()
    logged = {"enabled": "true", "compress": "false", "dir": log.as_uri()}
    settings = [word for name, value in logged.items() for word in ("--spark-conf", f"spark.eventLog.{name}={value}")]
    done = rewrite(on_executors, "--sort-by", "k", *settings)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["verification"]["matched"]
    written = lake.catalog.load_table("db.t").scan().to_arrow()
    assert written.sort_by("id").equals(rows.cast(written.schema))
    told = subprocess.run(["grep", "-rhoE", "lakeopt: (proof|db.t)", str(log)], capture_output=True, text=True).stdout
    assert set(told.split("\n")) >= {"lakeopt: proof", "lakeopt: db.t"}
    # The digest is that of any other engine for the same rows.
    again = lakeopt.rewrite("db.t", sort_by=(SortField("id"),), engine="duckdb", threads=1)
    assert again.verification is not None
    assert again.verification.fingerprint == result["verification"]["fingerprint"]
