"""A table with 200 position-delete files, rewritten against the same table without them.

Usage: python -m benchmarks.deletes [--scale S] [--dir DIR] [--repeat N]

The event log in 200 data files. Each delete file names random rows of ten data files chosen at random, 1 % of all rows
together, and is bound to no single data file: as writers with partition-scoped deletes leave them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriterV2,
)
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _FastAppendFiles
from pyiceberg.typedef import Record

from benchmarks.datasets import events
from benchmarks.lake import landed, rolled_back
from benchmarks.run import TARGET, THREADS, rewrite_cell, save

DELETE_FILES, DATA_FILES_EACH, DELETED_SHARE, MEMORY = 200, 10, 0.01, "5GB"
JOBS = {"bin-pack": ["--strategy", "bin-pack"], "sort": ["--strategy", "sort", "--sort-by", events.SORT_BY]}
PATH_ID, POSITION_ID = 2147483546, 2147483545


def delete_files(table: Table) -> Iterator[DataFile]:
    """Delete files written and not yet in the table; the same rows every time."""
    random = np.random.default_rng(0)
    data = sorted(
        zip(*(table.inspect.files()[name].to_pylist() for name in ("file_path", "record_count")), strict=True)
    )
    each = int(sum(count for _, count in data) * DELETED_SHARE / DELETE_FILES / DATA_FILES_EACH)
    for _ in range(DELETE_FILES):
        chosen = [data[place] for place in sorted(random.choice(len(data), DATA_FILES_EACH, replace=False))]
        paths = [path for path, _ in chosen for _ in range(each)]
        places = np.concatenate([np.sort(random.choice(count, each, replace=False)) for _, count in chosen])
        location = f"{table.location()}/data/{uuid.uuid4()}-deletes.parquet"
        local = Path(location.removeprefix("file://"))
        fields = [("file_path", pa.string(), PATH_ID), ("pos", pa.int64(), POSITION_ID)]
        schema = pa.schema([pa.field(n, t, False, {"PARQUET:field_id": str(i)}) for n, t, i in fields])
        pq.write_table(pa.table([paths, places], schema=schema), local, compression="zstd")
        file = DataFile.from_args(
            content=DataFileContent.POSITION_DELETES,
            file_path=location,
            file_format=FileFormat.PARQUET,
            partition=Record(),
            record_count=len(paths),
            file_size_in_bytes=local.stat().st_size,
            lower_bounds={PATH_ID: paths[0].encode()},
            upper_bounds={PATH_ID: paths[-1].encode()},
        )
        file.spec_id = table.spec().spec_id
        yield file


class _DeleteManifest(ManifestWriterV2):
    """pyiceberg writes manifests of data files only."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _AddDeletes(_FastAppendFiles):
    """Appends delete files."""

    def _manifests(self) -> list[ManifestFile]:
        writer = _DeleteManifest(
            self.spec(self._transaction.table_metadata.default_spec_id),
            self.schema(),
            self.new_manifest_output(),
            self._snapshot_id,
            self._compression,
        )
        with writer:
            for file in self._added_data_files:
                writer.add(
                    ManifestEntry.from_args(
                        status=ManifestEntryStatus.ADDED, snapshot_id=self._snapshot_id, data_file=file
                    )
                )
        return [writer.to_manifest_file(), *self._existing_manifests()]


def with_deletes(table: Table) -> Table:
    """The table with the delete files in one more snapshot."""
    transaction = table.transaction()
    producer = _AddDeletes(Operation.DELETE, transaction, table.io)
    for file in delete_files(table):
        producer.append_data_file(file)
    producer.commit()
    return transaction.commit_transaction()


def measure(folder: Path, scale: float, repeat: int) -> Iterator[dict[str, Any]]:
    """Both sides of each job, turn by turn, since machines drift."""
    table = landed(folder, events, scale, events.FILES)
    plain = max(
        (s for s in table.snapshots() if s.summary.operation == Operation.APPEND), key=lambda s: s.sequence_number
    ).snapshot_id
    deleted = next((s.snapshot_id for s in table.snapshots() if s.summary.operation == Operation.DELETE), None)
    if deleted is None:
        table = with_deletes(rolled_back(table, plain))
        deleted = table.metadata.current_snapshot_id
    for number in range(repeat):
        for job, options in JOBS.items():
            for side, snapshot in (("without", plain), ("with", deleted)):
                table = rolled_back(table, snapshot, keep=[plain, deleted])
                result, done = rewrite_cell(table, options, MEMORY)
                yield {
                    "dataset": events.NAME,
                    "scale": scale,
                    "round": number,
                    "job": job,
                    "deletes": side,
                    "delete_files": result["removed_delete_files_count"],
                    "record_count": result["record_count"],
                    "stage_seconds": result["seconds"]["stage"],
                    "prove_seconds": result["seconds"]["prove"],
                    "wall_seconds": done.wall,
                    "cpu_seconds": done.cpu,
                    "peak_rss_bytes": result["peak_rss_bytes"],
                    "proved": result["verification"]["matched"],
                    "load_average": os.getloadavg()[0],
                }


def summary(cells: list[dict[str, Any]]) -> str:
    """Seconds with deletes over seconds without, medians over the rounds."""
    lines = [
        f"| job ({THREADS} threads, {TARGET}) | wall with / without | CPU with / without | peak RSS GB |",
        "|---|---:|---:|---:|",
    ]
    for job in JOBS:
        sides = [[c for c in cells if (c["job"], c["deletes"]) == (job, side)] for side in ("with", "without")]
        ratios = [
            statistics.median(one[name] / other[name] for one, other in zip(*sides, strict=True))
            for name in ("wall_seconds", "cpu_seconds")
        ]
        peak = max(cell["peak_rss_bytes"] for cell in sides[0]) / 1e9
        lines.append(f"| {job} | {ratios[0]:.2f} | {ratios[1]:.2f} | {peak:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=0.25, help="of 20 million rows")
    parser.add_argument("--dir", type=Path, help="keep data and tables here")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; medians are quoted")
    asked = parser.parse_args()
    cells: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        for cell in measure(asked.dir or Path(temporary), asked.scale, asked.repeat):
            cells.append(cell)
            print(json.dumps(cell), file=sys.stderr)
    print(summary(cells))
    save(cells, "deletes")


if __name__ == "__main__":
    main()
