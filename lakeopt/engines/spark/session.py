"""The Spark session that a rewrite runs in: the one that is there, or one of the user's own configuration."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lakeopt.engines.spark.configuration import Installation, given, jar_settings, refuse_connect, require_java
from lakeopt.errors import ConfigurationError, MissingExtra, first_line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: A class of Iceberg's runtime that all versions have, and without which nothing is rewritten.
_PROBE = "org.apache.iceberg.spark.ScanTaskSetManager"
#: How much of the process's memory the driver's JVM takes where Spark runs in it, of what lakeopt may use.
_LOCAL_SHARE = 0.6


def session(conf: Mapping[str, str], *, threads: int, memory_bytes: int) -> SparkSession:
    """The active session with the given settings, else a new one: of the user's configuration, local by default.

    :raises Refused: Spark Connect is configured.
    :raises MissingExtra: pyspark is not installed.
    :raises ConfigurationError: no Java, a wrong one, no runtime of Iceberg, or Spark does not start.
    """
    refuse_connect(conf)
    active = active_session()
    if active is None:
        active = _started(given(conf), threads, memory_bytes)
    for name, value in conf.items():
        if name.startswith("spark.sql."):
            active.conf.set(name, value)
    _require_runtime(active)
    _share_python(active)
    return active


def active_session() -> SparkSession | None:
    """The session that this process has already, if it has one.

    :raises MissingExtra: pyspark is not installed.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise MissingExtra("pyspark", "spark") from error
    return SparkSession.getActiveSession()


def _started(conf: Mapping[str, str], threads: int, memory_bytes: int) -> SparkSession:
    from pyspark.sql import SparkSession

    installation = Installation.find()
    jars = jar_settings(installation, conf)
    require_java(installation)
    local = {
        "spark.master": f"local[{threads}]",
        "spark.driver.memory": f"{max(512, int(memory_bytes * _LOCAL_SHARE) >> 20)}m",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
    }
    settings = {"spark.app.name": "lakeopt", "spark.ui.showConsoleProgress": "false", "spark.log.level": "ERROR"}
    settings |= {} if "spark.master" in conf else local
    handler = signal.getsignal(signal.SIGINT)
    try:
        return SparkSession.builder.config(map={**settings, **conf, **jars}).getOrCreate()
    except Exception as error:  # py4j, pyspark and the gateway's own process raise types of many kinds
        raise ConfigurationError(f"Spark does not start: {reason(error)}", hint="see its log above") from error
    finally:
        # Spark puts a handler in its place that talks to the JVM amid an answer, so that Ctrl-C ends in any error.
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGINT, handler)


def _share_python(spark: SparkSession) -> None:
    """Workers of a local Spark run this very Python, which has lakeopt; those of a cluster what the user says."""
    context = spark.sparkContext
    if str(context.master).startswith("local") and "PYSPARK_PYTHON" not in os.environ:
        context.pythonExec = sys.executable


def _require_runtime(spark: SparkSession) -> None:
    try:
        jvm(spark).java.lang.Class.forName(
            _PROBE, True, jvm(spark).java.lang.Thread.currentThread().getContextClassLoader()
        )
    except Exception as error:
        installation = Installation.find()
        raise ConfigurationError(
            "Iceberg's runtime is not among the jars of the Spark session",
            hint=f"start it with spark.jars.packages=org.apache.iceberg:{installation.runtime}:<version>",
        ) from error


def jvm(spark: SparkSession) -> Any:
    """Java's classes, as py4j shows them."""
    return spark._jvm


def java_classes(error: BaseException) -> list[str]:
    """Names of the Java classes of what was raised in the JVM and of its causes, the outermost first."""
    return [one.getClass().getName() for one in _causes(error)]


def reason(error: BaseException) -> str:
    """What was raised in the JVM or in a worker's Python, in one line: the innermost message."""
    if "Traceback (most recent call last)" in str(error):
        raised = [
            line for line in str(error).splitlines() if re.match(r"[\w.]+(Error|Exception|Interrupt|Exit)\b", line)
        ]
        if raised:
            return raised[-1]
    messages = [str(one.getMessage()) for one in _causes(error) if one.getMessage()]
    return messages[-1].strip().splitlines()[0] if messages and messages[-1].strip() else first_line(error)


def _causes(error: BaseException) -> list[Any]:
    found: list[Any] = []
    inner = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    while inner is not None and len(found) < 20:
        found.append(inner)
        inner = inner.getCause()
    return found
