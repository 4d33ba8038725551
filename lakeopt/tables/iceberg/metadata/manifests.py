"""Manifest lists and manifests: the live files of one manifest as Arrow columns, a few thousand at a time."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa
from pyiceberg.io import FileIO
from pyiceberg.manifest import ManifestEntryStatus, ManifestFile
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.typedef import Record

from lakeopt.errors import DataFileError
from lakeopt.model.scan import files_schema
from lakeopt.tables.iceberg.metadata.avro import read_records
from lakeopt.tables.iceberg.metadata.partitions import Partitioning

#: Entries decoded at a time: Python objects of one chunk are gone before the next is read.
CHUNK = 4096

Row = Sequence[Any]
Keep = Callable[[Row], bool]

#: Fields of a data file in the order of the v3 manifest schema, which readers of v1 and v2 fill with nulls.
(CONTENT, FILE_PATH, FILE_FORMAT, PARTITION, RECORD_COUNT) = range(5)


def read_manifest_list(io: FileIO, snapshot: Snapshot) -> list[ManifestFile]:
    """Manifests of a snapshot, in the order of its manifest list.

    :raises DataFileError: the manifest list is missing or damaged.
    """
    return list(read_records(io, snapshot.manifest_list, "manifest list"))


def read_live_files(io: FileIO, manifest: ManifestFile, partitioning: Partitioning, keep: Keep | None) -> pa.Table:
    """Live files of a manifest that ``keep`` lets through, as Arrow columns (``delete_files`` left null).

    Sequence numbers, snapshot and row ids are inherited from the manifest where the entry leaves them out.

    :raises DataFileError: the manifest is missing, damaged, or shorter than the manifest list says.
    """
    entries = read_records(io, manifest.manifest_path, "manifest")
    tables = [files_schema().empty_table()]
    live, next_row_id = 0, manifest[15]
    while chunk := [tuple(entry) for entry in islice(entries, CHUNK)]:
        chunk = [entry for entry in chunk if entry[0] != ManifestEntryStatus.DELETED]
        live += len(chunk)
        rows = [tuple(entry[4]) for entry in chunk]
        row_ids, next_row_id = _row_ids(rows, next_row_id)
        kept = range(len(rows)) if keep is None else [i for i, row in enumerate(rows) if keep(row)]
        if kept:
            live_rows = [(chunk[i], rows[i], row_ids[i]) for i in kept]
            tables.append(_columns(live_rows, manifest, partitioning))
    stated = [manifest.added_files_count, manifest.existing_files_count]
    if live < sum(count or 0 for count in stated):
        raise DataFileError(
            f"manifest is damaged: {manifest.manifest_path}: {live} live files, the manifest list says {stated}",
            hint="restore the file, or roll the table back",
        )
    return pa.concat_tables(tables)


def read_partitions(io: FileIO, manifest: ManifestFile) -> Iterator[tuple[str, Record]]:
    """Path and partition tuple of each live file of a manifest."""
    for entry in read_records(io, manifest.manifest_path, "manifest"):
        if entry[0] != ManifestEntryStatus.DELETED:
            yield entry[4][FILE_PATH], entry[4][PARTITION]


def _row_ids(rows: Sequence[Row], next_row_id: int | None) -> tuple[list[int | None], int | None]:
    ids: list[int | None] = []
    for row in rows:
        own = row[16]
        if own is None and next_row_id is not None and row[CONTENT] == 0:
            own, next_row_id = next_row_id, next_row_id + row[RECORD_COUNT]
        ids.append(own)
    return ids, next_row_id


def _columns(
    live_rows: Sequence[tuple[Row, Row, int | None]], manifest: ManifestFile, partitioning: Partitioning
) -> pa.Table:
    entries, rows, row_ids = zip(*live_rows, strict=True)
    file = list(zip(*rows, strict=True))
    sequence = manifest.sequence_number
    spec_id = manifest.partition_spec_id
    inherits = [entry[0] == ManifestEntryStatus.ADDED or sequence == 0 for entry in entries]
    columns = {
        "content": [int(content) for content in file[CONTENT]],
        "file_path": file[FILE_PATH],
        "file_format": [name.upper() for name in file[FILE_FORMAT]],
        "spec_id": np.full(len(rows), spec_id, dtype=np.int32),
        "partition": [partitioning.text(spec_id, record) for record in file[PARTITION]],
        "record_count": file[RECORD_COUNT],
        "file_size_in_bytes": file[5],
        "column_sizes": _counts(file[6]),
        "value_counts": _counts(file[7]),
        "null_value_counts": _counts(file[8]),
        "nan_value_counts": _counts(file[9]),
        "lower_bounds": _bounds(file[10]),
        "upper_bounds": _bounds(file[11]),
        "key_metadata": file[12],
        "split_offsets": file[13],
        "equality_ids": file[14],
        "sort_order_id": file[15],
        "data_sequence_number": [_inherit(e[2], sequence, own) for e, own in zip(entries, inherits, strict=True)],
        "file_sequence_number": [_inherit(e[3], sequence, own) for e, own in zip(entries, inherits, strict=True)],
        "snapshot_id": [manifest.added_snapshot_id if entry[1] is None else entry[1] for entry in entries],
        "first_row_id": row_ids,
        "referenced_data_file": file[17],
        "content_offset": file[18],
        "content_size_in_bytes": file[19],
    }
    schema = files_schema()
    arrays = [
        pa.nulls(len(rows), field.type)
        if field.name == "delete_files"
        else (column if isinstance(column := columns[field.name], pa.Array) else pa.array(column, field.type))
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _inherit(own: int | None, manifest: int, inherits: bool) -> int | None:
    return manifest if own is None and inherits else own


def _counts(values: Sequence[array[int] | None]) -> pa.Array:
    """Arrow map column of flat ``key, value, …`` arrays."""
    lengths = np.fromiter((len(pairs) // 2 if pairs else 0 for pairs in values), np.int32, len(values))
    flat = np.frombuffer(b"".join(filter(None, values)), dtype=np.int64)
    return _map(lengths, values, pa.array(flat[0::2].astype(np.int32)), pa.array(np.ascontiguousarray(flat[1::2])))


def _bounds(values: Sequence[dict[int, bytes] | None]) -> pa.Array:
    """Arrow map column of dicts of bounds."""
    lengths = np.fromiter((len(bounds) if bounds else 0 for bounds in values), np.int32, len(values))
    full = [bounds for bounds in values if bounds]
    keys = np.fromiter(chain.from_iterable(full), np.int32, int(lengths.sum()))
    items = list(chain.from_iterable(bounds.values() for bounds in full))
    return _map(lengths, values, pa.array(keys), pa.array(items, pa.binary()))


def _map(lengths: np.ndarray, values: Sequence[Any], keys: pa.Array, items: pa.Array) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    mask = pa.array([value is None for value in values], pa.bool_())
    return pa.MapArray.from_arrays(pa.array(offsets), keys, items, mask=mask)


def with_live_files(manifests: Sequence[ManifestFile], content: int) -> Iterator[ManifestFile]:
    """Manifests of one content (0 data, 1 deletes) that may hold live files."""
    for manifest in manifests:
        if manifest.content == content and (manifest.has_added_files() or manifest.has_existing_files()):
            yield manifest
