"""Whether a rewrite stays within its memory where the table lies on S3 and is larger than that memory.

Usage: python -m benchmarks.s3_memory [--rows N] [--copies N] [--memory SIZE] [--repeat N]

One file of the event log, copied under other names on an S3 server of this machine (versitygw, as `make services`
builds it) until the table is large enough: what is read, sorted and spilled is as much as of distinct rows; what is
written is less, since equal rows compress. So times here are no measure of anything; the peak of memory is.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from benchmarks.datasets import events
from benchmarks.run import rewrite_cell, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from servers.s3 import S3

JOBS = {"sort": ["--strategy", "sort", "--sort-by", events.SORT_BY], "bin-pack": ["--strategy", "bin-pack"]}


def catalog_on(server: S3, folder: Path) -> SqlCatalog:
    """The SQLite catalog ``bench`` with its warehouse on the server; subprocesses see the same one."""
    uri = f"sqlite:///{folder}/catalog.db"
    properties = {"type": "sql", "uri": uri, "warehouse": f"s3://{server.bucket}/warehouse", **server.properties()}
    for name, value in properties.items():
        os.environ["PYICEBERG_CATALOG__BENCH__" + name.replace(".", "__").replace("-", "_").upper()] = value
    return SqlCatalog("bench", **properties)


def landed(catalog: SqlCatalog, server: S3, rows: pa.Table, copies: int) -> Table:
    """A table of the same file ``copies`` times."""
    catalog.create_namespace("b")
    properties = {"write.parquet.compression-codec": "zstd", "write.parquet.compression-level": "3"}
    table = catalog.create_table("b.events", schema=rows.schema, properties=properties)
    table.append(rows)
    (task,) = table.scan().plan_files()
    with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
        for number in range(1, copies):
            append.append_data_file(_copied(task.file, server.filesystem(), number))
    return table.refresh()


def _copied(file: DataFile, store: fs.FileSystem, number: int) -> DataFile:
    location = file.file_path.replace(".parquet", f"-{number}.parquet")
    store.copy_file(file.file_path.removeprefix("s3://"), location.removeprefix("s3://"))
    names = (
        "content", "file_format", "partition", "record_count", "file_size_in_bytes", "column_sizes", "value_counts",
        "null_value_counts", "nan_value_counts", "lower_bounds", "upper_bounds", "split_offsets", "sort_order_id",
    )  # fmt: skip
    copy = DataFile.from_args(file_path=location, **{name: getattr(file, name) for name in names})
    copy.spec_id = file.spec_id
    return copy


def measure(
    server: S3, folder: Path, rows: pa.Table, copies: int, memory: str, repeat: int
) -> Iterator[dict[str, Any]]:
    """Each job on the same snapshot."""
    table = landed(catalog_on(server, folder), server, rows, copies)
    before = table.metadata.current_snapshot_id
    assert before is not None
    for number in range(repeat):
        for job, options in JOBS.items():
            table.refresh().manage_snapshots().set_current_snapshot(before).commit()
            result, done = rewrite_cell(table, options, memory)
            yield {
                "dataset": events.NAME,
                "round": number,
                "job": job,
                "memory": memory,
                "rows": result["record_count"],
                "arrow_bytes": rows.nbytes * copies,
                "stored_bytes": result["bytes_before"],
                "peak_rss_bytes": result["peak_rss_bytes"],
                "wall_seconds": done.wall,
                "cpu_seconds": done.cpu,
                "proved": result["verification"]["matched"],
                "load_average": os.getloadavg()[0],
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000, help="of one file")
    parser.add_argument("--copies", type=int, default=16)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--repeat", type=int, default=1)
    asked = parser.parse_args()
    rows = next(events.batches(Path(), asked.rows / events.ROWS_PER_SCALE, 1))
    cells: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        server = S3(Path(temporary))
        try:
            for cell in measure(server, Path(temporary), rows, asked.copies, asked.memory, asked.repeat):
                cells.append(cell)
                print(json.dumps(cell), file=sys.stderr)
                save(cells, "s3-memory")
        finally:
            server.stop()
    for cell in cells:
        share = cell["peak_rss_bytes"] / cell["arrow_bytes"]
        print(f"{cell['job']}: peak {cell['peak_rss_bytes'] / 1e9:.2f} GB of {asked.memory}, {share:.0%} of the table")


if __name__ == "__main__":
    main()
