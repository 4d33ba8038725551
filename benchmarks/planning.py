"""``lakeopt.plan`` on a table of 100,000 data files in 500 manifests: seconds and peak memory of the whole process.

Usage: python -m benchmarks.planning [--files N] [--manifests N] [--dir DIR] [--repeat N]

The table is metadata alone: no data file exists, and since no bound is cut short, planning asks for no footer. It has
21 columns with counts and bounds, and 100 partitions; each manifest speaks of ten of them, as a day's appends do.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import struct
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _FastAppendFiles
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import DateType, DoubleType, IntegerType, LongType, NestedField, StringType

from benchmarks.lake import open_catalog
from benchmarks.measure import machine, result_path, run, versions

COLUMNS, PARTITIONS, PARTITIONS_A_MANIFEST = 21, 100, 10
TYPES = (LongType(), DoubleType(), StringType())
#: What runs in a process of its own; its last line says what was planned.
PLANNING = """
import json, sys, lakeopt
from lakeopt.model.plan import SortField
strategy, table = sys.argv[1:]
key = [SortField("day"), SortField("name")] if strategy == "sort" else []
plan = lakeopt.plan(table, strategy=strategy, sort_by=key)
files = sum(group.file_count for group in plan.groups)
print(json.dumps({"groups": len(plan.groups), "files_to_rewrite": files, "skipped": len(plan.skipped)}))
"""


def schema() -> Schema:
    """A partition column, a sort key, and more columns of three types."""
    more = [NestedField(i, f"c{i}", TYPES[i % 3], required=False) for i in range(4, COLUMNS + 1)]
    return Schema(
        NestedField(1, "region", IntegerType(), required=False),
        NestedField(2, "day", DateType(), required=False),
        NestedField(3, "name", StringType(), required=False),
        *more,
    )


def bound(field_id: int, value: int) -> bytes:
    """A bound as the manifest holds it, of the column's type."""
    if field_id <= 2:
        return struct.pack("<i", value)
    kind = StringType() if field_id == 3 else TYPES[field_id % 3]
    if isinstance(kind, StringType):
        return f"c-{value:07d}".encode()
    return struct.pack("<d" if isinstance(kind, DoubleType) else "<q", value)


def data_file(table: Table, partition: int, random: np.random.Generator) -> DataFile:
    """A data file that is nowhere, with metrics on every column."""
    ids = range(1, COLUMNS + 1)
    rows = int(random.integers(50_000, 500_000))
    low = random.integers(0, 10**6, COLUMNS).tolist()
    low[:2] = (value % 10_000 for value in low[:2])
    file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=f"{table.location()}/data/region={partition}/{uuid.UUID(bytes=random.bytes(16))}.parquet",
        file_format=FileFormat.PARQUET,
        partition=Record(partition),
        record_count=rows,
        file_size_in_bytes=int(random.integers(1 << 20, 64 << 20)),
        column_sizes=dict(zip(ids, random.integers(10**4, 10**6, COLUMNS).tolist(), strict=True)),
        value_counts=dict.fromkeys(ids, rows),
        null_value_counts=dict(zip(ids, random.integers(0, 100, COLUMNS).tolist(), strict=True)),
        nan_value_counts={i: 0 for i in ids if i > 3 and i % 3 == 1},
        lower_bounds={i: bound(i, value) for i, value in zip(ids, low, strict=True)},
        upper_bounds={i: bound(i, value + 5000) for i, value in zip(ids, low, strict=True)},
        split_offsets=[4],
    )
    file.spec_id = table.spec().spec_id
    return file


class _Manifests(_FastAppendFiles):
    """One snapshot with as many manifests as are asked for."""

    files: int
    count: int

    def _manifests(self) -> list[ManifestFile]:
        table, random = self._transaction._table, np.random.default_rng(0)
        made = []
        for number in range(self.count):
            with self.new_manifest_writer(table.spec()) as writer:
                for place in range(self.files // self.count):
                    partition = (number + place % PARTITIONS_A_MANIFEST) % PARTITIONS
                    entry = ManifestEntry.from_args(
                        status=ManifestEntryStatus.ADDED,
                        snapshot_id=self._snapshot_id,
                        data_file=data_file(table, partition, random),
                    )
                    writer.add(entry)
            made.append(writer.to_manifest_file())
        return made


def landed(folder: Path, files: int, manifests: int) -> Table:
    """The table; made once for each folder."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog = open_catalog(folder)
    catalog.create_namespace_if_not_exists("b")
    identifier = f"b.planned_{files}_{manifests}"
    if catalog.table_exists(identifier):
        return catalog.load_table(identifier)
    spec = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "region"))
    table = catalog.create_table(identifier, schema(), partition_spec=spec)
    transaction = table.transaction()
    producer = _Manifests(Operation.APPEND, transaction, table.io)
    producer.files, producer.count = files, manifests
    producer.commit()
    transaction.commit_transaction()
    return catalog.load_table(identifier)


def cells(folder: Path, files: int, manifests: int, repeat: int) -> Iterator[dict[str, Any]]:
    """One plan a cell, in a process of its own."""
    table = landed(folder, files, manifests)
    for _ in range(repeat):
        for strategy in ("bin-pack", "sort"):
            done = run([sys.executable, "-c", PLANNING, strategy, "bench." + ".".join(table.name())])
            yield {
                "job": f"plan {strategy}",
                "data_files": files,
                "manifests": manifests,
                "columns": COLUMNS,
                **json.loads(done.stdout.splitlines()[-1]),
                "wall_seconds": done.wall,
                "cpu_seconds": done.cpu,
                "peak_rss_bytes": done.peak_rss_bytes,
                "load_average": os.getloadavg()[0],
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--manifests", type=int, default=500)
    parser.add_argument("--dir", type=Path, help="keep the table here")
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        measured = list(cells(asked.dir or Path(temporary), asked.files, asked.manifests, asked.repeat))
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    report = {"date": now, "machine": machine(), "versions": versions(), "settings": {"cache": "warm"}}
    text = json.dumps(report | {"cells": measured}, indent=1)
    result_path(f"planning-{asked.files}").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
