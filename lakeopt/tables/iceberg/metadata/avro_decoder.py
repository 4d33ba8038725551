"""A decoder of Avro values that never reads beyond its bytes.

pyiceberg's compiled decoder trusts every length: a damaged manifest makes it hand out whatever lies behind the
buffer, or end the process. Here each length is held against what is left; the numbers themselves are still decoded
by pyiceberg, in a buffer with zeros behind it, where a number that never ends comes to one.
"""

from __future__ import annotations

from array import array
from struct import Struct
from typing import Any

from pyiceberg.avro.decoder import new_decoder

_PADDING = bytes(16)
_FLOAT, _DOUBLE = Struct("<f"), Struct("<d")


class StrictDecoder:
    """Reads the values of one block; what it offers is what pyiceberg's readers ask of a decoder.

    A number may come out of the padding; whoever reads a block compares :meth:`tell` with its length at the end.
    """

    __slots__ = ("_end", "_inner", "read_int", "tell")

    def __init__(self, content: bytes) -> None:
        self._inner = new_decoder(content + _PADDING)
        self._end = len(content)
        self.read_int = self._inner.read_int
        self.tell = self._inner.tell

    def read(self, size: int) -> bytes:
        """That many bytes.

        :raises EOFError: fewer are left.
        """
        self._require(size)
        return self._inner.read(size)

    def read_bytes(self) -> bytes:
        """Bytes behind their length."""
        return self.read(self.read_int())

    def read_utf8(self) -> str:
        """Text behind its length in bytes."""
        return self.read_bytes().decode("utf-8")

    def read_ints(self, count: int) -> array[int]:
        """Numbers one after the other, as 64 bits each."""
        self._require(count)
        numbers: Any = self._inner.read_ints(count)
        return numbers if isinstance(numbers, array) else array("q", numbers)

    def read_int_bytes_dict(self, count: int, dest: dict[int, bytes]) -> None:
        """Pairs of a number and bytes, into a dict."""
        self._require(count)
        read_int, read, tell, end = self.read_int, self._inner.read, self.tell, self._end
        for _ in range(count):
            key, size = read_int(), read_int()
            if not 0 <= size <= end - tell():
                raise EOFError(f"{size} bytes where {end - tell()} are left")
            dest[key] = read(size)

    def skip_int_bytes(self, count: int) -> None:
        """Pass over pairs of a number and bytes."""
        self._require(count)
        read_int, skip, tell, end = self.read_int, self._inner.skip, self.tell, self._end
        for _ in range(count):
            read_int()
            size = read_int()
            if not 0 <= size <= end - tell():
                raise EOFError(f"{size} bytes where {end - tell()} are left")
            skip(size)

    def read_boolean(self) -> bool:
        """One byte, false if zero."""
        return self.read(1) != b"\0"

    def read_float(self) -> float:
        """Four bytes."""
        return float(_FLOAT.unpack(self.read(4))[0])

    def read_double(self) -> float:
        """Eight bytes."""
        return float(_DOUBLE.unpack(self.read(8))[0])

    def skip(self, size: int) -> None:
        """Pass over that many bytes."""
        self.read(size)

    def skip_int(self) -> None:
        """Pass over a number."""
        self.read_int()

    def skip_bytes(self) -> None:
        """Pass over bytes or text behind their length."""
        self.read_bytes()

    skip_utf8 = skip_bytes

    def skip_boolean(self) -> None:
        """Pass over one byte."""
        self.read(1)

    def skip_float(self) -> None:
        """Pass over four bytes."""
        self.read(4)

    def skip_double(self) -> None:
        """Pass over eight bytes."""
        self.read(8)

    def _require(self, size: int) -> None:
        left = self._end - self.tell()
        if not 0 <= size <= left:
            raise EOFError(f"{size} bytes where {left} are left")
