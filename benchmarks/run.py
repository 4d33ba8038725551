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

import pyarrow.parquet as pq
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

from benchmarks.datasets import events, lineitem
from benchmarks.lake import landed, rolled_back
from benchmarks.measure import Run, machine, result_path, run, versions

THREADS = "2"
TARGET = "128MB"
#: A level that is asked for, though it is the table's own: row groups are decoded, not copied.
BIN_PACK = ("bin-pack", ["--strategy", "bin-pack", "--compression-level", "3"], "5GB")
SORT = ("sort 5 GB", ["--strategy", "sort"], "5GB")
SORT_SMALL = ("sort 2 GB", ["--strategy", "sort"], "2GB")
Job = tuple[str, list[str], str]
#: Cells by name: data set, scale, jobs. The last has more than four times as many bytes in memory as its limit.
CELLS: dict[str, tuple[ModuleType, float, list[Job]]] = {
    "lineitem": (lineitem, 3, [BIN_PACK, SORT, SORT_SMALL]),
    "events": (events, 0.5, [BIN_PACK, SORT, SORT_SMALL]),
    "lineitem-spill": (lineitem, 8, [SORT_SMALL]),
}


def copy_seconds(files: list[str], folder: Path) -> dict[str, float]:
    """Seconds of both baselines over the files, each in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.copy_files"]
    return {
        way: float(run([*command, way, str(folder / "copy"), THREADS], stdin="\n".join(files)).stdout)
        for way in ("duckdb", "pyarrow")
    }


def rewrite_cell(table: Table, options: list[str], memory: str) -> tuple[dict[str, Any], Run]:
    """One `lakeopt rewrite` as a user runs it; its result and the process's account."""
    command = [str(Path(sys.executable).with_name("lakeopt")), "rewrite", "bench." + ".".join(table.name()), *options]
    command += ["--memory", memory, "--threads", THREADS, "--target-file-size", TARGET, "--yes", "--json"]
    done = run(command)
    return json.loads(done.stdout), done


def measure(dataset: ModuleType, folder: Path, scale: float, jobs: list[Job], repeat: int) -> Iterator[dict[str, Any]]:
    """All cells of a data set, ``repeat`` rounds. Ratios are to the copy of the same round, since machines drift."""
    table = landed(folder, dataset, scale, dataset.FILES)
    base = max(
        (s for s in table.snapshots() if s.summary.operation == Operation.APPEND), key=lambda s: s.sequence_number
    )
    table = rolled_back(table, base.snapshot_id)
    paths = [path.removeprefix("file://") for path in table.inspect.files()["file_path"].to_pylist()]
    about = {
        "dataset": dataset.NAME,
        "scale": scale,
        "files": len(paths),
        "bytes": sum(Path(path).stat().st_size for path in paths),
        "bytes_in_memory": pq.read_table(paths[0]).nbytes * len(paths),
    }
    for number in range(repeat):
        copies = copy_seconds(paths, folder)
        copy = min(copies.values())
        yield about | {"round": number, "job": "copy", "seconds": copies, "copy_seconds": copy}
        for name, options, memory in jobs:
            sort = ["--sort-by", dataset.SORT_BY] if "sort" in options else []
            result, done = rewrite_cell(table, options + sort, memory)
            yield about | {"round": number, "job": name, "memory": memory} | _cell(result, done, copy)
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
        "peak_rss_bytes": result["peak_rss_bytes"],
        "bytes_after": result["bytes_after"],
        "files_after": result["added_data_files_count"],
        "proved": result["verification"]["matched"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--dir", type=Path, help="keep data and tables here")
    parser.add_argument("--dataset", choices=list(CELLS), action="append")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the README quotes medians")
    asked = parser.parse_args()
    cells: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        folder = asked.dir or Path(temporary)
        for name in asked.dataset or CELLS:
            dataset, scale, jobs = CELLS[name]
            for cell in measure(dataset, folder, scale / 10 if asked.quick else scale, jobs, asked.repeat):
                cells.append(cell)
                print(json.dumps(cell), file=sys.stderr)
    print(summary(cells))
    save(cells, "-".join(["rewrite", *(asked.dataset or []), *(["quick"] if asked.quick else [])]))


def summary(cells: list[dict[str, Any]]) -> str:
    """The README's table: medians over the rounds."""
    lines = [
        "| table | job | stage / copy | proof / stage | proof / copy | rest s | peak RSS GB |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    groups: dict[tuple[str, float, str], list[dict[str, Any]]] = {}
    for cell in cells:
        if cell["job"] != "copy":
            groups.setdefault((cell["dataset"], cell["scale"], cell["job"]), []).append(cell)
    for (dataset, scale, job), rounds in groups.items():
        middle = {
            name: statistics.median(cell[name] for cell in rounds)
            for name in ("stage_over_copy", "prove_over_stage", "prove_over_copy", "rest_seconds", "peak_rss_bytes")
        }
        figures = " | ".join(f"{middle[name]:.2f}" for name in list(middle)[:-1])
        lines.append(f"| {dataset} ({scale:g}) | {job} | {figures} | {middle['peak_rss_bytes'] / 1e9:.2f} |")
    return "\n".join(lines)


def save(cells: list[dict[str, Any]], name: str) -> Path:
    """Write the result file of that name."""
    settings = {"threads": int(THREADS), "target_file_size": TARGET, "codec": "zstd 3", "cache": "warm"}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    report = {"date": now, "machine": machine(), "versions": versions(), "settings": settings, "cells": cells}
    path = result_path(name)
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path


if __name__ == "__main__":
    main()
