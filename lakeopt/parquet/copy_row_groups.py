"""Bin-pack without decoding: copy column chunks byte for byte into files of the target size, under new footers.

What a footer says of a row group holds wherever its pages lie: statistics, encodings, sorting columns, sizes. Only
places change (pages, bloom filters, page index), and the number of the row group. On a local disk the kernel copies,
and the bytes never come into this process; object stores have no copy of a part in the clients used here, so that
bytes are streamed through, a piece at a time.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, Any

import pyarrow as pa
from pyarrow import fs

from lakeopt.errors import DataFileError
from lakeopt.model.scan import StageRequest, staged_schema
from lakeopt.parquet.copyable import copyable
from lakeopt.parquet.footers import data_file_error
from lakeopt.parquet.nan_values import NanValues
from lakeopt.parquet.output_file import create, disk_errors, remove
from lakeopt.parquet.raw_footer import (
    BLOOM_AT,
    RawFooter,
    bloom_range,
    chunk_range,
    chunks,
    kept_key_values,
    row_groups,
)
from lakeopt.parquet.sizing import packed
from lakeopt.parquet.stitch import (
    CHUNK_FILE_OFFSET,
    CHUNK_META,
    COLUMN_INDEX_AT,
    COLUMN_INDEX_SIZE,
    FILE_OFFSET,
    GROUP_ROWS,
    OFFSET_INDEX_AT,
    OFFSET_INDEX_SIZE,
    ORDINAL,
    PAGE_OFFSETS,
    StitchedFile,
    move,
    move_locations,
)
from lakeopt.parquet.thrift import I16, I64, Struct, decode

#: Bytes of one piece, between two looks at whether to stop.
_PIECE = 16 * 1024 * 1024
#: What a file system says that cannot copy between these files by itself.
_NO_RANGE_COPY = (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF)
#: Row groups have a 16-bit number.
_MOST_GROUPS = 2**15 - 1


@dataclass(frozen=True, slots=True)
class SourceGroup:
    """A row group of a source file: the file's row in the scan's list, and its number in the file."""

    row: int
    number: int


def copy_row_groups(request: StageRequest) -> pa.Table:
    """Stage a file group by copying its row groups, in order; the list of new files (``staged_schema``).

    On any error or interrupt its own files are removed before it is raised.

    :raises DataFileError: a file is missing, or is not the one that the plan saw (size, rows, schema, steering).
    :raises NoSpace: the disk is full.
    """
    sources = _Sources.of(request)
    groups = [SourceGroup(row, number) for row, sizes in enumerate(sources.sizes) for number in range(len(sizes))]
    sizes = [size for sizes in sources.sizes for size in sizes]
    outputs = [
        groups[start:stop]
        for first, last in packed(sizes, request.target_file_bytes)
        for start, stop in _numbered(first, last)
    ]
    copying = _Copying(request, sources, NanValues(request.scan, [len(sizes) for sizes in sources.sizes]))
    pool = ThreadPoolExecutor(max(1, request.threads), thread_name_prefix="copy")
    try:
        staged: list[dict[str, Any]] = []
        for row in pool.map(copying.output, range(len(outputs)), outputs):
            staged.append(row)
            request.progress(row["record_count"])
        return pa.Table.from_pylist(staged, schema=staged_schema())
    except BaseException:
        copying.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        copying.remove()
        raise
    finally:
        pool.shutdown(wait=True)


def _numbered(first: int, last: int) -> Iterator[tuple[int, int]]:
    """A file's row groups in runs that 16-bit numbers can count."""
    for start in range(first, last, _MOST_GROUPS):
        yield start, min(last, start + _MOST_GROUPS)


