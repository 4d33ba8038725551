"""The benchmark table of the README: one process a cell, ratios to the copy of the same run.

Usage: python -m benchmarks.run [--quick] [--dir DIR] [--dataset NAME] [--repeat N]
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

from benchmarks.datasets import events, lineitem
from benchmarks.lake import landed, rolled_back
from benchmarks.measure import Run, machine, result_path, run, versions

THREADS = "2"
TARGET = "128MB"
#: (name of the job, options of `lakeopt rewrite`, memory)
JOBS = [
    ("bin-pack", ["--strategy", "bin-pack"], "5GB"),
    ("sort 5 GB", ["--strategy", "sort"], "5GB"),
    ("sort 2 GB", ["--strategy", "sort"], "2GB"),
]


def copy_seconds(files: list[str], folder: Path, repeat: int) -> dict[str, float]:
    """Median seconds of both baselines over the files, each in a process of its own."""
    seconds = {}
    for way in ("duckdb", "pyarrow"):
        taken = []
        for _ in range(repeat):
            command = [sys.executable, "-m", "benchmarks.copy_files", way, str(folder / "copy"), THREADS]
            taken.append(float(run(command, stdin="\n".join(files)).stdout))
        seconds[way] = statistics.median(taken)
    return seconds


def rewrite_cell(table: Table, options: list[str], memory: str) -> tuple[dict[str, Any], Run]:
    """One `lakeopt rewrite` as a user runs it; its result and the process's account."""
    command = [str(Path(sys.executable).with_name("lakeopt")), "rewrite", "bench." + ".".join(table.name()), *options]
    command += ["--memory", memory, "--threads", THREADS, "--target-file-size", TARGET, "--yes", "--json"]
    done = run(command)
    return json.loads(done.stdout), done


def measure_dataset(
    dataset: ModuleType, folder: Path, scale: float, files: int, repeat: int
) -> Iterator[dict[str, Any]]:
    """All cells of a data set; each rewrite starts from the table as it was landed."""
    table = landed(folder, dataset, scale, files)
    base = max(
        (s for s in table.snapshots() if s.summary.operation == Operation.APPEND), key=lambda s: s.sequence_number
    )
    table = rolled_back(table, base.snapshot_id)
    paths = [path.removeprefix("file://") for path in table.inspect.files()["file_path"].to_pylist()]
    total = sum(Path(path).stat().st_size for path in paths)
    copies = copy_seconds(paths, folder, repeat)
    copy = min(copies.values())
    about = {"dataset": dataset.NAME, "scale": scale, "files": len(paths), "bytes": total}
    yield about | {"job": "copy", "seconds": copies, "copy_seconds": copy}
    for name, options, memory in JOBS:
        sort = ["--sort-by", dataset.SORT_BY] if "sort" in options else []
        for _ in range(repeat):
            result, done = rewrite_cell(table, options + sort, memory)
            yield about | {"job": name, "memory": memory} | _cell(result, done, copy)
            table = rolled_back(table, base.snapshot_id)


def _cell(result: dict[str, Any], done: Run, copy: float) -> dict[str, Any]:
    stage, prove = result["seconds"]["stage"], result["seconds"]["prove"]
    return {
        "stage_seconds": stage,
        "prove_seconds": prove,
        "rest_seconds": done.wall - stage - prove,
        "stage_over_copy": stage / copy,
        "prove_over_stage": prove / stage,
        "prove_over_copy": prove / copy,
        "wall_seconds": done.wall,
        "cpu_seconds": done.cpu,
        "peak_rss_bytes": done.peak_rss_bytes,
        "bytes_after": result["bytes_after"],
        "files_after": result["added_data_files_count"],
        "proved": result["verification"]["matched"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--dir", type=Path, help="keep data and tables here")
    parser.add_argument("--dataset", choices=["lineitem", "events"], action="append")
    parser.add_argument("--repeat", type=int, default=1)
    asked = parser.parse_args()
    scales: dict[str, tuple[ModuleType, float]] = {"lineitem": (lineitem, 3), "events": (events, 1)}
    cells: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        folder = asked.dir or Path(temporary)
        for name in asked.dataset or scales:
            dataset, scale = scales[name]
            for cell in measure_dataset(
                dataset, folder, scale / 10 if asked.quick else scale, dataset.FILES, asked.repeat
            ):
                cells.append(cell)
                print(json.dumps(cell), file=sys.stderr)
    save(cells, quick=asked.quick)


def save(cells: list[dict[str, Any]], *, quick: bool) -> Path:
    """Write the result file."""
    settings = {"threads": int(THREADS), "target_file_size": TARGET, "codec": "zstd 3", "cache": "warm"}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    report = {"date": now, "machine": machine(), "versions": versions(), "settings": settings, "cells": cells}
    path = result_path("rewrite-quick" if quick else "rewrite")
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path


if __name__ == "__main__":
    main()
