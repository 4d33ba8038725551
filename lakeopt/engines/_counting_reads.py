"""A file system that remembers each read: which bytes of which files a query really asked storage for.

It is registered in an engine under the protocol ``counted``; behind it is a local path, or the name of a remote file.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from lakeopt.engines._range_reads import RangeFile, RangeFileSystem

PROTOCOL = "counted"


def counted(path: str) -> str:
    """The name under which a path is read through :class:`CountingFileSystem`."""
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


class CountingFileSystem(RangeFileSystem):
    """Local files, and ``remote`` ones by their names, read only; every read is kept in :attr:`reads`."""

    protocol = PROTOCOL
    root_marker = "/"

    def __init__(self, remote: Mapping[str, tuple[fs.FileSystem, str]] = MappingProxyType({})) -> None:
        super().__init__()
        self.reads: list[Read] = []  # list.append is atomic
        self._remote, self._local = remote, fs.LocalFileSystem()

    def locate(self, path: str) -> tuple[fs.FileSystem, str]:
        """File system and path of a file."""
        inner = path.removeprefix(f"{PROTOCOL}://")
        return self._remote.get(inner) or (self._local, inner)

    def handle(self, file: pa.NativeFile, path: str) -> RangeFile:
        """A handle whose reads are kept."""
        return CountedFile(file, path.removeprefix(f"{PROTOCOL}://"), self.reads)

    def scanned(self, reads: Iterable[Read]) -> Scanned:
        """Sum up reads of Parquet files, byte ranges mapped onto row groups by each file's footer."""
        by_path: dict[str, list[Read]] = {}
        for read in reads:
            if read.length:
                by_path.setdefault(read.path, []).append(read)
        total = footers = row_groups = 0
        for path, own in by_path.items():
            filesystem, inner = self.locate(path)
            size = filesystem.get_file_info(inner).size
            tail = sum(read.length for read in own if read.offset + read.length >= size)
            data = [read for read in own if read.offset + read.length < size]
            total += sum(read.length for read in own)
            footers += tail
            row_groups += _touched(pq.read_metadata(inner, filesystem=filesystem), data) if data else 0
        return Scanned(total, footers, len(by_path), row_groups)


class CountedFile(RangeFile):
    """A read handle whose reads are kept."""

    def __init__(self, file: pa.NativeFile, path: str, reads: list[Read]) -> None:
        super().__init__(file)
        self._path, self._reads = path, reads

    def read(self, length: int = -1) -> bytes:
        """The bytes from this thread's position on, up to ``length`` of them."""
        start = self.tell()
        data = super().read(length)
        self._reads.append(Read(self._path, start, len(data)))
        return data


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
