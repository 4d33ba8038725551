"""Protocol buffers' wire format, enough to read the tail of an ORC file, change it and write it back.

Nothing is interpreted here: a message is its fields in order with their wire types, so that fields which a newer
writer added survive. Source: "Encoding" of the Protocol Buffers documentation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTHS = {FIXED64: 8, FIXED32: 4}


@dataclass(slots=True)
class Message:
    """Fields in order: number, wire type, and an integer (varint) or bytes."""

    fields: list[tuple[int, int, int | bytes]] = field(default_factory=list)

    @classmethod
    def decode(cls, data: bytes) -> Message:
        """The message that these bytes are.

        >>> Message.decode(bytes.fromhex("08960112026869")).fields
        [(1, 0, 150), (2, 2, b'hi')]

        :raises ValueError: they end too early, or hold a wire type that is not in use.
        """
        found, offset = cls(), 0
        while offset < len(data):
            key, offset = varint(data, offset)
            number, kind = key >> 3, key & 7
            if kind == VARINT:
                value, offset = varint(data, offset)
                found.fields.append((number, kind, value))
                continue
            if kind == BYTES:
                length, offset = varint(data, offset)
            elif kind in _WIDTHS:
                length = _WIDTHS[kind]
            else:
                raise ValueError(f"wire type {kind}")
            if offset + length > len(data):
                raise ValueError("the message ends too early")
            found.fields.append((number, kind, data[offset : offset + length]))
            offset += length
        return found

    def encode(self) -> bytes:
        """The bytes of the message. Inverse of :meth:`decode`."""
        out = bytearray()
        for number, kind, value in self.fields:
            out += _varint_bytes(number << 3 | kind)
            if isinstance(value, int):
                out += _varint_bytes(value)
            else:
                out += (_varint_bytes(len(value)) if kind == BYTES else b"") + value
        return bytes(out)

    def whole(self, number: int, default: int = 0) -> int:
        """An unsigned integer field; the last one counts."""
        return next((value for n, _, value in reversed(self.fields) if n == number and isinstance(value, int)), default)

    def signed(self, number: int) -> int | None:
        """A zigzag (``sint``) field, None where it is not set.

        >>> Message([(1, 0, 3)]).signed(1)
        -2
        """
        value = self.whole(number, -1)
        return None if value < 0 else (value >> 1) ^ -(value & 1)

    def double(self, number: int) -> float | None:
        """A ``double`` field, None where it is not set."""
        found = self.content(number)
        return None if found is None else float(struct.unpack("<d", found)[0])

    def content(self, number: int) -> bytes | None:
        """A field of bytes, None where it is not set; the last one counts."""
        return next(
            (value for n, _, value in reversed(self.fields) if n == number and not isinstance(value, int)), None
        )

    def text(self, number: int) -> str | None:
        """A field of text, None where it is not set."""
        found = self.content(number)
        return None if found is None else found.decode(errors="replace")

    def texts(self, number: int) -> list[str]:
        """A repeated field of text."""
        return [
            value.decode(errors="replace") for n, _, value in self.fields if n == number and not isinstance(value, int)
        ]

    def message(self, number: int) -> Message | None:
        """A field that is a message, None where it is not set."""
        found = self.content(number)
        return None if found is None else Message.decode(found)

    def messages(self, number: int) -> list[Message]:
        """A repeated field of messages."""
        return [Message.decode(value) for n, _, value in self.fields if n == number and not isinstance(value, int)]

    def wholes(self, number: int) -> list[int]:
        """A repeated field of unsigned integers, packed or not."""
        return list(self._wholes(number))

    def _wholes(self, number: int) -> Iterator[int]:
        for n, _, value in self.fields:
            if n != number:
                continue
            if isinstance(value, int):
                yield value
                continue
            offset = 0
            while offset < len(value):
                one, offset = varint(value, offset)
                yield one

    def put(self, number: int, value: int | bytes | Message | float | None) -> None:
        """Set a field, at its place if it is there; None takes it out."""
        places = [place for place, (n, _, _) in enumerate(self.fields) if n == number]
        at = places[0] if places else len(self.fields)
        self.fields = [item for item in self.fields if item[0] != number]
        if value is not None:
            self.fields.insert(at, (number, *_wire(value)))


def zigzag(value: int) -> int:
    """A signed integer as a ``sint`` field holds it.

    >>> zigzag(-2), zigzag(2)
    (3, 4)
    """
    return (value << 1 ^ value >> 63) & (1 << 64) - 1


def varint(data: bytes, offset: int) -> tuple[int, int]:
    """The integer that begins at ``offset``, and where it ends.

    :raises ValueError: it does not end.
    """
    result = shift = 0
    while offset < len(data) and shift < 70:
        byte = data[offset]
        offset += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, offset
        shift += 7
    raise ValueError("a number ends too early")


def packed(values: list[int]) -> bytes:
    """Unsigned integers as a packed repeated field holds them."""
    return b"".join(map(_varint_bytes, values))


def _wire(value: int | bytes | Message | float) -> tuple[int, int | bytes]:
    if isinstance(value, Message):
        return BYTES, value.encode()
    if isinstance(value, float):
        return FIXED64, struct.pack("<d", value)
    return (VARINT, value) if isinstance(value, int) else (BYTES, value)


def _varint_bytes(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
