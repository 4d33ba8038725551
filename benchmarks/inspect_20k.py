"""``lakeopt inspect`` on a table of 20,000 data files: seconds and peak memory of the whole process.

Usage: python -m benchmarks.inspect_20k [--files N] [--dir DIR] [--repeat N] [--all-footers]

The table has 21 columns, ten partitions, one manifest a thousand files, and a sort key of a date and a string whose
bounds are cut short. Every data file exists: hard links to a few real ones, so that any footer can be read; the
bounds in the manifests are made up, one random day and range of names a file.
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
import pyarrow as pa
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import DateType, DoubleType, IntegerType, LongType, NestedField, StringType

from benchmarks.lake import open_catalog
from benchmarks.measure import machine, run, versions

REGION, DAY, NAME = 1, 2, 3
PARTITIONS, FILES_A_COMMIT, REAL_FILES, ROWS = 10, 1000, 10, 2000
FILE_BYTES = 32 * 1024**2  # what the manifests claim: a partition of small files
NAME_PREFIX = "customer-of-region-"  # longer than the 16 characters that bounds keep


def schema() -> Schema:
    """Partition column, sort key, and 18 more of three types."""
    more = [
        NestedField(i, f"c{i}", (LongType(), DoubleType(), StringType())[i % 3], required=False) for i in range(4, 22)
    ]
    return Schema(
        NestedField(REGION, "region", IntegerType(), required=False),
        NestedField(DAY, "day", DateType(), required=False),
        NestedField(NAME, "name", StringType(), required=False),
        *more,
    )


def rows(table: Table, seed: int) -> pa.Table:
    """Rows of one real file."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "region": np.full(ROWS, seed % PARTITIONS),
        "day": random.integers(0, 3650, ROWS).astype("datetime64[D]"),
        "name": [f"{NAME_PREFIX}{n:06d}" for n in random.integers(0, 10**6, ROWS)],
    }
    for i in range(4, 22):
        columns[f"c{i}"] = (
            random.integers(0, 10**9, ROWS),
            random.random(ROWS),
            [f"v{n}" for n in random.integers(0, 999, ROWS)],
        )[i % 3]
    return pa.table(columns).cast(schema_to_pyarrow(table.schema(), include_field_ids=True))


def real_files(table: Table) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A few real Parquet files and their statistics as a manifest holds them."""
    import pyarrow.parquet as pq

    plan = compute_statistics_plan(table.schema(), table.properties)
    for seed in range(REAL_FILES):
        path = Path(table.location().removeprefix("file://")) / "data" / f"real-{seed}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows(table, seed), path, compression="zstd", write_page_index=True)
        footer = pq.read_metadata(path)
        statistics = data_file_statistics_from_parquet_metadata(
            footer, plan, parquet_path_to_id_mapping(table.schema())
        )
        yield path, statistics.to_serialized_dict()


def entries(table: Table, count: int) -> Iterator[DataFile]:
    """So many data files: links to the real ones, each with bounds of its own on the sort key."""
    random, real = np.random.default_rng(0), list(real_files(table))
    for number in range(count):
        source, statistics = real[number % REAL_FILES]
        link = source.with_name(f"{uuid.UUID(int=number)}.parquet")
        os.link(source, link)
        day, name = int(random.integers(0, 3650)), f"{NAME_PREFIX}{random.integers(0, 10**6):06d}"[:16]
        lower = {DAY: struct.pack("<i", day), NAME: name.encode()}
        upper = {DAY: struct.pack("<i", day + int(random.integers(0, 3))), NAME: (name[:-1] + "z").encode()}
        yield DataFile.from_args(
            **statistics
            | {
                "content": DataFileContent.DATA,
                "file_path": f"file://{link}",
                "file_format": FileFormat.PARQUET,
                "partition": Record(number % PARTITIONS),
                "file_size_in_bytes": FILE_BYTES,
                "lower_bounds": statistics["lower_bounds"] | lower,
                "upper_bounds": statistics["upper_bounds"] | upper,
            }
        )


def landed(folder: Path, count: int) -> Table:
    """The table, one append a thousand files."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog = open_catalog(folder)
    catalog.create_namespace_if_not_exists("b")
    identifier = f"b.files_{count}"
    if catalog.table_exists(identifier):
        return catalog.load_table(identifier)
    spec = PartitionSpec(PartitionField(REGION, 1000, IdentityTransform(), "region"))
    order = SortOrder(*[SortField(source_id=i, transform=IdentityTransform()) for i in (DAY, NAME)])
    table = catalog.create_table(identifier, schema(), partition_spec=spec, sort_order=order)
    made = list(entries(table, count))
    for start in range(0, count, FILES_A_COMMIT):
        with table.transaction() as transaction, transaction.update_snapshot().fast_append() as append:
            for file in made[start : start + FILES_A_COMMIT]:
                file.spec_id = table.spec().spec_id
                append.append_data_file(file)
    return catalog.load_table(identifier)


def cells(folder: Path, count: int, repeat: int, options: list[str]) -> Iterator[dict[str, Any]]:
    """One `lakeopt inspect` a cell, as a user runs it."""
    table = landed(folder, count)
    command = [str(Path(sys.executable).with_name("lakeopt")), "inspect", "bench." + ".".join(table.name())]
    for _ in range(repeat):
        done = run([*command, "--json", *options])
        profile = json.loads(done.stdout)
        yield {
            "job": " ".join(["inspect", *options]),
            "data_files": profile["data_file_count"],
            "columns": len(table.schema().fields),
            "footers_read": profile["footers_read"],
            "findings": [finding["code"] for finding in profile["findings"]],
            "wall_seconds": done.wall,
            "cpu_seconds": done.cpu,
            "peak_rss_bytes": done.peak_rss_bytes,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--dir", type=Path, help="keep the table here")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--all-footers", action="store_true")
    asked = parser.parse_args()
    options = ["--all-footers"] if asked.all_footers else []
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        measured = list(cells(asked.dir or Path(temporary), asked.files, asked.repeat, options))
    today = datetime.datetime.now(datetime.UTC)
    report = {"date": today.isoformat(timespec="seconds"), "machine": machine(), "versions": versions()}
    report |= {"settings": {"cache": "warm"}, "cells": measured}
    text = json.dumps(report, indent=1)
    path = Path(__file__).parent / "results" / f"{today:%Y%m%d}" / f"inspect-{asked.files}{'-all' * bool(options)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
