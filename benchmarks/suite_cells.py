"""The cells of one data set: each strategy with each of its codecs, from the table as it landed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.datasets.base import Dataset, UnavailableError
from benchmarks.measure import run
from benchmarks.strategies.base import Profile, Strategy, Subject
from benchmarks.suite_reads import reads
from benchmarks.suite_table import CODECS, SuiteTable, land, written_bytes
from lakeopt.workflows.queries import parse_queries

THREADS, MEMORY_GB, TARGET = 2, 4, "32MB"
#: Figures of a cell; null where it failed, or where there is nothing to measure.
FIGURES = (
    *("bytes", "files", "order", "search_seconds", "rewrite_seconds", "wall_seconds"),
    *("cpu_seconds", "peak_rss_bytes", "proved", "queries", "error"),
)
Cell = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Conditions:
    """``data`` keeps what was fetched and generated, ``lake`` holds the tables."""

    quick: bool
    data: Path
    lake: Path

    @property
    def query_runs(self) -> int:
        """How often each query is timed, cold and hot; a quick run counts what is read, and times nothing."""
        return 0 if self.quick else 3

    def codecs(self, strategy: Strategy) -> tuple[str, ...]:
        """Codecs that a strategy is written with."""
        return strategy.QUICK_CODECS if self.quick else strategy.CODECS


def cells(
    name: str, dataset: Dataset, strategies: Mapping[str, Strategy], how: Conditions
) -> tuple[dict[str, Any], list[Cell]]:
    """What a data set is, and its cells; all null where it cannot be had."""
    about = {"title": dataset.TITLE, "source": dataset.SOURCE, "licence": dataset.LICENCE}
    about |= {"main_column": dataset.COLUMNS[0], "unavailable": None}
    about |= {"queries": {one.name: one.weight for one in parse_queries(dataset.QUERIES).queries}}
    about |= dict.fromkeys(("rows", "columns", "landed_files", "landed_bytes", "arrival_bytes"))
    empty = [
        {"dataset": name, "strategy": one, "codec": codec, **dict.fromkeys(FIGURES)}
        for one, strategy in strategies.items()
        for codec in how.codecs(strategy)
    ]
    try:
        rows = dataset.rows(how.data, how.quick)
    except UnavailableError as error:
        return about | {"unavailable": str(error)}, [cell | {"error": str(error)} for cell in empty]
    table = land(how.lake, name, rows)
    arrival = {codec: written_bytes(rows, codec) for codec in CODECS}
    about |= {"rows": rows.num_rows, "columns": rows.num_columns, "arrival_bytes": arrival}
    about |= {"landed_files": len(table.landed), "landed_bytes": sum(table.landed.values())}
    del rows
    queries = how.lake / f"{name}.sql"
    queries.write_text(dataset.QUERIES)
    profile = Profile(f"bench.{'.'.join(table.base.name())}")
    kept: dict[str, str] = {}
    for cell in empty:
        identifier = _fill(cell, strategies[cell["strategy"]], table, Subject(dataset.COLUMNS, queries, profile))
        if cell["strategy"] == "arrival":
            cell |= {"bytes": arrival[cell["codec"]]}
        print(_line(cell, arrival["zstd-3"]), file=sys.stderr, flush=True)
        if cell["codec"] == "zstd-3" and cell["error"] is None:
            kept[cell["strategy"]] = identifier
        else:
            table.drop(identifier)
    memory = MEMORY_GB * 1024**3
    asked = reads(kept, queries, runs=how.query_runs, threads=THREADS, memory_bytes=memory)
    for cell in empty:
        if cell["codec"] == "zstd-3":
            cell["queries"] = asked.get(cell["strategy"])
    for identifier in kept.values():
        table.drop(identifier)
    return about, empty


def _fill(cell: Cell, strategy: Strategy, table: SuiteTable, subject: Subject) -> str:
    """Fill a cell with what a strategy makes of the landed table; the identifier of what it made."""
    with table.start(cell["strategy"], cell["codec"]) as identifier:
        try:
            cell |= _rewritten(strategy, identifier, subject, cell["codec"])
            sizes = table.files(identifier)
            cell |= {"bytes": sum(sizes.values()), "files": len(sizes)}
        except RuntimeError as error:
            cell["error"] = str(error).splitlines()[0]
            for folder in (subject.queries.parent, Path(sys.executable).parent):
                cell["error"] = cell["error"].replace(f"{folder}/", "")
    return identifier


def _rewritten(strategy: Strategy, identifier: str, subject: Subject, codec: str) -> dict[str, Any]:
    """One ``lakeopt rewrite``, as a user runs it, and what the strategy asked before it."""
    options = strategy.options(subject)
    if options is None:
        return {}
    level = CODECS[codec][1]
    command = [str(Path(sys.executable).with_name("lakeopt")), "rewrite", identifier, *options]
    command += ["--target-file-size", TARGET, "--yes", "--json"]
    command += [] if level is None else ["--compression-level", str(level)]
    done = run(command)
    result = json.loads(done.stdout)
    return {
        "order": _order(result["layout"]),
        # What lies outside of the rewrite: start of the process, plan, search, and profile where one was asked for.
        "search_seconds": subject.asked_seconds + done.wall - result["elapsed_seconds"],
        "rewrite_seconds": result["elapsed_seconds"],
        "wall_seconds": subject.asked_seconds + done.wall,
        "cpu_seconds": done.cpu,
        "peak_rss_bytes": done.peak_rss_bytes,
        "proved": result["verification"] and result["verification"]["matched"],
    }


def _order(layout: Mapping[str, Any]) -> str:
    """A layout in words: strategy, columns, blocks."""
    columns = ", ".join(one["name"] + " desc" * (one["direction"] == "desc") for one in layout["columns"])
    blocks = f" in blocks of {layout['block_rows']:,} rows" if layout["block_rows"] else ""
    return f"{layout['strategy']}{': ' if columns else ''}{columns}{blocks}"


def _line(cell: Cell, arrival: int) -> str:
    """A cell as one line, while others are still measured."""
    name = f"{cell['dataset']:9} {cell['strategy']:22} {cell['codec']:7}"
    if cell["bytes"] is None:
        return f"{name} null: {cell['error']}"
    seconds = (
        "" if cell["wall_seconds"] is None else f"{cell['search_seconds']:6.1f} + {cell['rewrite_seconds']:4.1f} s"
    )
    return f"{name} {cell['bytes'] / arrival:6.3f} {seconds} {cell['order'] or ''}"[:150]
