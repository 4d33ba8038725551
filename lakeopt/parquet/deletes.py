"""Which rows of a data file its delete files take away: by position, by equal values, by deletion vector."""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.errors import DataFileError, Refused
from lakeopt.model.scan import EQUALITY_DELETES, Scan
from lakeopt.parquet.deleted_keys import DeletedKeys, Mask
from lakeopt.parquet.field_ids import conform, field_id, has_ids
from lakeopt.parquet.footers import data_file_error

#: Field ids that the Iceberg spec reserves for the columns of position delete files.
_PATH_ID, _POSITION_ID = 2147483546, 2147483545
#: What is used of a delete file's row in the file list.
_ENTRY = ["file_path", "content", "file_format", "equality_ids", "referenced_data_file"]
_ENTRY += ["content_offset", "content_size_in_bytes"]
#: First bytes of a deletion vector in a Puffin file (blob type ``deletion-vector-v1``).
_VECTOR_MAGIC = b"\xd1\xd3\x39\x64"

Positions = np.ndarray[Any, np.dtype[np.int64]]
Ids = tuple[int, ...]
_Column = tuple[pa.Field, pa.ChunkedArray]


@dataclass(frozen=True, slots=True)
class Rules:
    """What takes rows away from one data file: positions, and keys with a mask of the delete files that apply to it."""

    positions: Positions | None = None
    equalities: Sequence[tuple[DeletedKeys, Mask]] = ()

    @property
    def columns(self) -> tuple[pa.Field, ...]:
        """Fields that equality deletes compare."""
        fields = {field_id(field): field for keys, _ in self.equalities for field in keys.fields}
        return tuple(fields.values())

    def keep(self, first: int, length: int, arrays: Mapping[int | None, pa.Array]) -> pa.Array | None:
        """Mask of the rows that stay, for rows ``first`` to ``first + length`` of the file; None: all stay."""
        gone = np.zeros(length, dtype=bool)
        if self.positions is not None:
            start, stop = np.searchsorted(self.positions, (first, first + length))
            gone[self.positions[start:stop] - first] = True
        for keys, applying in self.equalities:
            gone[keys.rows([arrays[field_id(field)] for field in keys.fields], length, applying)] = True
        return pa.array(~gone) if gone.any() else None


