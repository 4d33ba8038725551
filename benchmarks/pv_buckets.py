"""PV buckets on the event log: what is read for one event, and how even files are.

Usage: python -m benchmarks.pv_buckets [--scale S] [--files N] [--buckets N] [--dir DIR]

The same table as it arrived and after ``lakeopt rewrite --strategy pv-buckets --sort-by event_name``. The bytes of an
event are those of the row groups whose statistics let it be there, in files whose bounds do. Its time is DuckDB's over
the same files, hot: the median of five runs of one aggregate. Plain range partitioning by value, which cannot cut a
value in two, is counted in rows.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table

from benchmarks.datasets import events
from benchmarks.lake import landed, rolled_back
from benchmarks.measure import machine, result_path, run, versions
from lakeopt.layout.pv_buckets import cuts

COLUMN, RARE, EVENTS, RUNS = "event_name", 0.001, 20, 5


def files_of(table: Table, event: str) -> list[str]:
    """Paths of the data files whose bounds let an event be there."""
    return [task.file.file_path.removeprefix("file://") for task in table.scan(EqualTo(COLUMN, event)).plan_files()]


def bytes_of(paths: Sequence[str], event: str) -> int:
    """Encoded bytes of the row groups whose statistics let an event be there."""
    total = 0
    for path in paths:
        footer = pq.read_metadata(path)
        place = footer.schema.names.index(COLUMN)
        for number in range(footer.num_row_groups):
            group = footer.row_group(number)
            held = group.column(place).statistics
            if held.min <= event <= held.max:
                total += sum(group.column(at).total_compressed_size for at in range(group.num_columns))
    return total


def seconds_of(paths: Sequence[str], event: str) -> float:
    """Hot time of one aggregate over an event."""
    connection = duckdb.connect()
    query = f"SELECT count(*), sum(value), max(duration_ms), min(device_id) FROM read_parquet(?) WHERE {COLUMN} = ?"
    taken = []
    for _ in range(RUNS + 1):
        started = time.perf_counter()
        connection.execute(query, [list(paths), event]).fetchall()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def side(table: Table, chosen: Sequence[str], largest: str) -> dict[str, Any]:
    """What one side reads, and how large its files are."""
    sizes = table.inspect.files()["file_size_in_bytes"].to_pylist()
    paths = {event: files_of(table, event) for event in [*chosen, largest]}
    return {
        "files": len(sizes),
        "bytes": sum(sizes),
        "largest_to_mean": max(sizes) * len(sizes) / sum(sizes),
        "row_group_rows": max(_rows(path) for path in paths[largest]),
        "rare_event_bytes": statistics.median(bytes_of(paths[event], event) for event in chosen),
        "rare_event_files": statistics.median(len(paths[event]) for event in chosen),
        "rare_event_seconds": statistics.median(seconds_of(paths[event], event) for event in chosen),
        "largest_event_bytes": bytes_of(paths[largest], largest),
    }


def _rows(path: str) -> int:
    footer = pq.read_metadata(path)
    return max(footer.row_group(number).num_rows for number in range(footer.num_row_groups))


def measured(folder: Path, scale: float, files: int, buckets: int) -> dict[str, Any]:
    """Both sides, and the ratios that the issue is about."""
    table = landed(folder, events, scale, files)
    first = table.metadata.snapshots[files - 1].snapshot_id
    table = rolled_back(table, first)
    counted = pc.value_counts(table.scan(selected_fields=(COLUMN,)).to_arrow()[COLUMN].combine_chunks()).to_pylist()
    rows = {value["values"]: value["counts"] for value in counted}
    total = sum(rows.values())
    chosen = sorted((event for event in rows if rows[event] <= RARE * total), key=lambda e: -rows[e])[:EVENTS]
    largest = max(rows, key=lambda event: rows[event])
    before = side(table, chosen, largest)
    name = ".".join(table.name())
    command = ["rewrite", f"bench.{name}", "--strategy", "pv-buckets", "--sort-by", COLUMN, "--json", "--yes"]
    done = run([sys.executable, "-m", "lakeopt", *command, "--buckets", str(buckets)])
    table = table.refresh()
    after = side(table, chosen, largest)
    weights = [rows[event] for event in sorted(rows)]
    plain = [0, *(cut.value for cut in cuts(weights, buckets, spread=[False] * len(weights))), len(weights)]
    held = [sum(weights[start:end]) for start, end in itertools.pairwise(plain)]
    return {
        "rows": total,
        "buckets": buckets,
        "arrival": before,
        "pv_buckets": after,
        "plain_ranges": {"files": len(held), "largest_to_mean_rows": max(held) * len(held) / total},
        "rare_event_bytes_ratio": before["rare_event_bytes"] / after["rare_event_bytes"],
        "rare_event_seconds_ratio": before["rare_event_seconds"] / after["rare_event_seconds"],
        "largest_event_bytes_ratio": before["largest_event_bytes"] / after["largest_event_bytes"],
        "rewrite": {"wall": done.wall, "cpu": done.cpu, "peak_rss_bytes": done.peak_rss_bytes},
        "second_key": json.loads(done.stdout)["layout"]["columns"][1]["name"],
        "load": os.getloadavg()[0],
    }


def main() -> None:
    """Measure, and write a result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--files", type=int, default=events.FILES)
    parser.add_argument("--buckets", type=int, default=128)
    parser.add_argument("--dir", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = measured(asked.dir or Path(scratch), asked.scale, asked.files, asked.buckets)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    value = {"benchmark": "pv-buckets", "date": now, "machine": machine(), "versions": versions(), **found}
    path = result_path(f"pv-buckets-{found['rows']}")
    path.write_text(json.dumps(value, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
