"""The sort rewrite of ORC beside Parquet: the same rows of a folder table in either format, staged in order and proved.

Usage: python -m benchmarks.orc [--quick] [--dir DIR] [--repeat N]

TPC-H's lineitem in files of one partition, compressed with zstd, sorted by ship date and order key. ``stage`` reads,
sorts and writes; ``prove`` reads both sides again. Nothing is switched: that takes as long for both.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

from benchmarks.datasets import lineitem
from benchmarks.measure import machine, result_path, versions
from lakeopt.engines.duckdb import ENGINE
from lakeopt.model.scan import Scan, StageRequest, WriterOptions
from lakeopt.tables.open import open_table
from lakeopt.workflows.verify import prove, staged_scan

THREADS, MEMORY, FILES, SCALE, TARGET = 2, 2 * 10**9, 20, 1.0, 128 * 1024**2
SORT = (("l_shipdate", True, True), ("l_orderkey", True, True))
FORMATS = ("parquet", "orc")


def write(rows: pa.Table, path: Path) -> None:
    if path.suffix == ".orc":
        orc.write_table(rows.combine_chunks(), path, compression="zstd", dictionary_key_size_threshold=0.8)
    else:
        pq.write_table(rows, path, compression="zstd", store_schema=False)


def tables(folder: Path, scale: float, files: int) -> dict[str, Scan]:
    """Both tables, as a rewrite of all their files reads and writes them."""
    for name in FORMATS:
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name / "day=1").mkdir(parents=True)
    for number, rows in enumerate(lineitem.batches(folder, scale, files)):
        for name in FORMATS:
            write(rows, folder / name / "day=1" / f"{number:05d}.{name}")
    made = {}
    for name in FORMATS:
        table = open_table(str(folder / name))
        listed = pa.concat_tables(list(table.files()))
        made[name] = dataclasses.replace(table.scan(listed, stored_only=True), form=table.file_form(listed))
    return made


def rounds(folder: Path, scale: float, files: int, repeat: int) -> Iterator[dict[str, Any]]:
    scans = tables(folder, scale, files)
    for number in range(repeat):
        for name, scan in scans.items():
            out = folder / f"new-{name}"
            shutil.rmtree(out, ignore_errors=True)
            request = StageRequest(
                scan,
                SORT,
                WriterOptions(),
                TARGET,
                lambda n, out=out, name=name: str(out / f"{n}.{name}"),
                MEMORY,
                THREADS,
                str(folder / "spill"),
            )
            started, cpu = time.perf_counter(), sum(os.times()[:2])
            staged = ENGINE.stage(request)
            between, between_cpu = time.perf_counter(), sum(os.times()[:2])
            proof = prove(ENGINE, scan, staged_scan(scan, staged), "rows", threads=THREADS, memory_bytes=MEMORY)
            ended, ended_cpu = time.perf_counter(), sum(os.times()[:2])
            yield {
                "format": name,
                "round": number,
                "rows": proof.record_count,
                "files": scan.files.num_rows,
                "bytes": sum(scan.files["file_size_in_bytes"].to_pylist()),
                "bytes_after": sum(staged["file_size_in_bytes"].to_pylist()),
                "files_after": staged.num_rows,
                "stage_seconds": between - started,
                "stage_cpu_seconds": between_cpu - cpu,
                "prove_seconds": ended - between,
                "prove_cpu_seconds": ended_cpu - between_cpu,
                "same_rows": proof.matched,
                "load": os.getloadavg()[0],
            }


def medians(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians by format, and ORC over Parquet."""
    names = ("stage_seconds", "stage_cpu_seconds", "prove_seconds", "prove_cpu_seconds", "bytes", "bytes_after")
    found: dict[str, Any] = {
        kind: {name: statistics.median(cell[name] for cell in cells if cell["format"] == kind) for name in names}
        for kind in FORMATS
    }
    return found | {"orc_over_parquet": {name: found["orc"][name] / found["parquet"][name] for name in names}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--dir", type=Path, help="keep data and tables here")
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        cells = []
        for cell in rounds(asked.dir or Path(temporary), SCALE / (10 if asked.quick else 1), FILES, asked.repeat):
            cells.append(cell)
            print(json.dumps(cell), file=sys.stderr)
    settings = {"threads": THREADS, "memory": "2GB", "codec": "zstd", "target_file_size": "128MiB", "cache": "warm"}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    report = {"date": now, "machine": machine(), "versions": versions(), "settings": settings}
    path = result_path("orc-quick" if asked.quick else "orc")
    path.write_text(json.dumps(report | {"medians": medians(cells), "cells": cells}, indent=1) + "\n")
    print(json.dumps(medians(cells), indent=1), path, sep="\n")


if __name__ == "__main__":
    main()
