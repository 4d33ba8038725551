"""What rewriting partitions costs on a Hive table, beside the same rows in an Iceberg table of the same metastore.

    python -m benchmarks.hive_rewrite [--rows N] [--partitions N] [--files N] [--repeat N] [--uri thrift://HOST:PORT]

Equal rows are in three tables: Iceberg and Hive in one metastore, and Hive as a folder without one. Each is rewritten
by one key, each partition by a commit of its own, and proves its rows equal, in turn; the ratio is of the least of the
rounds, which other work on the machine disturbed least. Without ``--uri`` a metastore is started here (HMS 2.3 out of
pyspark's jars, over Derby).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.measure import machine, result_path, run, versions

Parts = Mapping[str, list[pa.Table]]
#: Of the files of all three tables, before and after.
CODEC = "snappy"


def rows(seed: int, count: int) -> pa.Table:
    """Rows of one file, as they arrived: few words that are many, as logs have them."""
    chance = np.random.default_rng(seed)
    words = pa.array([f"w{number:06d}" for number in range(5000)])
    return pa.table(
        {
            "id": pa.array(np.arange(count, dtype=np.int64) + seed * count),
            "word": words.take(pa.array(chance.zipf(1.3, count) % 5000)),
        }
    )


def parts(partitions: int, files: int, count: int) -> Parts:
    """Files by day, of ``count`` rows each."""
    return {f"d{day:03d}": [rows(day * files + number, count) for number in range(files)] for day in range(partitions)}


def iceberg_table(uri: str, folder: Path, data: Parts) -> tuple[str, dict[str, str]]:
    """An Iceberg table in the metastore, an append for each file; its name and what configures its catalog."""
    from pyiceberg.catalog import load_catalog

    folder.mkdir()
    properties = {"type": "hive", "uri": uri, "warehouse": folder.as_uri(), "hive.hive2-compatible": "true"}
    catalog = load_catalog("lake", **properties)
    namespace = f"i{os.getpid()}x{folder.parent.name}".lower().replace("_", "")
    catalog.create_namespace(namespace)
    dated = {
        day: [one.append_column("day", pa.array([day] * len(one))) for one in files] for day, files in data.items()
    }
    schema = next(iter(dated.values()))[0].schema
    table = catalog.create_table((namespace, "t"), schema, properties={"write.parquet.compression-codec": CODEC})
    with table.update_spec() as spec:
        spec.add_identity("day")
    for number in range(max(map(len, dated.values()))):
        table.append(pa.concat_tables(files[number] for files in dated.values()))
    spelt = {key.replace(".", "__").replace("-", "_").upper(): value for key, value in properties.items()}
    return f"lake.{namespace}.t", {f"PYICEBERG_CATALOG__LAKE__{key}": value for key, value in spelt.items()}


def hive_table(uri: str | None, folder: Path, data: Parts) -> tuple[str, dict[str, str]]:
    """A Hive table in the metastore, or as a folder without one; its name and what configures it."""
    from hive_lake import Folder, HiveDatabase, HiveParquet

    if uri is None:
        table = Folder(folder / "t")
        environment: dict[str, str] = {}
    else:
        database = HiveDatabase(uri, folder)
        table, environment = HiveParquet(database, "t"), database.environment
    for day, files in data.items():
        table.add(day, *files)
    return table.name, environment


def measured(name: str, environment: Mapping[str, str], state: Path) -> dict[str, Any]:
    """One rewrite as a process of its own, from start to end."""
    lakeopt = str(Path(sys.executable).parent / "lakeopt")
    command = [lakeopt, "rewrite", name, "--sort-by", "word,id", "--partial-progress", "--yes", "--json"]
    done = run(command, environment={**environment, "LAKEOPT_STATE_DIR": str(state)})
    result = json.loads(done.stdout)
    return {
        "seconds": round(done.wall, 2),
        "cpu_seconds": round(done.cpu, 2),
        "rewrite_seconds": round(result["elapsed_seconds"], 2),
        "phases": {name: round(value, 2) for name, value in result["seconds"].items()},
        "peak_rss_bytes": done.peak_rss_bytes,
        "bytes_before": result["bytes_before"],
        "bytes_after": result["bytes_after"],
        "fingerprint": result["verification"]["fingerprint"],
        "groups_done": result["groups_done"],
        "load": round(os.getloadavg()[0], 1),
    }


def once(uri: str, data: Parts) -> dict[str, Any]:
    """All three tables, made anew and rewritten."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        tables = {
            "iceberg in the metastore": iceberg_table(uri, root / "iceberg", data),
            "hive in the metastore": hive_table(uri, root / "hive", data),
            "hive as a folder": hive_table(None, root / "folder", data),
        }
        return {kind: measured(*table, root / f"state {kind[:6]}") for kind, table in tables.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=250_000, help="rows of each file")
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--files", type=int, default=8, help="files of each partition")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--uri", help="a metastore that is there already")
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from servers.hive import Hive

    data = parts(asked.partitions, asked.files, asked.rows)
    with tempfile.TemporaryDirectory() as folder:
        server = None if asked.uri else Hive(Path(folder))
        try:
            found = [once(server.uri if server else asked.uri, data) for _ in range(asked.repeat)]
        finally:
            if server is not None:
                server.stop()
    rounds = {kind: [one[kind]["rewrite_seconds"] for one in found] for kind in found[0]}
    least = {kind: min(seconds) for kind, seconds in rounds.items()}
    base = least["iceberg in the metastore"]
    report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "rows_of_a_file": asked.rows,
        "partitions": asked.partitions,
        "files_of_a_partition": asked.files,
        "codec": CODEC,
        "median_rewrite_seconds": {kind: statistics.median(seconds) for kind, seconds in rounds.items()},
        "least_rewrite_seconds": least,
        "times_iceberg": {kind: round(value / base, 3) for kind, value in least.items()},
        "runs": found,
    }
    path = result_path("hive-rewrite")
    path.write_text(json.dumps(report, indent=1) + "\n")
    shown = ("median_rewrite_seconds", "least_rewrite_seconds", "times_iceberg")
    print(json.dumps({key: report[key] for key in shown}, indent=1))
    print(path)


if __name__ == "__main__":
    main()
