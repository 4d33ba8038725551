"""The search for a layout on whole tables in memory: bytes written, against what was foretold, seconds, trials.

Bytes are those of one file in row groups of 1 Mi rows, relative to arrival order with pyarrow's default writer at
zstd 3. ``all`` may write every encoding, ``compatible`` what all readers of the default matrix read.

Usage: python -m benchmarks.search [--dir DIR] [--table NAME]… [--encodings all|compatible]… [--level N]
       [--time-budget SECONDS] [--name RESULT]
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import machine, result_path, run, versions
from benchmarks.search_tables import TABLES
from lakeopt.analysis.sampling import BLOCKS
from lakeopt.analysis.trial import Trial
from lakeopt.layout import readers
from lakeopt.layout.search import MIN_GAIN
from lakeopt.model.row_order import ARRIVAL
from lakeopt.model.scan import ENCODINGS, WriterOptions
from lakeopt.parquet.encode import writer_arguments
from lakeopt.tables.iceberg.writer_properties import writer_options
from lakeopt.workflows.layout_search import LayoutSearch
from lakeopt.workflows.sampled import searched_rows

ROW_GROUP = 1_048_576
THREADS = 2
ALLOWED = {"all": frozenset(ENCODINGS), "compatible": readers.allowed()}


def written_bytes(rows: pa.Table, order: np.ndarray | None, writer: WriterOptions | None) -> int:
    """Bytes of the rows in this order (None: as they are); without a writer as pyarrow writes by default, zstd 3."""
    sink = pa.MockOutputStream()
    how: dict[str, Any] = {"compression": "zstd", "compression_level": 3}
    if writer is not None:
        how = writer_arguments(rows, writer, writer.encodings)
    with pq.ParquetWriter(sink, rows.schema, write_page_index=True, **how) as file:
        for start in range(0, rows.num_rows, ROW_GROUP):
            part = rows.slice(start, ROW_GROUP)
            part = part if order is None else rows.take(pa.array(order[start : start + ROW_GROUP]))
            file.write_table(part, row_group_size=ROW_GROUP)
    return int(sink.size())


def sampled(rows: pa.Table, most: int) -> pa.Table:
    """All rows, or 16 contiguous blocks of them, as :mod:`lakeopt.analysis.sampling` draws them."""
    if rows.num_rows <= most:
        return rows
    starts = np.linspace(0, rows.num_rows - most // BLOCKS, BLOCKS).astype(int)
    return pa.concat_tables([rows.slice(start, most // BLOCKS) for start in starts]).combine_chunks()


def cell(name: str, encodings: str, folder: Path, level: int, time_budget: float | None) -> dict[str, Any]:
    """Search one table and write what is chosen."""
    rows = TABLES[name](folder)
    writer = writer_options({"write.parquet.row-group-size-bytes": str(1 << 30)}, level=level, goal="storage")
    began, cpu = time.perf_counter(), time.process_time()
    # A busy machine would spend the budget on others: a second is one of two cores of its own.
    sample = sampled(rows, searched_rows(time_budget, rows.num_columns))
    search = LayoutSearch(
        sample,
        writer,
        encodings=ALLOWED[encodings],
        threads=THREADS,
        time_budget=time_budget,
        clock=lambda: time.process_time() / THREADS,
    )
    coded = time.process_time()
    found = search.run()
    arrival = search.tuned(ARRIVAL)
    best = search.tuned(found.ranked[0].order) if found.ranked else arrival
    chosen = best if best.bytes <= (1 - MIN_GAIN) * arrival.bytes else arrival
    seconds, spent = time.perf_counter() - began, time.process_time()
    base = written_bytes(rows, None, None)
    keys = Trial(rows.select(list(chosen.order.columns)), writer, threads=THREADS)
    order = None if chosen.order == ARRIVAL else keys.order(chosen.order)
    written = written_bytes(rows, order, chosen.writer)
    return {
        "table": name,
        "rows": rows.num_rows,
        "columns": rows.num_columns,
        "encodings": encodings,
        "level": level,
        "time_budget": time_budget,
        "default_arrival_bytes": base,
        "tuned_arrival_ratio": written_bytes(rows, None, arrival.writer) / base,
        "written_ratio": written / base,
        "searched_rows": sample.num_rows,
        "predicted_over_written": chosen.bytes / written * rows.num_rows / max(1, sample.num_rows),
        "search_seconds": seconds,
        "search_cpu_seconds": spent - cpu,
        "of_which_rank_codes": coded - cpu,
        "trials": found.trials,
        "order": str(chosen.order),
        "writer": {key: value for key, value in chosen.writer.as_mapping().items() if value != "dictionary"},
        "load": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, help="keep data here")
    parser.add_argument("--table", choices=list(TABLES), action="append")
    parser.add_argument("--encodings", choices=list(ALLOWED), action="append")
    parser.add_argument("--level", type=int, default=3)
    parser.add_argument("--time-budget", type=float)
    parser.add_argument("--name", default="search", help="name of the result file")
    parser.add_argument("--cell", action="store_true", help="one cell in this process, as JSON to standard output")
    asked = parser.parse_args()
    tables, encodings = asked.table or list(TABLES), asked.encodings or list(ALLOWED)
    if asked.cell:
        print(json.dumps(cell(tables[0], encodings[0], asked.dir, asked.level, asked.time_budget)))
        return
    cells: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        folder = asked.dir or Path(temporary)
        for table in tables:
            for which in encodings:
                command = [sys.executable, "-m", "benchmarks.search", "--cell", "--table", table]
                command += ["--encodings", which, "--dir", str(folder), "--level", str(asked.level)]
                command += ["--time-budget", str(asked.time_budget)] if asked.time_budget else []
                done = run(command)
                cells.append(json.loads(done.stdout) | {"peak_rss_bytes": done.peak_rss_bytes})
                print(json.dumps(cells[-1]), file=sys.stderr, flush=True)
                save(cells, asked.name)
    print(summary(cells))


def save(cells: list[dict[str, Any]], name: str) -> None:
    """Write the result file of that name."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    settings = {"threads": THREADS, "row_group_rows": ROW_GROUP, "baseline": "pyarrow's default writer, zstd 3"}
    found = {"date": now, "machine": machine(), "versions": versions(), "settings": settings, "cells": cells}
    result_path(name).write_text(json.dumps(found, indent=1) + "\n")


def summary(cells: list[dict[str, Any]]) -> str:
    """The figures as a table."""
    lines = [
        "| table | rows x columns | encodings | written | tuned arrival | predicted / written | s | CPU s | trials |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for one in cells:
        figures = f"{one['written_ratio']:.4f} | {one['tuned_arrival_ratio']:.4f} | {one['predicted_over_written']:.3f}"
        spent = f"{one['search_seconds']:.1f} | {one['search_cpu_seconds']:.1f} | {one['trials']}"
        size = f"{one['rows']:,} x {one['columns']}"
        lines.append(f"| {one['table']} | {size} | {one['encodings']} | {figures} | {spent} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
