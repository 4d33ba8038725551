"""A file system that remembers each read: which bytes of which files a query really asked storage for.

It is registered in an engine under the protocol ``counted``; the path behind it is a local one. Engines read one
handle from many threads at once, so a handle keeps a position per thread and reads with ``pread``.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq
from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

PROTOCOL = "counted"


def counted(path: str) -> str:
    """The name under which a local path is read through :class:`CountingFileSystem`."""
    return f"{PROTOCOL}://{path}"


@dataclass(frozen=True, slots=True)
class Read:
    """One read: ``length`` bytes that were delivered from ``offset`` on."""

    path: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a query read. A byte that was read twice counts twice, as it would be paid for twice.

    ``footer_bytes`` is the part of ``bytes`` that came with reads up to the end of a file: the footer, and what
    a reader took along on the guess that the footer is that long. Row groups are those that any other read touched.
    """

    bytes: int
    footer_bytes: int
    files: int
    row_groups: int


class CountingFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Local files, read only; every read is kept in :attr:`reads`."""

    protocol = PROTOCOL
    cachable = False
    root_marker = "/"

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[Read] = []  # list.append is atomic

    def open(self, path: str, mode: str = "rb", **options: Any) -> CountedFile:
        """A handle that many threads may read at once."""
        if mode != "rb":
            raise PermissionError(f"{path} is only read")
        return CountedFile(self._local(path), self.reads)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Name, size and type of a file."""
        return {"name": path, "size": os.path.getsize(self._local(path)), "type": "file"}

    def modified(self, path: str) -> datetime:
        """When a file was last written."""
        return datetime.fromtimestamp(os.path.getmtime(self._local(path)), UTC)

    def glob(self, path: str, **options: Any) -> list[str]:
        """The path itself, its ``[*]`` read as ``*``: file lists hold no patterns, but engines ask."""
        for wild in "*?[":
            path = path.replace(f"[{wild}]", wild)
        return [path]

    @staticmethod
    def _local(path: str) -> str:
        return path.removeprefix(f"{PROTOCOL}://")


class CountedFile:
    """A read handle with one position per thread."""

    def __init__(self, path: str, reads: list[Read]) -> None:
        self._path, self._reads = path, reads
        self._descriptor = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._descriptor).st_size
        self._position = threading.local()

    def tell(self) -> int:
        """This thread's position."""
        return getattr(self._position, "value", 0)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Move this thread's position; the new one."""
        self._position.value = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self.size}[whence] + position
        return self.tell()

    def read(self, length: int = -1) -> bytes:
        """The bytes from this thread's position on, up to ``length`` of them."""
        start = self.tell()
        data = os.pread(self._descriptor, max(self.size - start, 0) if length < 0 else length, start)
        self._position.value = start + len(data)
        self._reads.append(Read(self._path, start, len(data)))
        return data

    def close(self) -> None:
        """Close the file for all threads."""
        os.close(self._descriptor)


def scanned(reads: Iterable[Read]) -> Scanned:
    """Sum up reads of Parquet files, byte ranges mapped onto row groups by each file's footer."""
    by_path: dict[str, list[Read]] = {}
    for read in reads:
        if read.length:
            by_path.setdefault(read.path, []).append(read)
    total = footers = row_groups = 0
    for path, own in by_path.items():
        size = os.path.getsize(path)
        tail = sum(read.length for read in own if read.offset + read.length >= size)
        data = [read for read in own if read.offset + read.length < size]
        total += sum(read.length for read in own)
        footers += tail
        row_groups += _touched(pq.read_metadata(path), data) if data else 0
    return Scanned(total, footers, len(by_path), row_groups)


def _touched(footer: pq.FileMetaData, reads: list[Read]) -> int:
    """Row groups whose column chunks meet any of the reads; row groups lie one after another in a file."""
    spans = [_span(footer.row_group(index)) for index in range(footer.num_row_groups) if footer.num_columns]
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    touched: set[int] = set()
    for read in reads:
        touched.update(range(bisect_right(ends, read.offset), bisect_left(starts, read.offset + read.length)))
    return len(touched)


def _span(group: pq.RowGroupMetaData) -> tuple[int, int]:
    chunks = [group.column(index) for index in range(group.num_columns)]
    starts = [
        min(offset for offset in (chunk.dictionary_page_offset, chunk.data_page_offset) if offset) for chunk in chunks
    ]
    return min(starts), max(start + chunk.total_compressed_size for start, chunk in zip(starts, chunks, strict=True))
