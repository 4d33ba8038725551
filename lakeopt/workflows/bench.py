"""The same queries on two snapshots of a table, or on two tables: answers, times, what was read, storage."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from lakeopt import registry
from lakeopt.config import Settings, load_settings
from lakeopt.engines._queries import QueryEngine, QueryRun, RunSettings
from lakeopt.errors import UsageError
from lakeopt.model.result import BenchReport, Measurement, QueryComparison, SideStorage, StorageComparison
from lakeopt.model.workload import Query, Workload
from lakeopt.tables.base import Table
from lakeopt.workflows import resources
from lakeopt.workflows.answers import FLOAT_TOLERANCE, same_answer
from lakeopt.workflows.conditions import machine, versions
from lakeopt.workflows.last_rewrite import last_rewrite
from lakeopt.workflows.pushdown import file_filter
from lakeopt.workflows.queries import bind, read_queries
from lakeopt.workflows.spill import spill_directory

if TYPE_CHECKING:
    import pyarrow as pa

#: ``progress(query, done, total)``: queries done of all, over all engines.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class _Side:
    """One snapshot of one table, with the lists of its data files and delete files."""

    label: str
    table: Table
    snapshot_id: int
    files: pa.Table
    deletes: pa.Table

    def storage(self) -> SideStorage:
        data, deletes = (int(files["file_size_in_bytes"].to_numpy().sum()) for files in (self.files, self.deletes))
        rows = int(self.files["record_count"].to_numpy().sum())
        return SideStorage(self.label, data + deletes, self.files.num_rows, rows, self.deletes.num_rows)

    def locations(self, query: Query) -> list[str]:
        """Locations of the files that the query can need, by the bounds in the table's metadata."""
        where = file_filter(query, self.table.field_types)
        if where is None:
            paths: list[str] = self.files["file_path"].to_pylist()
            return paths
        lists = self.table.files(self.snapshot_id, where=where)
        return [path for files in lists for path in files["file_path"].to_pylist()]


