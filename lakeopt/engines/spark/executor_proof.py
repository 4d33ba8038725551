"""The fingerprint of a scan, taken on a cluster: each task reads some of the files, with the reader of all engines.

Spark only hands files out. Its own reader gives :mod:`~lakeopt.engines.spark.stage` its rows, so that a fault of it
would prove itself equal.
"""

from __future__ import annotations

import heapq
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.engines.spark.session import reason
from lakeopt.engines.spark.unfinished import job_group
from lakeopt.errors import ConfigurationError, DataFileError, WorkFailed
from lakeopt.model.result import Fingerprint, added
from lakeopt.model.scan import Scan

if TYPE_CHECKING:
    from pyarrow import fs
    from pyspark.sql import SparkSession

#: Tasks for each that may run at once: files differ in size, and executors in speed.
_WAVES = 3
#: Memory of one task's Python worker, beside the executor's JVM, for what is decoded and hashed at once.
_TASK_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Located:
    """Where files lie, found on the driver: an executor needs no catalog, and gets the credentials of these files."""

    places: Mapping[str, tuple[fs.FileSystem, str]]

    def __call__(self, location: str) -> tuple[fs.FileSystem, str]:
        return self.places[location]


@dataclass(frozen=True, slots=True)
class _Measure:
    """What a task does with its part of a scan."""

    by_column: bool

    def __call__(self, part: Scan) -> Fingerprint:
        from lakeopt.engines._fingerprint import fingerprint

        return fingerprint(part, threads=1, memory_bytes=_TASK_BYTES, by_column=self.by_column)


def on_cluster(spark: SparkSession) -> bool:
    """Whether tasks run in other processes than the driver's own."""
    return re.match(r"local(\[|$)", str(spark.sparkContext.master)) is None


def fingerprint(spark: SparkSession, scan: Scan, *, by_column: bool) -> Fingerprint:
    """Fingerprint of the rows of a scan; see :meth:`lakeopt.engines.base.Engine.fingerprint`.

    :raises DataFileError: a file is missing, damaged, or does not fit the table's schema or counts.
    :raises ConfigurationError: the executors' Python lacks lakeopt.
    :raises WorkFailed: Spark gave up.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    context = spark.sparkContext
    parts = divided(scan, _WAVES * context.defaultParallelism)
    try:
        with job_group(spark, f"lakeopt-{uuid.uuid4()}", "lakeopt: proof"):
            found = context.parallelize(parts, len(parts)).map(_Measure(by_column)).collect()
    except (Py4JError, PySparkException) as error:
        raise _told(error) from error
    return total(found)


def _told(error: Exception) -> DataFileError | ConfigurationError | WorkFailed:
    raised, _, message = reason(error).partition(": ")
    if raised.endswith("ModuleNotFoundError"):
        return ConfigurationError(
            f"the Python of Spark's executors lacks what proves the rows: {message}",
            hint="install lakeopt there, or name a Python that has it by spark.pyspark.python",
        )
    if raised.endswith("DataFileError"):
        return DataFileError(message)
    return WorkFailed(f"Spark did not prove the rows: {reason(error)}", hint="nothing was committed; see Spark's log")


def divided(scan: Scan, count: int) -> list[Scan]:
    """At most so many parts of a scan, of about as many rows each; a file is never cut."""
    rows = scan.files["record_count"].to_pylist()
    count = max(1, min(count, len(rows)))
    loads, members = [(0, number) for number in range(count)], [list[int]() for _ in range(count)]
    for file in sorted(range(len(rows)), key=lambda file: -rows[file]):
        load, number = loads[0]
        members[number].append(file)
        heapq.heapreplace(loads, (load + rows[file], number))
    return [_part(scan, sorted(files)) for files in members]


def _part(scan: Scan, numbers: Sequence[int]) -> Scan:
    files = scan.files.take(pa.array(numbers, pa.int64()))
    named = pc.unique(pc.list_flatten(files["delete_files"].combine_chunks()))
    deletes = None if scan.deletes is None else scan.deletes.filter(pc.is_in(scan.deletes["file_path"], named))
    paths = files["file_path"].to_pylist()
    places = {path: scan.resolve(path) for path in (*paths, *named.to_pylist())}
    constants = {path: scan.constants[path] for path in paths if path in scan.constants}
    return replace(scan, files=files, deletes=deletes, constants=constants, resolve=_Located(places))


def total(parts: Sequence[Fingerprint]) -> Fingerprint:
    """The fingerprint of all rows: lanes add up modulo 2^64.

    :raises ConfigurationError: the parts are of different versions, as executors with another DuckDB take them.
    """
    versions = sorted({part.version for part in parts})
    if len(versions) > 1:
        raise ConfigurationError(
            f"executors take fingerprints of different versions: {', '.join(versions)}",
            hint="install the same lakeopt and duckdb on all of them",
        )
    digest = added(part.digest for part in parts)
    by_column = [part.columns for part in parts if part.columns is not None]
    columns = {name: added(part[name] for part in by_column) for name in by_column[0]} if by_column else None
    return Fingerprint(versions[0], sum(part.record_count for part in parts), digest[16:], digest[:16], columns)
