"""The proof of a copy: the new files hold the bytes of the old ones, and their footers say where.

Both sides are read anew. What is compared is found by pyarrow's reader of footers, which had no part in the copying:
each row group of the old files, in order, against the next one of the new files. Equal pages under equal metadata
decode to equal rows, whoever reads them; so no row is decoded.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.errors import DataFileError, ProofFailed
from lakeopt.model.scan import Scan
from lakeopt.parquet.footers import Resolve, data_file_error, read_footers
from lakeopt.parquet.pages import Page, PageWalk
from lakeopt.parquet.raw_footer import OWN_KEYS, RawFooter, bloom_range, chunks, row_groups
from lakeopt.parquet.stitch import (
    COLUMN_INDEX_AT,
    COLUMN_INDEX_SIZE,
    LOCATION_OFFSET,
    OFFSET_INDEX_AT,
    OFFSET_INDEX_SIZE,
    PAGE_LOCATIONS,
)
from lakeopt.parquet.thrift import Struct, decode

UNTOUCHED = "the table is as it was, and the files written are removed; please report this"
#: A row group of at most so many bytes is read at once; of a larger one, pieces of each chunk.
_WHOLE = 32 * 1024 * 1024
_PIECE = 8 * 1024 * 1024

Read = Callable[[int, int], "pa.Buffer"]


@dataclass(frozen=True, slots=True)
class _Place:
    """One row group of a file, with the footer that pyarrow read."""

    location: str
    footer: pq.FileMetaData
    number: int


def require_copied(before: Scan, staged: Scan, *, threads: int) -> int:
    """Compare the row groups of two scans byte by byte (SHA-256 of each range), and all that their footers say.

    Of the new files every page header is decoded, and their page index must name the pages that are there. Rows of
    the old files must be as many as the table's metadata says.

    :raises ProofFailed: anything differs.
    :raises DataFileError: a file cannot be read, or is not what the table's metadata says.
    """
    old, new = list(_places(before)), list(_places(staged))
    if len(old) != len(new):
        raise ProofFailed(f"{len(old)} row groups were to be copied, {len(new)} were written", hint=UNTOUCHED)
    pairs = list(zip(old, new, strict=True))
    for left, right in {(left.location, right.location): (left, right) for left, right in pairs}.values():
        _require_footers(left, right)
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="prove") as pool:
        for location, copied in itertools.groupby(pairs, lambda pair: pair[1].location):
            # A footer of many row groups is decoded once, not once for each file that they came from.
            groups = _groups_of(location, staged.resolve)
            by_file = [list(some) for _, some in itertools.groupby(copied, lambda pair: pair[0].location)]
            for _ in pool.map(partial(_require_groups, before.resolve, staged.resolve, groups), by_file):
                pass
    return sum(staged.files["record_count"].to_pylist())


def _places(scan: Scan) -> Iterator[_Place]:
    locations = scan.files["file_path"].to_pylist()
    for (location, footer), rows in zip(
        read_footers(locations, scan.resolve), scan.files["record_count"].to_pylist(), strict=True
    ):
        if footer.num_rows != rows:
            raise DataFileError(
                f"data file {location} has {footer.num_rows} rows, the table says {rows}",
                hint="the file was replaced, or the metadata is damaged",
            )
        yield from (_Place(location, footer, number) for number in range(footer.num_row_groups))


def _require_footers(old: _Place, new: _Place) -> None:
    """What two footers say of their files as a whole, and the lengths of rows and row groups."""
    left, right = old.footer, new.footer
    kept = {key: value for key, value in (left.metadata or {}).items() if not key.startswith(OWN_KEYS)}
    found = {key: value for key, value in (right.metadata or {}).items() if not key.startswith(OWN_KEYS)}
    facts = {
        "schema": left.schema.equals(right.schema),
        "created_by": left.created_by == right.created_by,
        "version": left.format_version == right.format_version,
        "key-values": kept == found,
        "rows": right.num_rows == sum(right.row_group(n).num_rows for n in range(right.num_row_groups)),
    }
    if wrong := [name for name, holds in facts.items() if not holds]:
        raise ProofFailed(f"the footer of {new.location} differs from that of {old.location} in {wrong[0]}")


def _opened(location: str, resolve: Resolve) -> pa.NativeFile:
    filesystem, path = resolve(location)
    try:
        return filesystem.open_input_file(path)
    except OSError as error:
        raise data_file_error(location, error) from error


def _groups_of(location: str, resolve: Resolve) -> list[Struct]:
    try:
        with _opened(location, resolve) as file:
            return row_groups(RawFooter.read(file).fields())
    except (OSError, pa.ArrowException) as error:
        raise data_file_error(location, error) from error


def _require_groups(
    resolve_old: Resolve, resolve_new: Resolve, groups: list[Struct], pairs: list[tuple[_Place, _Place]]
) -> None:
    """Compare row groups that were copied from one file into one other, of which ``groups`` are all."""
    (old, new), *_ = pairs
    source_groups = _groups_of(old.location, resolve_old)
    with _opened(old.location, resolve_old) as source, _opened(new.location, resolve_new) as target:
        for left, right in pairs:
            _Pair(left, right, source, target).require(source_groups[left.number], groups[right.number])


@dataclass(frozen=True, slots=True)
class _Pair:
    """A row group and its copy, in open files."""

    old: _Place
    new: _Place
    source: pa.NativeFile
    target: pa.NativeFile

    def require(self, source_group: Struct, target_group: Struct) -> None:
        """Compare all of it; the structures are what the footers hold of the page index and of bloom filters."""
        left, right = (place.footer.row_group(place.number) for place in (self.old, self.new))
        for what in ("num_rows", "num_columns", "total_byte_size", "sorting_columns"):
            if getattr(left, what) != getattr(right, what):
                raise self._failed(what)
        columns = [(left.column(number), right.column(number)) for number in range(left.num_columns)]
        reads = [
            _reader(file, [_range(pair[side]) for pair in columns])
            for side, file in enumerate((self.source, self.target))
        ]
        parts = zip(columns, chunks(source_group), chunks(target_group), strict=True)
        for (chunk, copy), source_chunk, target_chunk in parts:
            pages = self._require_chunk(chunk, copy, reads[0], reads[1])
            self._require_indexes(copy.path_in_schema, pages, source_chunk, target_chunk)

    def _require_chunk(
        self, chunk: pq.ColumnChunkMetaData, copy: pq.ColumnChunkMetaData, read_old: Read, read_new: Read
    ) -> list[Page]:
        """Compare metadata and bytes of a column chunk; the pages of the copy."""
        if _facts(chunk) != _facts(copy):
            raise self._failed(f"the metadata of column {copy.path_in_schema}")
        (start, end), (first, last) = _range(chunk), _range(copy)
        walk, sums = PageWalk(first), (hashlib.sha256(), hashlib.sha256())
        for at in range(0, end - start, _PIECE):
            size = min(_PIECE, end - start - at)
            sums[0].update(read_old(start + at, size))
            piece = read_new(first + at, size)
            sums[1].update(piece)
            walk.feed(piece)
        if sums[0].digest() != sums[1].digest():
            raise self._failed(f"the bytes of column {copy.path_in_schema}")
        pages = walk.finish(last)
        values = sum(page.values for page in pages if page.is_data)
        named = {copy.data_page_offset, copy.dictionary_page_offset} - {None, 0}
        if values != copy.num_values or not named <= {page.offset for page in pages}:
            raise self._failed(f"the pages of column {copy.path_in_schema}")
        return pages

    def _require_indexes(self, column: str, pages: list[Page], source_chunk: Struct, target_chunk: Struct) -> None:
        """The copy's page index must be that of its own pages, and bloom filter and column index have equal bytes."""
        for at, size in ((COLUMN_INDEX_AT, COLUMN_INDEX_SIZE), (OFFSET_INDEX_AT, OFFSET_INDEX_SIZE)):
            if (at in source_chunk) != (at in target_chunk):
                raise self._failed(f"the page index of column {column}")
            if at == COLUMN_INDEX_AT and at in source_chunk:
                old = self.source.read_at(source_chunk[size][1], source_chunk[at][1])
                if old != self.target.read_at(target_chunk[size][1], target_chunk[at][1]):
                    raise self._failed(f"the column index of column {column}")
        if OFFSET_INDEX_AT in target_chunk:
            data = self.target.read_at(target_chunk[OFFSET_INDEX_SIZE][1], target_chunk[OFFSET_INDEX_AT][1])
            named = [location[LOCATION_OFFSET][1] for location in decode(data)[0][PAGE_LOCATIONS][1].values]
            if named != [page.offset for page in pages if page.is_data]:
                raise self._failed(f"the offset index of column {column}")
        blooms = (bloom_range(source_chunk, self.source), bloom_range(target_chunk, self.target))
        old_bits, new_bits = (
            b"" if place is None else file.read_at(place[1] - place[0], place[0])
            for file, place in zip((self.source, self.target), blooms, strict=True)
        )
        if old_bits != new_bits:
            raise self._failed(f"the bloom filter of column {column}")

    def _failed(self, what: str) -> ProofFailed:
        where = f"row group {self.new.number} of {self.new.location}"
        return ProofFailed(f"{where} is no copy of row group {self.old.number} of {self.old.location}: {what} differ")


