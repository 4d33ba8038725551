"""The suite: every strategy on every data set, by the commands that a user has; bytes, seconds, and what queries read.

Usage: python -m benchmarks.suite [--quick] [--dir DIR] [--dataset NAME]… [--strategy NAME]… [--name RESULT]

Prints the figures as tables and writes a result file, anew after each data set. The newest result file of that name,
if there is one, is what the new figures are compared with (``benchmarks.compare``): ends with 1 where bytes differ by
more than one percent.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import compare, result_files, tables
from benchmarks.measure import machine, result_path, versions
from benchmarks.suite_cells import MEMORY_GB, TARGET, THREADS, Conditions, cells
from benchmarks.suite_table import LANDED_FILES, ROW_GROUP_ROWS
from lakeopt import registry

DATASETS, STRATEGIES = "benchmarks.datasets", "benchmarks.strategies"


def placed(kind: str, names: Sequence[str]) -> dict[str, Any]:
    """Members of a kind by name, in the order of their places in tables."""
    found = {name: registry.load(kind, name) for name in names}
    return dict(sorted(found.items(), key=lambda one: one[1].PLACE))


def measured(how: Conditions, datasets: Sequence[str], named: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The result of these data sets and strategies, after each data set."""
    began = time.perf_counter()
    # Of every command, also those without such an option: what is chosen must not depend on the machine's memory.
    os.environ |= {"LAKEOPT_THREADS": str(THREADS), "LAKEOPT_MEMORY": f"{MEMORY_GB}GB"}
    strategies = placed(STRATEGIES, named)
    result: dict[str, Any] = {
        "kind": result_files.KIND,
        "schema_version": 1,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "settings": {
            "quick": how.quick,
            "threads": THREADS,
            "memory": f"{MEMORY_GB}GB",
            "target_file_size": TARGET,
            "landed_files": LANDED_FILES,
            "baseline": f"arrival order, one file by pyarrow's default writer, row groups of {ROW_GROUP_ROWS:,} rows",
            "query_runs": how.query_runs,
            "cache": "warm; cold_seconds: a new process, files dropped from the page cache",
        },
        "strategies": {name: strategy.TITLE for name, strategy in strategies.items()},
        "datasets": {},
        "cells": [],
    }
    for name, dataset in placed(DATASETS, datasets).items():
        about, found = cells(name, dataset, strategies, how)
        result["datasets"][name] = about
        result["cells"] += found
        spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        result["cost"] = {
            "wall_seconds": time.perf_counter() - began,
            "cpu_seconds": sum(one.ru_utime + one.ru_stime for one in spent),
            "load": os.getloadavg()[0],
        }
        yield result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows of large data sets")
    parser.add_argument("--dir", type=Path, help="keep fetched and generated data here")
    parser.add_argument("--dataset", choices=registry.names(DATASETS), action="append")
    parser.add_argument("--strategy", choices=registry.names(STRATEGIES), action="append")
    parser.add_argument("--name", help="name of the result file  [default: suite, or suite-quick]")
    asked = parser.parse_args()
    name = asked.name or ("suite-quick" if asked.quick else "suite")
    earlier = result_files.newest(name)
    with tempfile.TemporaryDirectory(prefix="lakeopt-suite-") as folder:
        data, lake = asked.dir or Path(folder, "data"), Path(folder, "lake")
        data.mkdir(parents=True, exist_ok=True)
        lake.mkdir()
        how = Conditions(asked.quick, data, lake)
        datasets, strategies = asked.dataset or registry.names(DATASETS), asked.strategy or registry.names(STRATEGIES)
        for result in measured(how, datasets, strategies):
            result_files.require_valid(result)
            result_path(name).write_text(json.dumps(result, indent=1) + "\n")
    print(tables.markdown(result))
    return 0 if earlier is None else compare.report(earlier, result)


if __name__ == "__main__":
    sys.exit(main())
