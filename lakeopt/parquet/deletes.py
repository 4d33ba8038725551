"""Which rows of a data file its delete files take away: by position, by equal values, by deletion vector."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lakeopt.errors import DataFileError, Refused
from lakeopt.model.scan import EQUALITY_DELETES, Scan
from lakeopt.parquet.field_ids import conform, field_id, has_ids
from lakeopt.parquet.footers import data_file_error
from lakeopt.parquet.values import bits, storage

#: Field ids that the Iceberg spec reserves for the columns of position delete files.
_PATH_ID, _POSITION_ID = 2147483546, 2147483545
#: What is used of a delete file's row in the file list.
_ENTRY = ["file_path", "content", "file_format", "equality_ids", "referenced_data_file"]
_ENTRY += ["content_offset", "content_size_in_bytes"]
#: First bytes of a deletion vector in a Puffin file (blob type ``deletion-vector-v1``).
_VECTOR_MAGIC = b"\xd1\xd3\x39\x64"

Positions = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class EqualityDeletes:
    """Rows with these values in these columns are deleted; a null equals a null."""

    fields: tuple[pa.Field, ...]
    values: pa.Table


@dataclass(frozen=True, slots=True)
class Rules:
    """What takes rows away from one data file. ``columns`` are those that equality deletes compare."""

    positions: Positions | None = None
    equalities: Sequence[EqualityDeletes] = ()
    columns: tuple[pa.Field, ...] = field(default=())

    def keep(self, first: int, length: int, arrays: Mapping[int | None, pa.Array]) -> pa.Array | None:
        """Mask of the rows that stay, for rows ``first`` to ``first + length`` of the file; None: all stay."""
        gone = np.zeros(length, dtype=bool)
        if self.positions is not None:
            start, stop = np.searchsorted(self.positions, (first, first + length))
            gone[self.positions[start:stop] - first] = True
        for equality in self.equalities:
            gone |= _equal(equality, [arrays[field_id(column)] for column in equality.fields], length)
        return pa.array(~gone) if gone.any() else None


class Deletes:
    """The delete files of a scan. Each is read once, when the first data file needs it, and kept.

    Memory: 8 bytes a deleted position, and the key values of the equality deletes.
    """

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._lock = threading.Lock()
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._positions: dict[str, dict[str, Positions]] = {}
        self._equalities: dict[str, EqualityDeletes] = {}
        for entry in [] if scan.deletes is None else scan.deletes.select(_ENTRY).to_pylist():
            self._entries.setdefault(entry["file_path"], []).append(entry)

    def of(self, row: int) -> Rules:
        """Deletes that apply to the file at this row of the scan's file list.

        :raises DataFileError: a delete file is missing, damaged or unknown to the scan.
        :raises Refused: a delete file of a format or shape that is not read here.
        """
        location = self._scan.files["file_path"][row].as_py()
        paths = self._scan.files["delete_files"][row].as_py() or ()
        found: list[Positions] = []
        equalities: list[EqualityDeletes] = []
        for path in dict.fromkeys(paths):
            if path not in self._entries:
                raise DataFileError(f"delete file is not in the scan: {path}", hint="read the table anew")
            with self._lock:
                for entry in self._entries[path]:
                    self._apply(entry, location, found, equalities)
        columns = {field_id(column): column for equality in equalities for column in equality.fields}
        positions = np.unique(np.concatenate(found)) if found else None
        return Rules(positions, equalities, tuple(columns.values()))

    def _apply(
        self, entry: Mapping[str, Any], location: str, found: list[Positions], equalities: list[EqualityDeletes]
    ) -> None:
        path, form = entry["file_path"], entry["file_format"].upper()
        if form == "PUFFIN":
            if entry["referenced_data_file"] == location:
                found.append(self._vector(entry))
        elif form != "PARQUET":
            raise Refused(f"{form} delete files cannot be read: {path}", hint="compact the deletes with another engine")
        elif entry["content"] == EQUALITY_DELETES:
            if path not in self._equalities:
                self._equalities[path] = self._read_equality(path, entry["equality_ids"] or ())
            equalities.append(self._equalities[path])
        else:
            if path not in self._positions:
                self._positions[path] = self._read_positions(path)
            if location in self._positions[path]:
                found.append(self._positions[path][location])

    def _read(self, path: str) -> pa.Table:
        filesystem, inner = self._scan.resolve(path)
        try:
            with filesystem.open_input_file(inner) as source:
                table = pq.ParquetFile(source, coerce_int96_timestamp_unit="us").read(use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise data_file_error(path, error) from error
        if not has_ids(table.schema):
            raise DataFileError(f"delete file has no field ids: {path}", hint="compact the deletes with another engine")
        return table

    def _read_positions(self, path: str) -> dict[str, Positions]:
        table = self._read(path)
        columns = {field_id(column): table.column(position) for position, column in enumerate(table.schema)}
        if _PATH_ID not in columns or _POSITION_ID not in columns:
            raise DataFileError(f"not a position delete file: {path}", hint="the file is damaged")
        paths = columns[_PATH_ID].cast(pa.string()).combine_chunks().dictionary_encode()
        positions = columns[_POSITION_ID].to_numpy()
        codes = paths.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        cuts = np.searchsorted(codes[order], np.arange(len(paths.dictionary) + 1))
        names = paths.dictionary.to_pylist()
        return {name: positions[order[cuts[i] : cuts[i + 1]]] for i, name in enumerate(names)}

    def _read_equality(self, path: str, ids: Sequence[int]) -> EqualityDeletes:
        table = self._read(path)
        own = {field_id(column): (column, table.column(place)) for place, column in enumerate(table.schema)}
        current = {field_id(column): column for column in self._scan.schema}
        fields, arrays = [], []
        for number in ids:
            if number not in own:
                raise Refused(
                    f"equality deletes on a nested column (field {number}) cannot be applied: {path}",
                    hint="compact the deletes with another engine",
                )
            source, values = own[number]
            # A column dropped since still decides which rows were deleted: it keeps the delete file's type.
            target = current.get(number, source.with_nullable(True))
            fields.append(target)
            arrays.append(conform(_combined(values), source, target, {}))
        if not ids:
            raise DataFileError(f"equality delete file names no columns: {path}", hint="the table metadata is damaged")
        return EqualityDeletes(tuple(fields), pa.table(arrays, names=[str(number) for number in ids]))

    def _vector(self, entry: Mapping[str, Any]) -> Positions:
        """Positions in a deletion vector (Iceberg spec, Puffin blob ``deletion-vector-v1``)."""
        from pyroaring import BitMap64

        path, offset, size = entry["file_path"], entry["content_offset"], entry["content_size_in_bytes"]
        filesystem, inner = self._scan.resolve(path)
        try:
            with filesystem.open_input_file(inner) as source:
                source.seek(offset)
                blob = source.read(size)
        except (pa.ArrowException, OSError) as error:
            raise data_file_error(path, error) from error
        body = blob[4:-4]
        if (
            len(blob) < 12
            or struct.unpack(">I", blob[:4])[0] != len(body)
            or body[:4] != _VECTOR_MAGIC
            or struct.unpack(">I", blob[-4:])[0] != zlib.crc32(body)
        ):
            raise DataFileError(f"deletion vector is damaged: {path}", hint="restore the file, or roll the table back")
        return np.fromiter(BitMap64.deserialize(body[4:]), dtype=np.int64)


def _combined(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined


def _equal(deletes: EqualityDeletes, arrays: Sequence[pa.Array], length: int) -> np.ndarray[Any, Any]:
    """Rows whose values, null-safe, are all those of one deleted row.

    Columns are folded one by one: ``state`` numbers the distinct prefixes of deleted keys, so that a row is
    looked up as one integer however many columns there are. A row outside has state null.
    """
    state, deleted = pa.array(np.zeros(length, np.int64)), pa.array(np.zeros(deletes.values.num_rows, np.int64))
    for position, array in enumerate(arrays):
        key = _comparable(_combined(deletes.values.column(position)))
        distinct = key.unique()
        width = max(1, len(distinct))
        here = pc.index_in(_comparable(array), value_set=distinct).cast(pa.int64())
        there = pc.index_in(key, value_set=distinct).cast(pa.int64())
        state = pc.add(pc.multiply(state, width), here)
        deleted = pc.add(pc.multiply(deleted, width), there)
        prefixes = deleted.unique()
        state = pc.index_in(state, value_set=prefixes, skip_nulls=True).cast(pa.int64())
        deleted = pc.index_in(deleted, value_set=prefixes).cast(pa.int64())
    return np.asarray(state.is_valid())


def _comparable(array: pa.Array) -> pa.Array:
    """Values of which equal ones are the same value: floats as bits, no dictionaries, no extension types."""
    array = storage(array)
    return bits(array.dictionary_decode() if pa.types.is_dictionary(array.type) else array)