def _facts(chunk: pq.ColumnChunkMetaData) -> tuple[object, ...]:
    """All that a footer says of a column chunk, save where it lies."""
    said = (
        chunk.path_in_schema,
        chunk.physical_type,
        chunk.num_values,
        chunk.compression,
        chunk.encodings,
        chunk.total_compressed_size,
        chunk.total_uncompressed_size,
        chunk.has_dictionary_page,
    )
    if not chunk.is_stats_set:
        return said
    statistics = chunk.statistics
    bounds = (statistics.min_raw, statistics.max_raw) if statistics.has_min_max else None
    nulls = statistics.null_count if statistics.has_null_count else None
    distinct = statistics.distinct_count if statistics.has_distinct_count else None
    return (*said, repr(bounds), nulls, distinct, statistics.num_values)


def _range(chunk: pq.ColumnChunkMetaData) -> tuple[int, int]:
    """Where the pages of a column chunk are."""
    places = [chunk.data_page_offset, chunk.dictionary_page_offset]
    start = min(place for place in places if place is not None and place > 0)
    return start, start + chunk.total_compressed_size


def _reader(file: pa.NativeFile, ranges: list[tuple[int, int]]) -> Read:
    """A read of (place, size) within these ranges: from one buffer where they are not too large together."""
    first, last = min(start for start, _ in ranges), max(end for _, end in ranges)
    if last - first > _WHOLE:
        return lambda place, size: pa.py_buffer(file.read_at(size, place))
    buffer = pa.py_buffer(file.read_at(last - first, first))
    return lambda place, size: buffer.slice(place - first, size)
