"""Column bounds from Parquet statistics, in Iceberg's single-value binary form.

Parquet's raw values are used, not Python's: a timestamp of the year 0 or 20,000 has no ``datetime``.
"""

from __future__ import annotations

import struct
from typing import Any

from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IntegerType,
    LongType,
    PrimitiveType,
    StringType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

_LITTLE_ENDIAN: dict[type[PrimitiveType], str] = {
    IntegerType: "<i",
    DateType: "<i",
    LongType: "<q",
    TimeType: "<q",
    TimestampType: "<q",
    TimestamptzType: "<q",
    FloatType: "<f",
    DoubleType: "<d",
}
_SURROGATES = range(0xD800, 0xE000)


def ordered(kind: PrimitiveType, raw: Any) -> Any:
    """A raw Parquet statistic so that those of several row groups compare.

    Decimals of more than 18 digits come as big-endian two's complement, where -1 would be above 1 byte by byte.

    >>> ordered(DecimalType(20, 0), b"\\xff" * 9)
    -1
    """
    return int.from_bytes(raw, "big", signed=True) if isinstance(kind, DecimalType) and isinstance(raw, bytes) else raw


def single_value(kind: PrimitiveType, raw: Any) -> bytes | None:
    """A raw Parquet statistic (:func:`ordered`) as Iceberg binary; None for types that have no bounds here, and for
    text that is none: a writer may have cut a character in two.

    >>> single_value(IntegerType(), 1), single_value(DecimalType(9, 2), -125)
    (b'\\x01\\x00\\x00\\x00', b'\\x83')
    >>> single_value(StringType(), "ö".encode()[:1])
    """
    if form := _LITTLE_ENDIAN.get(type(kind)):
        return struct.pack(form, raw)
    if isinstance(kind, BooleanType):
        return b"\x01" if raw else b"\x00"
    if isinstance(kind, DecimalType):
        size = ((raw if raw >= 0 else ~raw).bit_length() + 8) // 8
        return int(raw).to_bytes(size, "big", signed=True)
    if isinstance(kind, StringType) and not _is_text(bytes(raw)):
        return None
    if isinstance(kind, StringType | BinaryType | FixedType | UUIDType):
        return bytes(raw)
    return None


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def truncated(kind: PrimitiveType, lower: bytes, upper: bytes, length: int | None) -> tuple[bytes, bytes | None]:
    """Bounds of a string or binary column cut to ``length`` characters or bytes; the upper one rounded up.

    The upper bound is None where no shorter value is greater.

    >>> truncated(StringType(), b"abcdef", b"abcdef", 3)
    (b'abc', b'abd')
    >>> truncated(BinaryType(), b"a", b"\\xff\\xff\\xff", 2)
    (b'a', None)
    """
    if length is None:
        return lower, upper
    if isinstance(kind, StringType):
        highest = _round_up_text(upper.decode("utf-8"), length)
        return lower.decode("utf-8")[:length].encode(), None if highest is None else highest.encode()
    if isinstance(kind, BinaryType):
        return lower[:length], _round_up_bytes(upper, length)
    return lower, upper


def _round_up_text(text: str, length: int) -> str | None:
    if len(text) <= length:
        return text
    for end in range(length, 0, -1):
        point = ord(text[end - 1]) + 1
        if point in _SURROGATES:  # half a UTF-16 pair is no character: UTF-8 cannot write it
            point = _SURROGATES.stop
        if point <= 0x10FFFF:
            return text[: end - 1] + chr(point)
    return None


def _round_up_bytes(value: bytes, length: int) -> bytes | None:
    if len(value) <= length:
        return value
    for end in range(length, 0, -1):
        if value[end - 1] < 0xFF:
            return value[: end - 1] + bytes([value[end - 1] + 1])
    return None