@dataclass(frozen=True, slots=True)
class _Sources:
    """Footers and sizes of row groups of the files that are read, in the order of the scan."""

    locations: Sequence[str]
    footers: Sequence[RawFooter]
    sizes: Sequence[tuple[int, ...]]

    @classmethod
    def of(cls, request: StageRequest) -> _Sources:
        """Read all footers; hold each against the table's list and the first file.

        :raises DataFileError: a file is not as it was when the plan was made.
        """
        scan = request.scan
        locations = scan.files["file_path"].to_pylist()
        if any(scan.files["delete_files"].to_pylist()):
            raise DataFileError("deletes apply to files that were to be copied", hint="make a new plan")
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda location: copyable(location, scan.schema, scan.resolve), locations))
        footers, sizes, steering = [], [], set()
        listed = zip(scan.files["file_size_in_bytes"].to_pylist(), scan.files["record_count"].to_pylist(), strict=True)
        for location, file, (size, rows) in zip(locations, found, listed, strict=True):
            if isinstance(file, str):
                raise _changed(location, file)
            if file.footer.file_bytes != size or file.footer.as_pyarrow().metadata.num_rows != rows:
                raise _changed(location, "its size or number of rows is not what the table says")
            steering.add(file.steering)
            if len(steering) > 1:
                raise _changed(location, "its schema, writer or key-values are not those of the files before it")
            footers.append(file.footer)
            sizes.append(file.row_groups)
        return cls(locations, footers, sizes)


def _changed(location: str, what: str) -> DataFileError:
    return DataFileError(f"data file {location} cannot be copied: {what}", hint="it was replaced; make a new plan")


@dataclass
class _Copying:
    """Output files under way. ``stop`` ends all threads at their next piece."""

    request: StageRequest
    sources: _Sources
    nans: NanValues
    stop: threading.Event = field(default_factory=threading.Event)
    made: list[tuple[fs.FileSystem, str]] = field(default_factory=list)

    def output(self, number: int, groups: Sequence[SourceGroup]) -> dict[str, Any]:
        """Write the file of this number; its row of the staged list. On a thread of the pool."""
        request = self.request
        location = request.locate(number)
        filesystem, path = request.scan.resolve(location)
        with disk_errors(location):
            sink = create(filesystem, path)
            self.made.append((filesystem, path))
            try:
                file = _CopiedFile(sink, self.stop)
                for row in dict.fromkeys(group.row for group in groups):
                    self._append(file, row, [group.number for group in groups if group.row == row])
                size = file.finish(request.footer_metadata, file.kept)
            finally:
                sink.close()
        counts = self.nans.of_file(location, [(group.row, group.number) for group in groups])
        return {
            "file_path": location,
            "file_size_in_bytes": size,
            "record_count": file.row_count,
            "sorted": False,
            "nan_value_counts": sorted(counts.items()),
            "partition": None,
        }

    def _append(self, file: _CopiedFile, row: int, numbers: Sequence[int]) -> None:
        location, footer = self.sources.locations[row], self.sources.footers[row]
        filesystem, path = self.request.scan.resolve(location)
        try:
            with filesystem.open_input_file(path) as source, contextlib.ExitStack() as stack:
                local = None
                if isinstance(filesystem, fs.LocalFileSystem) and file.takes_kernel_copies:
                    local = stack.enter_context(open(path, "rb")).fileno()
                file.append_groups(footer.fields(), numbers, source, local)
        except FileNotFoundError as error:
            raise data_file_error(location, error) from error
        except _CutShort as error:
            raise _changed(location, "it ends too early") from error

    def remove(self) -> None:
        """Delete every file of this run."""
        for filesystem, path in self.made:
            # What led here is to be told; a file that cannot be removed now is an orphan, and is found as one.
            with contextlib.suppress(OSError):
                remove(filesystem, path)


class _CutShort(Exception):
    """The source has fewer bytes than its footer says."""


class _Stopped(Exception):
    """Another thread has failed, or the run was interrupted."""


