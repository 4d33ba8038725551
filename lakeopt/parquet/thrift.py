"""Thrift's compact protocol, enough to read a Parquet footer or page index, change it and write it back.

Nothing is interpreted here: a structure is its fields by id with their wire types, so that fields which a newer
writer added survive. Source: "Thrift Compact protocol encoding" of the Apache Thrift specification.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from lakeopt.errors import DataFileError

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)

#: Fields of a structure: id -> (wire type, value).
Struct = dict[int, tuple[int, Any]]


@dataclass(slots=True)
class Items:
    """A list or set: the wire type of its items and their values."""

    kind: int
    values: list[Any]


def decode(data: bytes | memoryview, offset: int = 0, *, before: int = 0) -> tuple[Struct, int]:
    """The structure that starts at ``offset``, and where it ends; with ``before`` what comes before that field of it.

    >>> decode(encode({1: (I64, -3), 4: (BINARY, b"ab")}))
    ({1: (6, -3), 4: (8, b'ab')}, 7)
    >>> decode(encode({1: (I64, -3), 4: (BINARY, b"ab")}), before=4)[0]
    {1: (6, -3)}
    """
    reader = _Reader(memoryview(data).cast("B"), offset)
    try:
        return reader.struct(before), reader.offset
    except (IndexError, struct.error) as error:
        raise DataFileError("a Parquet footer ends too early") from error


def encode(value: Struct) -> bytes:
    """The bytes of a structure. Inverse of :func:`decode`."""
    out = bytearray()
    _write_struct(out, value)
    return bytes(out)


@dataclass(slots=True)
class _Reader:
    data: memoryview
    offset: int

    def varint(self) -> int:
        result = shift = 0
        while True:
            byte = self.data[self.offset]
            self.offset += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result
            shift += 7

    def zigzag(self) -> int:
        number = self.varint()
        return (number >> 1) ^ -(number & 1)

    def take(self, size: int) -> bytes:
        if self.offset + size > len(self.data):
            raise IndexError(size)
        self.offset += size
        return bytes(self.data[self.offset - size : self.offset])

    def struct(self, before: int = 0) -> Struct:
        fields: Struct = {}
        number = 0
        while head := self.take(1)[0]:
            number = number + (head >> 4) if head >> 4 else self.zigzag()
            if number == before:
                break
            kind = head & 0x0F
            fields[number] = (kind, kind == TRUE if kind in (TRUE, FALSE) else self.value(kind))
        return fields

    def value(self, kind: int) -> Any:
        if kind in (I16, I32, I64):
            return self.zigzag()
        if kind == BINARY:
            return self.take(self.varint())
        if kind == STRUCT:
            return self.struct()
        if kind in (LIST, SET):
            return self.items()
        if kind == DOUBLE:
            return struct.unpack("<d", self.take(8))[0]
        if kind in (TRUE, FALSE, BYTE):
            return self.take(1)[0]
        raise DataFileError(f"a Parquet footer holds a field of unknown wire type {kind}")

    def items(self) -> Items:
        head = self.take(1)[0]
        size = self.varint() if head >> 4 == 15 else head >> 4
        return Items(head & 0x0F, [self.value(head & 0x0F) for _ in range(size)])


def _write_varint(out: bytearray, number: int) -> None:
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _write_zigzag(out: bytearray, number: int) -> None:
    _write_varint(out, number << 1 if number >= 0 else (-number << 1) - 1)


def _write_struct(out: bytearray, fields: Struct) -> None:
    last = 0
    for number in sorted(fields):
        kind, value = fields[number]
        if kind in (TRUE, FALSE):
            kind = TRUE if value else FALSE
        if 0 < number - last < 16:
            out.append((number - last) << 4 | kind)
        else:
            out.append(kind)
            _write_zigzag(out, number)
        if kind not in (TRUE, FALSE):
            _write_value(out, kind, value)
        last = number
    out.append(0)


def _write_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in (I16, I32, I64):
        _write_zigzag(out, value)
    elif kind == BINARY:
        _write_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        _write_struct(out, value)
    elif kind in (LIST, SET):
        size = len(value.values)
        out.append(min(size, 15) << 4 | value.kind)
        if size >= 15:
            _write_varint(out, size)
        for item in value.values:
            _write_value(out, value.kind, item)
    elif kind == DOUBLE:
        out += struct.pack("<d", value)
    else:
        out.append(value)
