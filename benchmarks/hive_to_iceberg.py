"""The three query shapes of ``three_shapes.sql`` on a Hive table and on the Iceberg table made of it, side by side.

Usage: python -m benchmarks.hive_to_iceberg [--quick] [--dir DIR]

The generated event log lies in Hive as jobs leave it: a folder a day, a file an hour, in order of arrival, snappy.
``lakeopt migrate --rewrite`` sorts it into an Iceberg table, ``lakeopt bench --against`` runs the queries on both.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.lake import open_catalog
from benchmarks.measure import machine, result_path, run, versions
from lakeopt.workflows.event_log import event_log

ROWS, DAYS, HOURS = 5_000_000, 4, 24
QUERIES = Path(__file__).with_name("three_shapes.sql")
KEY = "event_name,device_id,event_time"
NAME = "bench.b.events"


def hive_table(folder: Path, rows: int) -> Path:
    """The log as a folder of ``day=…`` folders."""
    table = folder / "hive" / "events"
    for number, day in enumerate(event_log(rows, days=DAYS)):
        place = table / f"day=2026-01-{number + 1:02d}"
        place.mkdir(parents=True)
        hour = -(-day.num_rows // HOURS)
        for first in range(0, day.num_rows, hour):
            pq.write_table(day.slice(first, hour), place / f"{first:09d}.parquet", compression="snappy")
    return table


def measured(folder: Path, rows: int) -> dict[str, Any]:
    """One migration, and the report of one bench."""
    table = hive_table(folder, rows)
    open_catalog(folder).create_namespace("b")
    lakeopt = [sys.executable, "-m", "lakeopt"]
    layout = ["--rewrite", "--strategy", "sort", "--sort-by", KEY]
    made = json.loads(run([*lakeopt, "migrate", str(table), "--to", NAME, *layout, "--yes", "--json"]).stdout)
    asked = ["bench", str(table), "--queries", str(QUERIES), "--against", NAME, "--json"]
    report = json.loads(run([*lakeopt, *asked]).stdout) | {"table": str(table.relative_to(folder))}
    return {
        "migration": {name: made[name] for name in ("record_count", "bytes_before", "bytes_after", "elapsed_seconds")},
        "bench": report,
        "less": {query["name"]: less(query) for query in report["queries"]},
        "load": os.getloadavg()[0],
    }


def less(query: dict[str, Any]) -> dict[str, Any]:
    """Shares that one query takes less on the Iceberg table: bytes read, time cold and hot."""
    before, after = query["before"], query["after"]
    shares = {name: round(1 - after[name] / before[name], 3) for name in ("bytes_scanned", "cold", "hot")}
    return shares | {"answers_match": query["answers_match"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--dir", type=Path, help="keep the tables here")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        found = measured(asked.dir or Path(temporary), ROWS // 10 if asked.quick else ROWS)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    settings = {"files": DAYS * HOURS, "codec_before": "snappy", "sorted_by": KEY}
    report = {"date": now, "machine": machine(), "versions": versions(), "settings": settings}
    path = result_path("hive-to-iceberg-quick" if asked.quick else "hive-to-iceberg")
    path.write_text(json.dumps(report | found, indent=1) + "\n")
    print(json.dumps(found["less"], indent=1), path, sep="\n")


if __name__ == "__main__":
    main()
