"""A Parquet footer as its bytes lie in the file, and where the parts of each column chunk are.

Field numbers are those of Parquet's ``parquet.thrift``; the rest of them is in :mod:`lakeopt.parquet.stitch`.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.errors import DataFileError
from lakeopt.parquet.stitch import (
    CHUNK_META,
    COLUMNS,
    KEY_VALUES,
    MAGIC,
    NUM_ROWS,
    PAGE_OFFSETS,
    ROW_GROUPS,
)
from lakeopt.parquet.thrift import Struct, decode, encode

# ColumnMetaData
CODEC, COMPRESSED_SIZE, BLOOM_AT, BLOOM_SIZE = 4, 7, 14, 15
#: ``CompressionCodec`` by number, in pyarrow's words.
CODECS = ("none", "snappy", "gzip", "lzo", "brotli", "lz4 of Hadoop", "zstd", "lz4")
# FileMetaData and ColumnChunk: what is there of encrypted ones alone
_ENCRYPTED = (8, 9)
#: Key-values that say which run wrote a file and steer no reader.
OWN_KEYS = b"lakeopt."
#: Bytes read from the end of a file at first: most footers are smaller.
_TAIL = 64 * 1024
#: A bloom filter's header is a dozen bytes and at most this long.
_BLOOM_HEADER = 256


@dataclass(frozen=True, slots=True)
class RawFooter:
    """The Thrift bytes of a footer, and the size of its file."""

    data: bytes
    file_bytes: int

    @classmethod
    def read(cls, source: pa.NativeFile) -> RawFooter:
        """The footer of an open file.

        :raises DataFileError: it is not a Parquet file, is cut short, or its footer is encrypted.
        """
        total = source.size()
        tail = source.read_at(min(_TAIL, total), max(0, total - _TAIL))
        if len(tail) < len(MAGIC) + 8 or tail[-4:] != MAGIC:
            raise DataFileError("it does not end as a Parquet file does", hint="the file is damaged or encrypted")
        (size,) = struct.unpack("<I", tail[-8:-4])
        if size + 8 + len(MAGIC) > total:
            raise DataFileError("its footer is longer than the file", hint="the file is damaged")
        if size + 8 > len(tail):
            tail = source.read_at(size + 8, total - size - 8)
        return cls(tail[len(tail) - size - 8 : -8], total)

    def fields(self) -> Struct:
        """The footer's structure, decoded anew at each call: it may be changed, and is large for wide files."""
        return decode(self.data)[0]

    def head(self) -> Struct:
        """Its fields before the row groups, which take nearly all of the time: version, schema and number of rows."""
        return decode(self.data, before=ROW_GROUPS)[0]

    def as_pyarrow(self) -> pq.ParquetFile:
        """The same as pyarrow reads it: a file of which there is nothing but the footer."""
        tail = self.data + struct.pack("<I", len(self.data)) + MAGIC
        return pq.ParquetFile(pa.BufferReader(MAGIC + tail))


def row_groups(footer: Struct) -> list[Struct]:
    """The row groups of a footer."""
    return list(footer[ROW_GROUPS][1].values) if ROW_GROUPS in footer else []


def chunks(group: Struct) -> list[Struct]:
    """The column chunks of a row group."""
    return list(group[COLUMNS][1].values)


def is_encrypted(footer: Struct) -> bool:
    """Whether a footer is of a file with encrypted columns, or is signed."""
    every = (chunk for group in row_groups(footer) for chunk in chunks(group))
    return any(number in held for held in (footer, *every) for number in _ENCRYPTED)


def chunk_range(chunk: Struct) -> tuple[int, int]:
    """Where the pages of a column chunk begin, its dictionary page among them, and where they end."""
    meta = chunk[CHUNK_META][1]
    start = min(meta[number][1] for number in PAGE_OFFSETS if number in meta and meta[number][1] > 0)
    return start, start + meta[COMPRESSED_SIZE][1]


def group_bytes(group: Struct) -> int:
    """Bytes that the pages of a row group take on disk."""
    return sum(int(chunk[CHUNK_META][1][COMPRESSED_SIZE][1]) for chunk in chunks(group))


def bloom_range(chunk: Struct, source: pa.NativeFile) -> tuple[int, int] | None:
    """Where the bloom filter of a column chunk begins and ends; None where it has none.

    Older writers leave the length out: then the filter's own header says it (``BloomFilterHeader.numBytes``).
    """
    meta = chunk[CHUNK_META][1]
    if BLOOM_AT not in meta:
        return None
    start = meta[BLOOM_AT][1]
    if BLOOM_SIZE in meta:
        return start, start + meta[BLOOM_SIZE][1]
    header, end = decode(source.read_at(_BLOOM_HEADER, start))
    return start, start + end + header[1][1]


def kept_key_values(footer: Struct) -> list[Struct]:
    """Key-values of a footer that its successor must have too."""
    pairs = footer[KEY_VALUES][1].values if KEY_VALUES in footer else []
    return [pair for pair in pairs if not pair[1][1].startswith(OWN_KEYS)]


def steering(footer: Struct) -> str:
    """A digest of all that a footer says of its file as a whole and that steers readers: schema, ``created_by``,
    column orders, key-values, and what a newer format may add. Only files of the same one may share a footer.
    """
    rest = {number: value for number, value in footer.items() if number not in (NUM_ROWS, ROW_GROUPS, KEY_VALUES)}
    pairs = sorted(encode(pair) for pair in kept_key_values(footer))
    return hashlib.sha256(encode(rest) + b"".join(pairs)).hexdigest()