def bench(
    table: str | Table,
    *,
    queries: Workload | str | Path,
    engines: Sequence[str] = ("duckdb",),
    before: str | None = None,
    after: str | None = None,
    against: str | Table | None = None,
    runs: int = 5,
    threads: int | None = None,
    memory_bytes: int | None = None,
    rewrite_seconds: float | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> BenchReport:
    """Run each query on both sides, cold and hot, and compare the answers. A query that fails has its error.

    ``before`` and ``after`` are snapshot ids, branches or tags. Left out, they are the snapshot that lakeopt last
    rewrote and the head of ``main``; with ``against`` they are the heads of ``table`` and of that other table.
    Cold is a new process whose files were dropped from the page cache, hot is repeated in one process; both are
    medians of ``runs``. Bytes, files and row groups are from a run of its own whose reads were counted. Rows that
    delete files take away are found anew in each run, whose time and reads they are part of.

    :raises UnknownName: no such table, ref, snapshot or engine, or a query reads a table that is not benched.
    :raises UsageError: a query file that is no such file, or there is no rewrite to compare with.
    :raises Refused: a side has files, or delete files, that the engine cannot read.
    """
    if runs < 1:
        raise UsageError(f"runs must be at least 1, not {runs}")
    settings = settings or load_settings()
    workload = queries if isinstance(queries, Workload) else read_queries(queries)
    runners = [(name, _query_engine(name)) for name in engines]
    sides, seconds = _sides(_open(table, settings), before, after, against, settings)
    names = [bind(query, [side.table.identifier for side in sides]) for query in workload.queries]
    comparisons: list[QueryComparison] = []
    with spill_directory() as folder:
        how = RunSettings(runs, resources.threads(threads, settings), resources.memory(memory_bytes, settings), folder)
        for engine, runner in runners:
            prepared = [runner.prepare(side.table.scan(side.files), how) for side in sides]
            for query, read_as in zip(workload.queries, names, strict=True):
                subjects = [(known, side.locations(query)) for known, side in zip(prepared, sides, strict=True)]
                comparisons.append(_compared(query, engine, *runner.measure(query.sql, read_as, subjects, how)))
                if progress is not None:
                    progress(query.name, len(comparisons), len(workload.queries) * len(runners))
    return BenchReport(
        table=sides[0].table.identifier,
        machine=machine(),
        versions=versions() | {name: version for _, runner in runners for name, version in runner.versions().items()},
        settings=_stated(how),
        queries=tuple(comparisons),
        storage=StorageComparison(*(side.storage() for side in sides)),
        hot_speedup=_speedup(comparisons),
        rewrite_seconds=seconds if rewrite_seconds is None else rewrite_seconds,
    )


def failures(report: BenchReport) -> tuple[str, ...]:
    """What keeps a report from saying that both sides are the same data: queries that failed, answers that differ."""
    return tuple(found for query in report.queries if (found := _failure(query)) is not None)


def _failure(query: QueryComparison) -> str | None:
    for side, measured in (("before", query.before), ("after", query.after)):
        if measured.error is not None:
            return f"query {query.name!r} failed on {query.engine} ({side}): {measured.error}"
    return f"query {query.name!r} has different answers on {query.engine}" if query.answers_match is False else None


def _open(table: str | Table, settings: Settings) -> Table:
    from lakeopt.tables.open import open_table

    return open_table(table, settings) if isinstance(table, str) else table


def _query_engine(name: str) -> QueryEngine:
    engine = registry.load(registry.ENGINES, name)
    package = hasattr(engine, "__path__")
    if not package or importlib.util.find_spec(f"{engine.__name__}.query") is None:
        raise UsageError(f"the engine {name!r} runs no queries", hint="bench takes --engine duckdb")
    runner: QueryEngine = importlib.import_module(f"{engine.__name__}.query")
    return runner


def _sides(
    table: Table, before: str | None, after: str | None, against: str | Table | None, settings: Settings
) -> tuple[list[_Side], float | None]:
    """Both sides, and how long the rewrite between them took where lakeopt made it."""
    if against is not None:
        other = _open(against, settings)
        return [_side(table, before or "main"), _side(other, after or "main")], None
    if not table.keeps_snapshots and before is None:
        raise UsageError(
            f"{table.identifier} keeps no snapshots: there is no earlier state of it to read",
            hint="name the second side with --against TABLE, such as a copy of the files before",
        )
    head = _snapshot(table, after or "main")
    if before is not None:
        return [_side(table, before), _side(table, after or "main")], None
    rewrite = last_rewrite(table, head, settings)
    return [_side(table, str(rewrite.before)), _side(table, after or "main")], rewrite.seconds


def _snapshot(table: Table, ref: str) -> int:
    snapshot_id = table.snapshot_id(ref)
    if snapshot_id is None:
        raise UsageError(f"{table.identifier} has no snapshot yet", hint="there is nothing to read")
    return snapshot_id


def _side(table: Table, ref: str) -> _Side:
    import pyarrow as pa

    from lakeopt.model.scan import files_schema

    snapshot_id = _snapshot(table, ref)
    files, deletes = (
        pa.concat_tables([files_schema().empty_table(), *table.files(snapshot_id, content=content)])
        for content in ("data", "deletes")
    )
    label = ref if ref == str(snapshot_id) else f"{ref} ({snapshot_id})"
    return _Side(label, table, snapshot_id, files, deletes)


def _compared(query: Query, engine: str, before: QueryRun, after: QueryRun) -> QueryComparison:
    match = None
    if before.answer is not None and after.answer is not None:
        match = same_answer(before.answer, after.answer, query.sql)
    return QueryComparison(query.name, engine, query.sql, _measurement(before), _measurement(after), match)


def _measurement(run: QueryRun) -> Measurement:
    if run.error is not None or run.scanned is None or run.answer is None:
        return Measurement(None, None, None, None, None, None, run.error)
    return Measurement(
        cold=median(run.cold),
        hot=median(run.hot),
        bytes_scanned=run.scanned.bytes,
        files_read=run.scanned.files,
        row_groups_read=run.scanned.row_groups,
        rows=run.answer.num_rows,
    )


def _speedup(comparisons: Sequence[QueryComparison]) -> float | None:
    """Geometric mean of before/after over the queries with equal answers."""
    ratios = [
        math.log(query.before.hot / query.after.hot)
        for query in comparisons
        if query.answers_match and query.before.hot and query.after.hot
    ]
    return math.exp(sum(ratios) / len(ratios)) if ratios else None


def _stated(how: RunSettings) -> dict[str, Any]:
    return {
        "runs": how.runs,
        "threads": how.threads,
        "memory_bytes": how.memory_bytes,
        "cold": "new process, local files dropped from the page cache; what a store keeps in memory is not",
        "hot": "same process, after one run that is not counted",
        "deletes": "found anew in each run",
        "scanned": "every byte asked for, footers and delete files too",
        "planning": "not timed",
        "float_tolerance": FLOAT_TOLERANCE,
    }
