"""DuckDB reads and sorts, pyarrow writes: the default engine, on one machine, within a given memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lakeopt.engines.base import Engine

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

    from lakeopt.model.result import Fingerprint
    from lakeopt.model.scan import Scan, StageRequest, WriterOptions


class DuckDBEngine:
    """The :class:`~lakeopt.engines.base.Engine` of local files."""

    name = "duckdb"
    names_files = False

    def stage(self, request: StageRequest) -> pa.Table:
        """Read the group by field id, order it, write new files."""
        from lakeopt.engines.duckdb.stage import stage

        return stage(request)

    def fingerprint(self, scan: Scan, *, threads: int, memory_bytes: int, by_column: bool = False) -> Fingerprint:
        """Fingerprint of the rows of a scan, by a reader that shares nothing with :meth:`stage`."""
        from lakeopt.engines._fingerprint import fingerprint

        return fingerprint(scan, threads=threads, memory_bytes=memory_bytes, by_column=by_column)

    def discard(self, staged: pa.Table, resolve: Callable[[str], tuple[fs.FileSystem, str]]) -> int:
        """Delete staged files that were not committed."""
        from lakeopt.engines._discard import discard

        return discard(staged, resolve)

    def not_applied(self, writer: WriterOptions) -> tuple[str, ...]:
        """None: it writes what it is told."""
        return ()


ENGINE: Engine = DuckDBEngine()
