"""How long ``lakeopt inspect`` takes on a Hive table of many partitions, over a real metastore's Thrift.

    python -m benchmarks.inspect_hive [--partitions 20000] [--repeat N] [--uri thrift://HOST:PORT | --table NAME]

Each partition holds one small Parquet file of two columns. All of them are listed, and every footer is read once.
Without ``--uri`` a metastore is started here (HMS 2.3 out of pyspark's jars, over Derby); ``--table`` is one that was
made by an earlier run, in a catalog that is configured.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import machine, result_path, run, versions

#: Partitions registered by one call.
_AT_ONCE = 1000


def register(uri: str, folder: Path, count: int) -> str:
    """A database with a table of so many partitions of one file each; its name."""
    from hive_lake import HiveDatabase, HiveParquet, _storage
    from hive_metastore.ttypes import Partition

    database = HiveDatabase(uri, folder)
    table = HiveParquet(database, "many")
    rows = pa.table({"id": list(range(100)), "word": [f"w{n % 7}" for n in range(100)]})
    pq.write_table(rows, folder / "one.parquet")
    for start in range(0, count, _AT_ONCE):
        made = []
        for number in range(start, min(count, start + _AT_ONCE)):
            place = table.root / f"day=d{number:06d}"
            place.mkdir(parents=True)
            shutil.copyfile(folder / "one.parquet", place / "part-0.parquet")
            made.append(
                Partition(
                    values=[f"d{number:06d}"],
                    dbName=database.name,
                    tableName="many",
                    sd=_storage(f"file:{place}"),
                    parameters={},
                )
            )
        with database.connected() as client:
            client.add_partitions(made)
    os.environ.update(database.environment)
    return table.name


def cells(name: str, repeat: int) -> Iterator[dict[str, Any]]:
    """The calls to the metastore alone, then whole ``lakeopt inspect`` processes as a user starts them."""
    from lakeopt.tables.open import open_table

    for _ in range(repeat):
        started = time.perf_counter()
        table: Any = open_table(name)
        partitions = sum(map(len, table.source.partitions()))
        yield {
            "job": "partitions over Thrift",
            "partitions": partitions,
            "wall_seconds": round(time.perf_counter() - started, 3),
        }
        done = run([sys.executable, "-m", "lakeopt", "inspect", name, "--json"])
        found = json.loads(done.stdout)
        yield {
            "job": "inspect",
            "partitions": found["partition_count"],
            "data_files": found["data_file_count"],
            "record_count": found["record_count"],
            "wall_seconds": round(done.wall, 3),
            "cpu_seconds": round(done.cpu, 3),
            "peak_rss_bytes": done.peak_rss_bytes,
            "load_average": round(os.getloadavg()[0], 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--uri", help="a metastore of version 2.3 or 3.1  [default: one is started here]")
    parser.add_argument("--table", help="a table of so many partitions that is there already")
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        server: Any = None
        if asked.uri is None and asked.table is None:
            from servers.hive import Hive

            (Path(temporary) / "metastore").mkdir()
            server = Hive(Path(temporary) / "metastore")
        try:
            uri = asked.uri or (server.uri if server is not None else "")
            name = asked.table or register(uri, Path(temporary) / "lake", asked.partitions)
            measured = list(cells(name, asked.repeat))
        finally:
            if server is not None:
                server.stop()
    today = datetime.datetime.now(datetime.UTC)
    report = {"date": today.isoformat(timespec="seconds"), "machine": machine(), "versions": versions()}
    report |= {
        "settings": {"metastore": "HMS 2.3.10 over Derby, on the same machine", "cache": "warm"},
        "least_inspect_seconds": min(cell["wall_seconds"] for cell in measured if cell["job"] == "inspect"),
        "cells": measured,
    }
    text = json.dumps(report, indent=1)
    path = result_path(f"inspect-hive-{asked.partitions}")
    path.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
