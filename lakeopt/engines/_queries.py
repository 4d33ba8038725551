"""Running queries: what an engine that can be benched offers beside :class:`lakeopt.engines.base.Engine`.

Such an engine is a package with a module ``query`` that fills :class:`QueryEngine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from lakeopt.model.scan import Scan

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeopt.engines._counting_reads import Scanned


@dataclass(frozen=True, slots=True)
class QueryRun:
    """One query on one side: seconds of each run, its rows, and what it read; or why it failed."""

    cold: tuple[float, ...] = ()
    hot: tuple[float, ...] = ()
    answer: pa.Table | None = None
    scanned: Scanned | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunSettings:
    """How queries are run: ``runs`` timed runs each, cold and hot; memory of one process; a folder for spill."""

    runs: int
    threads: int
    memory_bytes: int
    temp_dir: str


class QueryEngine(Protocol):
    """Module ``query`` of an engine."""

    def prepare(self, scan: Scan, settings: RunSettings) -> Any:
        """Whatever the engine needs to know of a snapshot's files, found once for all queries.

        :raises DataFileError: a data file is missing or damaged.
        :raises Refused: files that this engine cannot read, or with deletes to apply.
        """

    def measure(
        self,
        sql: str,
        names: Sequence[Sequence[str]],
        sides: Sequence[tuple[Any, Sequence[str]]],
        settings: RunSettings,
    ) -> list[QueryRun]:
        """Run one query on each side: a prepared snapshot, and the locations of those of its files to read.

        ``names`` are the names by which the query reads the table under test.
        """

    def versions(self) -> dict[str, str]:
        """Versions of the software that ran the queries."""
