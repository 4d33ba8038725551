"""``lakeopt expire-snapshots --dry-run`` on tables of 5,000 snapshots: seconds and peak memory of the whole process.

Usage: python -m benchmarks.expiry [--snapshots N] [--dir DIR] [--repeat N]

One snapshot an hour. ``appends``: each adds a manifest and nothing is ever merged, as pyiceberg writes by default, so
that the lists hold N²/2 records together. ``rewrites``: each rewrites the one file of one of 24 partitions, so that
nearly every manifest and data file is dead. The metadata is real and whole; data files are named only, since an
expiry opens none.
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyiceberg.avro.encoder import BinaryEncoder
from pyiceberg.avro.file import META_SCHEMA, SYNC_SIZE, AvroFileHeader
from pyiceberg.avro.resolver import construct_writer, resolve_writer
from pyiceberg.manifest import (
    MANIFEST_LIST_FILE_SCHEMAS,
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    write_manifest,
    write_manifest_list,
)
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRef, SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, SnapshotLogEntry, Summary
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField

from benchmarks.lake import open_catalog
from benchmarks.measure import machine, result_path, run, versions
from lakeopt.tables.iceberg.metadata.avro import MAGIC, codec_of, read_header
from lakeopt.tables.iceberg.metadata.avro_decoder import StrictDecoder

PARTITIONS = 24
HOUR_MS = 3_600_000
FILE_BYTES = 32 * 1024**2
SCHEMA = Schema(NestedField(1, "hour", LongType(), required=False), NestedField(2, "id", LongType(), required=False))
SPEC = PartitionSpec(PartitionField(1, 1000, IdentityTransform(), "hour"))


class ListWriter:
    """Writes manifest lists whose records are encoded once each: pyiceberg would encode millions."""

    def __init__(self, table: Table, sample: ManifestFile) -> None:
        self.table = table
        schema = MANIFEST_LIST_FILE_SCHEMAS[2]
        self.writer = resolve_writer(record_schema=schema, file_schema=schema)
        location = f"{table.location()}/metadata/sample.avro"
        with write_manifest_list(2, table.io.new_output(location), 1, None, 1, "gzip") as writer:
            writer.add_manifests([sample])
        with table.io.new_input(location).open() as source:
            self.meta = read_header(StrictDecoder(source.read())).meta
        table.io.delete(location)

    def record(self, manifest: ManifestFile) -> bytes:
        """The bytes of one record."""
        sink = io.BytesIO()
        self.writer.write(BinaryEncoder(sink), manifest)
        return sink.getvalue()

    def write(self, location: str, records: list[bytes]) -> None:
        """A list of these records, as pyiceberg writes it: one block."""
        header = AvroFileHeader(MAGIC, self.meta, b"0" * SYNC_SIZE)
        codec = codec_of(header)
        with self.table.io.new_output(location).create(overwrite=True) as stream:
            encoder = BinaryEncoder(stream)
            construct_writer(META_SCHEMA).write(encoder, header)
            encoder.write_int(len(records))
            block = b"".join(records)
            encoder.write_bytes(codec.compress(block)[0] if codec else block)
            encoder.write(header.sync)


def data_file(table: Table, number: int) -> DataFile:
    """A data file that is named only."""
    file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=f"{table.location()}/data/hour={number % PARTITIONS}/{uuid.UUID(int=number)}.parquet",
        file_format=FileFormat.PARQUET,
        partition=Record(number % PARTITIONS),
        record_count=1000,
        file_size_in_bytes=FILE_BYTES,
    )
    file.spec_id = 0
    return file


def manifest_of(table: Table, number: int, rewrites: bool) -> ManifestFile:
    """The manifest of one snapshot: a file is added, and in ``rewrites`` the partition's file before it removed."""
    snapshot_id, location = number + 1, f"{table.location()}/metadata/{uuid.UUID(int=number)}-m0.avro"
    with write_manifest(2, SPEC, SCHEMA, table.io.new_output(location), snapshot_id, "gzip") as writer:
        writer.add_entry(
            ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED, snapshot_id=snapshot_id, data_file=data_file(table, number)
            )
        )
        if rewrites and number >= PARTITIONS:
            writer.add_entry(
                ManifestEntry.from_args(
                    status=ManifestEntryStatus.DELETED,
                    snapshot_id=snapshot_id,
                    sequence_number=number + 1 - PARTITIONS,
                    file_sequence_number=number + 1 - PARTITIONS,
                    data_file=data_file(table, number - PARTITIONS),
                )
            )
    manifest = writer.to_manifest_file()
    manifest[4], manifest[5] = number + 1, number + 1  # sequence numbers, which a commit fills in
    return manifest


