"""What the queries of a data set read of each of its tables, and how long they take, as ``lakeopt bench`` measures it.

That command compares two sides; here there are as many as there are strategies, all of the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from lakeopt.config import Settings
from lakeopt.engines._queries import QueryRun, RunSettings
from lakeopt.engines.duckdb import query as runner
from lakeopt.tables.open import open_table
from lakeopt.workflows.answers import same_answer
from lakeopt.workflows.pushdown import file_filter
from lakeopt.workflows.queries import bind, read_queries


def reads(
    tables: Mapping[str, str], queries: Path, *, runs: int, threads: int, memory_bytes: int
) -> dict[str, dict[str, Any]]:
    """By the names of ``tables`` and of the queries: seconds, bytes, files, row groups, and whether the first agrees.

    Seconds are medians of ``runs``, null where there are none. A query that failed is null.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in tables}
    opened = {name: open_table(identifier, Settings()) for name, identifier in tables.items()}
    heads = {name: table.snapshot_id("main") for name, table in opened.items()}
    with TemporaryDirectory(prefix="lakeopt-suite-") as folder:
        how = RunSettings(runs, threads, memory_bytes, folder)
        prepared = {
            name: runner.prepare(table.scan(pa.concat_tables(table.files(heads[name]))), how)
            for name, table in opened.items()
        }
        for query in read_queries(queries).queries:
            sides = []
            for name, table in opened.items():
                where = file_filter(query, table.field_types)
                files = pa.concat_tables(table.files(heads[name], where=where))
                sides.append((prepared[name], files["file_path"].to_pylist()))
            names = bind(query, [table.identifier for table in opened.values()])
            outcomes = runner.measure(query.sql, names, sides, how)
            for name, outcome in zip(opened, outcomes, strict=True):
                found[name][query.name] = _measured(outcome, outcomes[0], query.sql)
    return found


def _measured(run: QueryRun, first: QueryRun, sql: str) -> dict[str, Any] | None:
    if run.scanned is None or run.answer is None:
        return None
    return {
        "bytes": run.scanned.bytes,
        "files": run.scanned.files,
        "row_groups": run.scanned.row_groups,
        "hot_seconds": median(run.hot) if run.hot else None,
        "cold_seconds": median(run.cold) if run.cold else None,
        "same_answer": None if first.answer is None else same_answer(first.answer, run.answer, sql),
    }
