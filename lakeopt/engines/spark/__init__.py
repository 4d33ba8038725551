"""Spark reads, distributes and sorts, Iceberg's own writer encodes: tables beyond one machine, and v3 tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lakeopt.engines.base import Engine

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

    from lakeopt.model.result import Fingerprint
    from lakeopt.model.scan import Scan, StageRequest, WriterOptions


class SparkEngine:
    """The :class:`~lakeopt.engines.base.Engine` that runs in the user's own Spark, over its catalog."""

    name = "spark"
    names_files = True

    def stage(self, request: StageRequest) -> pa.Table:
        """Read the group through Iceberg's staged rewrites, order it, write new files."""
        from lakeopt.engines.spark.stage import stage

        return stage(request)

    def fingerprint(self, scan: Scan, *, threads: int, memory_bytes: int, by_column: bool = False) -> Fingerprint:
        """Fingerprint of the rows of a scan, by a reader that shares nothing with :meth:`stage`.

        Where Spark runs on a cluster its executors read, else this process.
        """
        from lakeopt.engines._fingerprint import fingerprint
        from lakeopt.engines.spark import executor_proof
        from lakeopt.engines.spark.session import active_session

        if (spark := active_session()) is not None and executor_proof.on_cluster(spark):
            return executor_proof.fingerprint(spark, scan, by_column=by_column)
        return fingerprint(scan, threads=threads, memory_bytes=memory_bytes, by_column=by_column)

    def discard(self, staged: pa.Table, resolve: Callable[[str], tuple[fs.FileSystem, str]]) -> int:
        """Delete staged files that were not committed."""
        from lakeopt.engines._discard import discard
        from lakeopt.engines.spark.staged_files import forget

        deleted = discard(staged, resolve)
        forget(staged["file_path"].to_pylist())
        return deleted

    def not_applied(self, writer: WriterOptions) -> tuple[str, ...]:
        """Choices of a writer that Iceberg's Java writer cannot be told of."""
        from lakeopt.engines.spark.writer_settings import not_applied

        return not_applied(writer)


ENGINE: Engine = SparkEngine()
