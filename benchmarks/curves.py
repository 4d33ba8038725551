"""Rewrites along a z-order and a Hilbert curve against a copy of the same files, each a process of its own.

Usage: python -m benchmarks.curves [--scale S] [--files N] [--memory SIZE] [--repeat N] [--dir DIR]

``stage_over_copy`` is the step that reads, orders and writes the files over the faster of two copies of the same round;
``cpu_over_copy`` the CPU seconds of the whole command, its start, cut points, proof and commit with it, over those of
the copy: it says something on a busy machine too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.datasets import events
from benchmarks.lake import landed, rolled_back
from benchmarks.measure import Run, machine, result_path, run, versions

THREADS, TARGET, COLUMNS = 2, "128MB", "event_name,device_id"
STRATEGIES = ("z-order", "hilbert")


def copies(paths: list[str], folder: Path) -> dict[str, tuple[float, Run]]:
    """Seconds of the copy alone, and the account of its process, by who copies."""
    command = [sys.executable, "-m", "benchmarks.copy_files"]
    found = {}
    for way in ("duckdb", "pyarrow"):
        done = run([*command, way, str(folder / "copy"), str(THREADS)], stdin="\n".join(paths))
        found[way] = float(done.stdout), done
    return found


def rounds(folder: Path, scale: float, files: int, memory: str, repeat: int) -> Iterator[dict[str, Any]]:
    """A cell for each round and curve."""
    table = landed(folder, events, scale, files)
    base = table.metadata.snapshots[files - 1].snapshot_id
    table = rolled_back(table, base)
    paths = [path.removeprefix("file://") for path in table.inspect.files()["file_path"].to_pylist()]
    asked = ["--sort-by", COLUMNS, "--memory", memory, "--threads", str(THREADS), "--target-file-size", TARGET]
    for number in range(repeat):
        copied = copies(paths, folder)
        way = min(copied, key=lambda name: copied[name][0])
        seconds, account = copied[way]
        for strategy in STRATEGIES:
            name = "bench." + ".".join(table.name())
            done = run(
                [sys.executable, "-m", "lakeopt", "rewrite", name, "--strategy", strategy, *asked, "--yes", "--json"]
            )
            result = json.loads(done.stdout)
            yield {
                "round": number,
                "strategy": strategy,
                "copy_by": way,
                "copy_seconds": seconds,
                "copy_cpu_seconds": account.cpu,
                "stage_over_copy": result["seconds"]["stage"] / seconds,
                "cpu_over_copy": done.cpu / account.cpu,
                "seconds": result["seconds"],
                "wall_seconds": done.wall,
                "cpu_seconds": done.cpu,
                "peak_rss_bytes": result["peak_rss_bytes"],
                "bytes_before": sum(Path(path).stat().st_size for path in paths),
                "bytes_after": result["bytes_after"],
                "files_after": result["added_data_files_count"],
                "proved": result["verification"]["matched"],
                "load": os.getloadavg()[0],
            }
            table = rolled_back(table, base)


def main() -> None:
    """Measure, print medians, and write a result file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--files", type=int, default=events.FILES)
    parser.add_argument("--memory", default="5GB")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="keep data and tables here")
    asked = parser.parse_args()
    cells = []
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        for cell in rounds(asked.dir or Path(temporary), asked.scale, asked.files, asked.memory, asked.repeat):
            cells.append(cell)
            print(json.dumps(cell), file=sys.stderr)
    medians = {
        strategy: {
            figure: statistics.median(cell[figure] for cell in cells if cell["strategy"] == strategy)
            for figure in ("stage_over_copy", "cpu_over_copy", "wall_seconds")
        }
        for strategy in STRATEGIES
    }
    rows = round(events.ROWS_PER_SCALE * asked.scale)
    about = {"rows": rows, "files": asked.files, "columns": COLUMNS, "memory": asked.memory, "threads": THREADS}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    report = {"benchmark": "curves", "date": now, "machine": machine(), "versions": versions(), "settings": about}
    path = result_path(f"curves-{rows}")
    path.write_text(json.dumps(report | {"medians": medians, "cells": cells}, indent=1) + "\n")
    print(json.dumps(medians, indent=1), path, sep="\n")


if __name__ == "__main__":
    main()
