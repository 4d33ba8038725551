"""Bin-pack without decoding: a table of many files whose row groups are copied byte for byte, against a plain copy.

Usage: python -m benchmarks.copying [--quick] [--dir DIR] [--repeat N]

``stage_over_copy`` is the copying step over DuckDB's copy of the same files (decode and encode); ``rest_seconds`` is
the whole process but for that step: start, plan with its footers, proof, commit. The rows are held against each other
by DuckDB, before and after.
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

import duckdb
from pyiceberg.table import Table

from benchmarks.datasets import events
from benchmarks.lake import landed, rolled_back
from benchmarks.measure import machine, result_path, run, versions

THREADS, TARGET, FILES, SCALE = 2, "128MB", 80, 0.5
FIGURES = ("stage_over_copy", "rest_seconds", "cpu_over_copy", "copy_seconds", "copy_cpu_seconds", "cpu_seconds")


def paths(table: Table) -> list[str]:
    return [path.removeprefix("file://") for path in table.inspect.files()["file_path"].to_pylist()]


def rows_of(files: list[str]) -> tuple[int, int]:
    """Number of rows and sum of their hashes, by DuckDB."""
    found = duckdb.sql(f"SELECT count(*), sum(hash(every)) FROM read_parquet({files!r}) AS every").fetchall()
    return found[0]


def rounds(folder: Path, scale: float, files: int, repeat: int) -> Iterator[dict[str, Any]]:
    table = landed(folder, events, scale, files)
    base = table.current_snapshot()
    assert base is not None
    before = paths(table)
    expected = rows_of(before)
    about = {"dataset": events.NAME, "scale": scale, "files": len(before)}
    about["bytes"] = sum(Path(path).stat().st_size for path in before)
    for number in range(repeat):
        command = [sys.executable, "-m", "benchmarks.copy_files", "duckdb", str(folder / "copy"), str(THREADS)]
        copied = run(command, stdin="\n".join(before))
        copy = float(copied.stdout)
        asked = ["rewrite", "bench." + ".".join(table.name()), "--strategy", "bin-pack", "--target-file-size", TARGET]
        done = run([sys.executable, "-m", "lakeopt", *asked, "--threads", str(THREADS), "--yes", "--json"])
        result = json.loads(done.stdout)
        table = table.refresh()
        same = rows_of(paths(table)) == expected
        stage = result["seconds"]["stage"]
        yield about | {
            "round": number,
            "copy_seconds": copy,
            "copy_cpu_seconds": copied.cpu,
            "stage_seconds": stage,
            "stage_over_copy": stage / copy,
            "rest_seconds": done.wall - stage,
            "seconds": result["seconds"],
            "cpu_seconds": done.cpu,
            "cpu_over_copy": done.cpu / copied.cpu,
            "peak_rss_bytes": result["peak_rss_bytes"],
            "files_after": result["added_data_files_count"],
            "bytes_after": result["bytes_after"],
            "proved_by": result["verification"]["method"],
            "same_rows": same,
            "load": os.getloadavg()[0],
        }
        table = rolled_back(table, base.snapshot_id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, in a tenth of the files")
    parser.add_argument("--dir", type=Path, help="keep data and tables here")
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    share = 10 if asked.quick else 1
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        cells = []
        for cell in rounds(asked.dir or Path(temporary), SCALE / share, FILES // share, asked.repeat):
            cells.append(cell)
            print(json.dumps(cell), file=sys.stderr)
    medians = {name: statistics.median(cell[name] for cell in cells) for name in FIGURES}
    settings = {"threads": THREADS, "target_file_size": TARGET, "codec": "zstd 3", "cache": "warm"}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    report = {"date": now, "machine": machine(), "versions": versions(), "settings": settings}
    path = result_path("copying-quick" if asked.quick else "copying")
    path.write_text(json.dumps(report | {"medians": medians, "cells": cells}, indent=1) + "\n")
    print(json.dumps(medians, indent=1), path, sep="\n")


if __name__ == "__main__":
    main()
