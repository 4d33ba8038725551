"""Put row groups that were encoded apart into one Parquet file, byte for byte, with one footer.

pyarrow encodes a file on one thread, and a whole file per thread would hold two files' rows in memory. So each
row group is encoded by itself into memory, as a file of one row group; here its column chunks are appended to
the real file and the offsets in its footer and page index are moved. Field numbers are those of Parquet's
``parquet.thrift``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa

from lakeopt.parquet.thrift import BINARY, I16, I32, I64, LIST, STRUCT, Items, Struct, decode, encode

MAGIC = b"PAR1"
# FileMetaData
NUM_ROWS, ROW_GROUPS, KEY_VALUES = 3, 4, 5
# RowGroup
COLUMNS, GROUP_ROWS, FILE_OFFSET, ORDINAL = 1, 3, 5, 7
# ColumnChunk
CHUNK_FILE_OFFSET, CHUNK_META, OFFSET_INDEX_AT, OFFSET_INDEX_SIZE, COLUMN_INDEX_AT, COLUMN_INDEX_SIZE = 2, 3, 4, 5, 6, 7
# ColumnMetaData: data page, index page and dictionary page; the Bloom filter
PAGE_OFFSETS, BLOOM_OFFSET = (9, 10, 11), 14
# OffsetIndex, PageLocation
PAGE_LOCATIONS, LOCATION_OFFSET = 1, 1


@dataclass(slots=True)
class EncodedRowGroup:
    """One row group as pyarrow encoded it: a whole Parquet file in memory."""

    data: pa.Buffer
    footer: Struct
    pages_end: int
    row_count: int

    @classmethod
    def parse(cls, data: pa.Buffer) -> EncodedRowGroup:
        """Read the footer of a file of exactly one row group."""
        view = memoryview(data)
        (size,) = struct.unpack("<I", view[-8:-4])
        footer, _ = decode(view[len(view) - 8 - size : len(view) - 8])
        (group,) = footer[ROW_GROUPS][1].values
        indexes = [chunk[COLUMN_INDEX_AT][1] for chunk in group[COLUMNS][1].values if COLUMN_INDEX_AT in chunk]
        indexes += [chunk[OFFSET_INDEX_AT][1] for chunk in group[COLUMNS][1].values if OFFSET_INDEX_AT in chunk]
        pages_end = min(indexes, default=len(view) - 8 - size)
        return cls(data, footer, pages_end, footer[NUM_ROWS][1])

    @property
    def bytes(self) -> int:
        """What this row group adds to a file: its pages and its page index."""
        chunks = self.footer[ROW_GROUPS][1].values[0][COLUMNS][1].values
        sizes = (OFFSET_INDEX_SIZE, COLUMN_INDEX_SIZE)
        return (
            self.pages_end
            - len(MAGIC)
            + sum(int(chunk[size][1]) for chunk in chunks for size in sizes if size in chunk)
        )


class StitchedFile:
    """A Parquet file under way: append row groups, then finish."""

    def __init__(self, sink: IO[bytes], kept: Sequence[Struct] = ()) -> None:
        """``kept`` are key-values of files that this one replaces."""
        self.sink = sink
        self.carried = tuple(kept)
        self.position = 0
        self.row_count = 0
        self.groups: list[Struct] = []
        self.indexes: list[tuple[Struct, bytes | None, Struct | None]] = []
        self.template: Struct | None = None
        self._put(MAGIC)

    def append(self, part: EncodedRowGroup) -> None:
        """Copy the pages of one row group; its footer and page index are kept for :meth:`finish`."""
        shift = self.position - len(MAGIC)
        view = memoryview(part.data)
        (group,) = part.footer[ROW_GROUPS][1].values
        for chunk in group[COLUMNS][1].values:
            self._keep_indexes(chunk, view, shift)
            move(chunk, (CHUNK_FILE_OFFSET,), shift)
            move(chunk[CHUNK_META][1], (*PAGE_OFFSETS, BLOOM_OFFSET), shift)
        move(group, (FILE_OFFSET,), shift)
        group[ORDINAL] = (I16, len(self.groups))
        self.groups.append(group)
        self.row_count += part.row_count
        self.template = self.template or part.footer
        self._put(view[len(MAGIC) : part.pages_end])

    def finish(self, key_values: Mapping[str, str], kept: Sequence[Struct] = ()) -> int:
        """Write page index and footer, with ``kept`` key-values before new ones; the size of the file in bytes."""
        assert self.template is not None, "a Parquet file needs a row group"
        for chunk, column_index, _ in self.indexes:
            if column_index is not None:
                self._place(chunk, COLUMN_INDEX_AT, COLUMN_INDEX_SIZE, column_index)
        for chunk, _, offset_index in self.indexes:
            if offset_index is not None:
                self._place(chunk, OFFSET_INDEX_AT, OFFSET_INDEX_SIZE, encode(offset_index))
        footer = dict(self.template)
        footer[NUM_ROWS] = (I64, self.row_count)
        footer[ROW_GROUPS] = (LIST, Items(STRUCT, self.groups))
        footer.pop(KEY_VALUES, None)
        if key_values or kept or self.carried:
            pairs: list[Any] = [*self.carried, *kept]
            pairs += [{1: (BINARY, k.encode()), 2: (BINARY, v.encode())} for k, v in sorted(key_values.items())]
            footer[KEY_VALUES] = (LIST, Items(STRUCT, pairs))
        tail = encode(footer)
        self._put(tail + struct.pack("<I", len(tail)) + MAGIC)
        return self.position

    def _keep_indexes(self, chunk: Struct, view: memoryview, shift: int) -> None:
        column_index = offset_index = None
        if COLUMN_INDEX_AT in chunk:
            at, size = chunk[COLUMN_INDEX_AT][1], chunk[COLUMN_INDEX_SIZE][1]
            column_index = bytes(view[at : at + size])
        if OFFSET_INDEX_AT in chunk:
            offset_index, _ = decode(view, chunk[OFFSET_INDEX_AT][1])
            move_locations(offset_index, shift)
        self.indexes.append((chunk, column_index, offset_index))

    def _place(self, chunk: Struct, at: int, size: int, data: bytes) -> None:
        chunk[at], chunk[size] = (I64, self.position), (I32, len(data))
        self._put(data)

    def _put(self, data: bytes | memoryview) -> None:
        self.sink.write(data)
        self.position += len(data)


def move(fields: Struct, numbers: tuple[int, ...], shift: int) -> None:
    """Add ``shift`` to those of the offsets that are set; zero means unset to some writers, and stays."""
    for number in numbers:
        if number in fields and fields[number][1]:
            kind, offset = fields[number]
            fields[number] = (kind, offset + shift)


def move_locations(offset_index: Struct, shift: int) -> None:
    """Add ``shift`` to the places of the pages that an offset index lists."""
    for location in offset_index[PAGE_LOCATIONS][1].values:
        move(location, (LOCATION_OFFSET,), shift)
