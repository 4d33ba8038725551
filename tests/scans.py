"""Builders of scans over hand-made Parquet files, without a catalog."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs
from pyroaring import BitMap64

from lakeopt.model.scan import FIELD_ID, Scan, files_schema

PATH_ID, POSITION_ID = 2147483546, 2147483545


def field(name: str, kind: pa.DataType, number: int, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable, {FIELD_ID: str(number).encode()})


def write(path: Path, rows: pa.Table, **writer: Any) -> Path:
    """One data file. Field ids are those of the table's schema; the Arrow schema is not stored, as other engines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path, **({"store_schema": False} | writer))
    return path


def table(schema: pa.Schema, **columns: Any) -> pa.Table:
    return pa.table(columns, schema=schema)


def scan_of(
    schema: pa.Schema, paths: Sequence[Path], *, deletes: Sequence[Mapping[str, Any]] = (), **more: Any
) -> Scan:
    """A scan of data files. All ``deletes`` apply to all files, as a planner may say that they may."""
    rows = [_row(path, 0, pq.read_metadata(path).num_rows) for path in paths]
    for row in rows:
        row["delete_files"] = [delete["file_path"] for delete in deletes]
    held = pa.Table.from_pylist(list(deletes), schema=files_schema()) if deletes else None
    files = pa.Table.from_pylist(rows, schema=files_schema())
    return Scan(schema, files, fs.FileSystem.from_uri, deletes=held, **more)


def position_deletes(path: Path, positions: Mapping[Path, Sequence[int]]) -> dict[str, Any]:
    pairs = [(data.as_uri(), position) for data, places in positions.items() for position in places]
    schema = pa.schema([field("file_path", pa.string(), PATH_ID, False), field("pos", pa.int64(), POSITION_ID, False)])
    write(path, pa.table([[p for p, _ in pairs], [n for _, n in pairs]], schema=schema))
    return _row(path, 1, len(pairs))


def equality_deletes(path: Path, rows: pa.Table) -> dict[str, Any]:
    write(path, rows)
    ids = [int(column.metadata[FIELD_ID]) for column in rows.schema]
    return {**_row(path, 2, rows.num_rows), "equality_ids": ids}


def deletion_vector(path: Path, data: Path, positions: Sequence[int], *, damaged: bool = False) -> dict[str, Any]:
    """A deletion vector at some offset of a file (as a Puffin file holds it)."""
    body = b"\xd1\xd3\x39\x64" + BitMap64(positions).serialize()
    checksum = zlib.crc32(body) ^ (1 if damaged else 0)
    blob = struct.pack(">I", len(body)) + body + struct.pack(">I", checksum)
    path.write_bytes(b"PFA1" + blob + b"the rest of the puffin file")
    return {
        **_row(path, 1, len(positions)),
        "file_format": "PUFFIN",
        "referenced_data_file": data.as_uri(),
        "content_offset": 4,
        "content_size_in_bytes": len(blob),
    }


def _row(path: Path, content: int, count: int) -> dict[str, Any]:
    return {
        "content": content,
        "file_path": path.as_uri(),
        "file_format": "PARQUET",
        "spec_id": 0,
        "partition": "{}",
        "record_count": count,
        "file_size_in_bytes": path.stat().st_size,
    }