class Deletes:
    """The delete files of a scan. Each is read once, when the first data file needs it, and kept.

    Memory: 8 bytes a deleted position of the scan's data files, and the keys of the equality deletes.
    """

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._lock = threading.Lock()
        self._locations = set(scan.files["file_path"].to_pylist())
        self._entries: dict[str, list[dict[str, Any]]] = {}
        self._positions: dict[str, dict[str, Positions]] = {}
        self._keys: dict[Ids, DeletedKeys] = {}
        self._equalities: dict[Ids, dict[str, int]] = {}
        self._place: dict[str, tuple[Ids, int]] = {}
        for entry in [] if scan.deletes is None else scan.deletes.select(_ENTRY).to_pylist():
            self._entries.setdefault(entry["file_path"], []).append(entry)
            if entry["content"] == EQUALITY_DELETES:
                alike = self._equalities.setdefault(_ids(entry), {})
                self._place[entry["file_path"]] = _ids(entry), alike.setdefault(entry["file_path"], len(alike))

    def of(self, row: int) -> Rules:
        """Deletes that apply to the file at this row of the scan's file list.

        :raises DataFileError: a delete file is missing, damaged or unknown to the scan.
        :raises Refused: a delete file of a format or shape that is not read here.
        """
        location = self._scan.files["file_path"][row].as_py()
        found: list[Positions] = []
        applying: dict[Ids, list[int]] = {}
        for path in dict.fromkeys(self._scan.files["delete_files"][row].as_py() or ()):
            if path not in self._entries:
                raise DataFileError(f"delete file is not in the scan: {path}", hint="read the table anew")
            if path in self._place:
                ids, place = self._place[path]
                applying.setdefault(ids, []).append(place)
                continue
            with self._lock:
                for entry in self._entries[path]:
                    found += self._positions_of(entry, location)
        with self._lock:
            equalities = [(keys := self._keys_of(ids), keys.applying(files)) for ids, files in applying.items()]
        return Rules(np.unique(np.concatenate(found)) if found else None, equalities)

    def _positions_of(self, entry: Mapping[str, Any], location: str) -> list[Positions]:
        path = entry["file_path"]
        if entry["file_format"].upper() == "PUFFIN":
            return [self._vector(entry)] if entry["referenced_data_file"] == location else []
        if path not in self._positions:
            self._positions[path] = self._read_positions(entry)
        return [self._positions[path][location]] if location in self._positions[path] else []

    def _read(self, entry: Mapping[str, Any], wanted: Sequence[int], coded: int | None = None) -> dict[int, _Column]:
        """Columns of a delete file with their fields, by field id; one of them as codes and their values."""
        path, form = entry["file_path"], entry["file_format"].upper()
        if form != "PARQUET":
            raise Refused(f"{form} delete files cannot be read: {path}", hint="compact the deletes with another engine")
        filesystem, inner = self._scan.resolve(path)
        try:
            with filesystem.open_input_file(inner) as source:
                schema = pq.ParquetFile(source, coerce_int96_timestamp_unit="us").schema_arrow
                own = {number: field for field in schema if (number := field_id(field)) in wanted}
                codes = [own[coded].name] if coded in own else None
                file = pq.ParquetFile(source, coerce_int96_timestamp_unit="us", read_dictionary=codes)
                table = file.read(columns=[field.name for field in own.values()], use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise data_file_error(path, error) from error
        if not has_ids(schema):
            raise DataFileError(f"delete file has no field ids: {path}", hint="compact the deletes with another engine")
        return {number: (field, table.column(field.name)) for number, field in own.items() if number is not None}

    def _read_positions(self, entry: Mapping[str, Any]) -> dict[str, Positions]:
        columns = self._read(entry, (_PATH_ID, _POSITION_ID), coded=_PATH_ID)
        if len(columns) != 2:
            raise DataFileError(f"not a position delete file: {entry['file_path']}", hint="the file is damaged")
        paths = _combined(columns[_PATH_ID][1].unify_dictionaries())
        positions = columns[_POSITION_ID][1].to_numpy()
        codes = paths.indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        cuts = np.searchsorted(codes[order], np.arange(len(paths.dictionary) + 1))
        names = paths.dictionary.cast(pa.string()).to_pylist()
        return {
            name: positions[order[cuts[i] : cuts[i + 1]]] for i, name in enumerate(names) if name in self._locations
        }

    def _keys_of(self, ids: Ids) -> DeletedKeys:
        """All keys that are compared by these columns, in the table's types of today."""
        if ids in self._keys:
            return self._keys[ids]
        files = [self._read_equality(self._entries[path][0], ids) for path in self._equalities[ids]]
        current = {field_id(column): column for column in self._scan.schema}
        # A column dropped since still decides which rows were deleted: it is as wide as its type can become.
        fields = [current.get(number, _widest(files[0][number][0])) for number in ids]
        arrays = [
            [
                conform(_combined(file[number][1]), file[number][0], field, {})
                for number, field in zip(ids, fields, strict=True)
            ]
            for file in files
        ]
        self._keys[ids] = DeletedKeys(fields, arrays)
        return self._keys[ids]

    def _read_equality(self, entry: Mapping[str, Any], ids: Ids) -> dict[int, _Column]:
        path = entry["file_path"]
        if not ids:
            raise DataFileError(f"equality delete file names no columns: {path}", hint="the table metadata is damaged")
        columns = self._read(entry, ids)
        for number in ids:
            if number not in columns:
                raise Refused(
                    f"equality deletes on a nested column (field {number}) cannot be applied: {path}",
                    hint="compact the deletes with another engine",
                )
        return columns

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


def _ids(entry: Mapping[str, Any]) -> Ids:
    return tuple(sorted(set(entry["equality_ids"] or ())))


def _widest(field: pa.Field) -> pa.Field:
    """The field in the type that every promotion of it (Iceberg spec, "Schema Evolution") leads to, nullable."""
    kind = field.type
    if pa.types.is_decimal(kind):
        kind = pa.decimal128(38, kind.scale)
    return field.with_nullable(True).with_type({pa.int32(): pa.int64(), pa.float32(): pa.float64()}.get(kind, kind))