class _CopiedFile(StitchedFile):
    """A file whose row groups come from other files."""

    def __init__(self, sink: IO[bytes], stop: threading.Event) -> None:
        super().__init__(sink)
        self.stop = stop
        self.kept: list[Struct] = []
        self.takes_kernel_copies = isinstance(sink, io.BufferedWriter) and hasattr(os, "copy_file_range")

    def append_groups(self, footer: Struct, numbers: Sequence[int], source: pa.NativeFile, local: int | None) -> None:
        """Copy row groups of one file; ``local`` is its descriptor where the kernel may copy."""
        if self.template is None:
            self.template, self.kept = footer, kept_key_values(footer)
        groups = row_groups(footer)
        for number in numbers:
            self._append_group(groups[number], source, local)

    def _append_group(self, group: Struct, source: pa.NativeFile, local: int | None) -> None:
        columns = chunks(group)
        shifts = [0] * len(columns)
        for start, end, places in _runs([chunk_range(chunk) for chunk in columns]):
            shift = self.position - start
            self._copy(source, local, start, end)
            for place in places:
                shifts[place] = shift
        for chunk, shift in zip(columns, shifts, strict=True):
            bloom = bloom_range(chunk, source)
            _move_chunk(chunk, shift)
            if bloom is not None:
                chunk[CHUNK_META][1][BLOOM_AT] = (I64, self.position)
                self._copy(source, local, *bloom)
            self._keep_page_index(chunk, source, shift)
        if FILE_OFFSET in group:
            group[FILE_OFFSET] = (I64, chunk_range(columns[0])[0])
        group[ORDINAL] = (I16, len(self.groups))
        self.groups.append(group)
        self.row_count += group[GROUP_ROWS][1]

    def _keep_page_index(self, chunk: Struct, source: pa.NativeFile, shift: int) -> None:
        """The page index goes to the end of the file; its places are those of the pages, which have moved."""
        column_index = offset_index = None
        if COLUMN_INDEX_AT in chunk:
            column_index = _exactly(source, chunk[COLUMN_INDEX_AT][1], chunk[COLUMN_INDEX_SIZE][1])
        if OFFSET_INDEX_AT in chunk:
            offset_index, _ = decode(_exactly(source, chunk[OFFSET_INDEX_AT][1], chunk[OFFSET_INDEX_SIZE][1]))
            move_locations(offset_index, shift)
        self.indexes.append((chunk, column_index, offset_index))

    def _copy(self, source: pa.NativeFile, local: int | None, start: int, end: int) -> None:
        """Append a range of the source, in pieces."""
        if local is not None:
            self.sink.flush()
        while start < end:
            if self.stop.is_set():
                raise _Stopped
            size = min(_PIECE, end - start)
            copied = None if local is None else self._by_kernel(local, start, size)
            if copied is None:
                local = None
                self._put(_exactly(source, start, size))
                copied = size
            elif copied == 0:
                raise _CutShort
            start += copied

    def _by_kernel(self, local: int, start: int, size: int) -> int | None:
        """Bytes that the kernel copied; None where these file systems know no such copy."""
        try:
            copied = os.copy_file_range(local, self.sink.fileno(), size, start)
        except OSError as error:
            if error.errno in _NO_RANGE_COPY:
                return None
            raise
        self.position += copied
        return copied


def _runs(ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, list[int]]]:
    """Ranges that lie end to end, together, in the order of their bytes: one to copy, and the places of its parts.

    >>> list(_runs([(9, 12), (4, 9), (20, 30)]))
    [(4, 12, [1, 0]), (20, 30, [2])]
    """
    run: list[int] = []
    first = last = 0
    for place in sorted(range(len(ranges)), key=ranges.__getitem__):
        start, end = ranges[place]
        if run and start != last:
            yield first, last, run
            run = []
        first = first if run else start
        last = end
        run.append(place)
    if run:
        yield first, last, run


def _move_chunk(chunk: Struct, shift: int) -> None:
    """Move the offsets of a chunk. Its deprecated ``file_offset`` may name a place that was not copied."""
    start, end = chunk_range(chunk)
    if CHUNK_FILE_OFFSET in chunk and not start <= chunk[CHUNK_FILE_OFFSET][1] < end:
        chunk[CHUNK_FILE_OFFSET] = (I64, 0)
    move(chunk, (CHUNK_FILE_OFFSET,), shift)
    move(chunk[CHUNK_META][1], PAGE_OFFSETS, shift)


def _exactly(source: pa.NativeFile, start: int, size: int) -> bytes:
    data: bytes = source.read_at(size, start)
    if len(data) != size:
        raise _CutShort
    return data
