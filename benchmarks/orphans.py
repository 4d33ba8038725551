"""``lakeopt remove-orphan-files`` over 1,000,000 listed files: seconds and peak memory of the whole process.

Usage: python -m benchmarks.orphans [--files N] [--orphans N] [--dir DIR]

Every listed file exists: links to a few real ones, in a thousand partition folders. All but the orphans are in the
table, a thousand a manifest. Three cells: the search alone (``--dry-run``), the search with its moves, and ``restore``.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
)
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _FastAppendFiles
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField

from benchmarks.lake import open_catalog
from benchmarks.measure import Run, machine, result_path, run, versions

FOLDERS, FILES_A_MANIFEST, LINKS_A_FILE = 1000, 1000, 50_000
NAME = "bench.b.orphans"
OLD = 1_600_000_000


def names(files: int) -> Iterator[str]:
    """Paths below the data folder, as a partitioned table has them."""
    for number in range(files):
        place, unique = number % FOLDERS, uuid.UUID(int=number * 2654435761)
        yield f"day=2025-{place:03d}/{number:07d}-{unique}.parquet"


class _Manifests(_FastAppendFiles):
    """One snapshot with a manifest of every thousand of these files."""

    paths: list[str]

    def _manifests(self) -> list[ManifestFile]:
        table, made = self._transaction._table, []
        for start in range(0, len(self.paths), FILES_A_MANIFEST):
            with self.new_manifest_writer(table.spec()) as writer:
                for path in self.paths[start : start + FILES_A_MANIFEST]:
                    file = DataFile.from_args(
                        content=DataFileContent.DATA,
                        file_path=f"{table.location()}/data/{path}",
                        file_format=FileFormat.PARQUET,
                        partition=Record(),
                        record_count=1,
                        file_size_in_bytes=1000,
                    )
                    file.spec_id = 0
                    entry = ManifestEntry.from_args(
                        status=ManifestEntryStatus.ADDED, snapshot_id=self._snapshot_id, data_file=file
                    )
                    writer.add(entry)
            made.append(writer.to_manifest_file())
        return made


def landed(folder: Path, files: int, orphans: int) -> Table:
    """The table and its files; made once for each folder."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog = open_catalog(folder)
    catalog.create_namespace_if_not_exists("b")
    if catalog.table_exists("b.orphans"):
        return catalog.load_table("b.orphans")
    table = catalog.create_table("b.orphans", Schema(NestedField(1, "id", LongType(), required=False)))
    data = Path(table.location().removeprefix("file://")) / "data"
    for place in range(FOLDERS):
        (data / f"day=2025-{place:03d}").mkdir(parents=True)
    paths = list(names(files))
    real = folder / "real"
    for number, path in enumerate(paths):
        if number % LINKS_A_FILE == 0:
            real = folder / f"real-{number}"
            real.write_bytes(bytes(1000))
            os.utime(real, (OLD, OLD))
        os.link(real, data / path)
    transaction = table.transaction()
    producer = _Manifests(Operation.APPEND, transaction, table.io)
    producer.paths = paths[orphans:]
    producer.commit()
    transaction.commit_transaction()
    return catalog.load_table("b.orphans")


def cell(job: str, files: int, orphans: int, done: Run, **more: Any) -> dict[str, Any]:
    """What one process took."""
    return {
        "job": job,
        "listed_files": files,
        "orphans": orphans,
        **more,
        "wall_seconds": done.wall,
        "cpu_seconds": done.cpu,
        "peak_rss_bytes": done.peak_rss_bytes,
        "load_average": os.getloadavg()[0],
    }


def cells(folder: Path, files: int, orphans: int) -> Iterator[dict[str, Any]]:
    """The search, the moves and the way back, each in a process of its own."""
    landed(folder, files, orphans)
    command = [sys.executable, "-m", "lakeopt"]
    plan = folder / "plan.json"
    done = run([*command, "remove-orphan-files", NAME, "--dry-run", "--quiet", "-o", str(plan)])
    found = json.loads(plan.read_text())
    assert found["orphan_files_count"] == orphans, found["orphan_files_count"]
    yield cell("search", files, orphans, done, kept_counts=found["kept_counts"])
    done = run([*command, "remove-orphan-files", NAME, "--yes", "--json"])
    result = json.loads(done.stdout)
    assert result["quarantined_files_count"] == orphans
    yield cell("search and move", files, orphans, done)
    done = run([*command, "restore", NAME, "--plan", result["plan_id"], "--yes", "--json"])
    assert json.loads(done.stdout)["restored_files_count"] == orphans
    yield cell("restore", files, orphans, done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--orphans", type=int, default=100_000)
    parser.add_argument("--dir", type=Path, help="keep the table here")
    asked = parser.parse_args()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    settings = {"store": "local", "cache": "warm"}
    report = {"date": now, "machine": machine(), "versions": versions(), "settings": settings}
    measured = []
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        for done in cells(asked.dir or Path(temporary), asked.files, asked.orphans):
            measured.append(done)
            text = json.dumps(report | {"cells": measured}, indent=1)
            result_path(f"orphans-{asked.files}").write_text(text + "\n")  # an hour's figures outlive a late failure
    print(text)


if __name__ == "__main__":
    main()
