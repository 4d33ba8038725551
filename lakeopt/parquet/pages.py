"""The pages of a column chunk, found by decoding one page header after the other (``PageHeader`` of Parquet)."""

from __future__ import annotations

from dataclasses import dataclass

from lakeopt.errors import DataFileError
from lakeopt.parquet.thrift import Struct, decode

# PageHeader: type, size on disk without the header, and the header of each type with its number of values
_TYPE, _SIZE, _DATA, _DICTIONARY, _DATA_V2, _VALUES = 1, 3, 5, 7, 8, 1
_DATA_TYPES = (0, 3)
#: No page header is longer, statistics of long values in it.
_LONGEST_HEADER = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """One page: where its header begins, whether it holds data (not a dictionary), and its number of values."""

    offset: int
    is_data: bool
    values: int


class PageWalk:
    """Takes the bytes of a column chunk piece by piece and finds its pages, without looking into them."""

    def __init__(self, start: int) -> None:
        self._at = start
        self._skip = 0
        self._held = b""
        self._pages: list[Page] = []

    def feed(self, piece: bytes | memoryview) -> None:
        """The next bytes.

        :raises DataFileError: there is no page header where one should be.
        """
        view = memoryview(piece)
        while len(view) > self._skip:
            data = view[self._skip :] if not self._held else memoryview(self._held + bytes(view))
            try:
                header, size = decode(data)
            except DataFileError:
                self._hold(data)
                return
            self._page(header, size)
            # Bytes of the page that were held, or are in this piece; the rest of it is skipped in those to come.
            view, self._held, self._skip = data[size:], b"", header[_SIZE][1]
        self._skip -= len(view)

    def finish(self, end: int) -> list[Page]:
        """The pages, which must fill the chunk to its last byte.

        :raises DataFileError: they do not.
        """
        if self._skip or self._held or self._at != end:
            raise DataFileError(f"the pages of a column chunk end at {self._at}, not at {end}")
        return self._pages

    def _hold(self, data: memoryview) -> None:
        self._held, self._skip = bytes(data), 0
        if len(self._held) > _LONGEST_HEADER:
            raise DataFileError(f"no page header at {self._at}")

    def _page(self, header: Struct, size: int) -> None:
        if _TYPE not in header or _SIZE not in header:
            raise DataFileError(f"no page header at {self._at}")
        inner = [header[number][1] for number in (_DATA, _DATA_V2, _DICTIONARY) if number in header]
        self._pages.append(Page(self._at, header[_TYPE][1] in _DATA_TYPES, inner[0][_VALUES][1] if inner else 0))
        self._at += size + header[_SIZE][1]