def snapshots(table: Table, count: int, rewrites: bool) -> Iterator[Snapshot]:
    """The history, oldest first, with its manifests and lists written."""
    newest = int(time.time() * 1000) - HOUR_MS
    records: list[bytes] = []
    writer: ListWriter | None = None
    for number in range(count):
        manifest = manifest_of(table, number, rewrites)
        writer = writer or ListWriter(table, manifest)
        if rewrites and len(records) == PARTITIONS:
            del records[-1]  # the oldest is the one of the same partition
        records.insert(0, writer.record(manifest))
        location = f"{table.location()}/metadata/snap-{number + 1}.avro"
        writer.write(location, records)
        yield Snapshot(
            snapshot_id=number + 1,
            parent_snapshot_id=number or None,
            sequence_number=number + 1,
            timestamp_ms=newest - (count - 1 - number) * HOUR_MS,
            manifest_list=location,
            summary=Summary(Operation.REPLACE if rewrites else Operation.APPEND),
            schema_id=0,
        )


def landed(folder: Path, count: int, shape: str) -> Table:
    """The table, made once."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog = open_catalog(folder)
    catalog.create_namespace_if_not_exists("b")
    identifier = f"b.{shape}_{count}"
    if catalog.table_exists(identifier):
        return catalog.load_table(identifier)
    table = catalog.create_table(f"{identifier}_empty", SCHEMA, partition_spec=SPEC)
    history = list(snapshots(table, count, shape == "rewrites"))
    log = [SnapshotLogEntry(snapshot_id=one.snapshot_id, timestamp_ms=one.timestamp_ms) for one in history]
    head = SnapshotRef(snapshot_id=count, snapshot_ref_type=SnapshotRefType.BRANCH)
    metadata = table.metadata.model_copy(
        update={
            "snapshots": history,
            "snapshot_log": log,
            "refs": {"main": head},
            "current_snapshot_id": count,
            "last_sequence_number": count,
        }
    )
    location = f"{table.location()}/metadata/00001-{uuid.uuid4()}.metadata.json"
    ToOutputFile.table_metadata(metadata, table.io.new_output(location))
    catalog.drop_table(f"{identifier}_empty")
    return catalog.register_table(identifier, location)


def cells(folder: Path, count: int, shape: str, repeat: int) -> Iterator[dict[str, Any]]:
    """One dry run a cell, as a user runs it."""
    table = landed(folder, count, shape)
    command = [str(Path(sys.executable).with_name("lakeopt")), "expire-snapshots", "bench." + ".".join(table.name())]
    lists = [one.manifest_list for one in table.snapshots()]
    list_bytes = sum(len(table.io.new_input(location)) for location in lists)
    for _ in range(repeat):
        load = os.getloadavg()[0]
        done = run([*command, "--dry-run", "--json"])
        plan = json.loads(done.stdout)
        yield {
            "job": "expire-snapshots --dry-run",
            "table": shape,
            "snapshots": count,
            "manifest_list_bytes": list_bytes,
            "expired": len(plan["expired"]),
            "retained": len(plan["retained"]),
            "files_to_mark": plan["files_to_mark"],
            "bytes_to_free": plan["bytes_to_free"],
            "load_average_before": load,
            "wall_seconds": done.wall,
            "cpu_seconds": done.cpu,
            "peak_rss_bytes": done.peak_rss_bytes,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snapshots", type=int, default=5000)
    parser.add_argument("--dir", type=Path, help="keep the tables here")
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    measured: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="lakeopt-bench-") as temporary:
        for shape in ("appends", "rewrites"):
            measured += cells(asked.dir or Path(temporary), asked.snapshots, shape, asked.repeat)
    report = {"date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "machine": machine()}
    report |= {"versions": versions(), "settings": {"cache": "warm"}, "cells": measured}
    text = json.dumps(report, indent=1)
    result_path(f"expiry-{asked.snapshots}").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
