"""Iceberg's single-value binaries (appendix D of the spec) as values that compare, and as ranks."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]

_INTEGERS = ("int", "long", "date", "time", "timestamp", "timestamptz", "timestamp_ns", "timestamptz_ns")
_TICKS_PER_DAY = {"timestamp": 86_400 * 10**6, "timestamp_ns": 86_400 * 10**9}


def kind_of(iceberg_type: str) -> str:
    """The type without its parameters.

    >>> kind_of("decimal(9, 2)"), kind_of("fixed[16]")
    ('decimal', 'fixed')
    """
    return re.split(r"[\[(<]", iceberg_type, maxsplit=1)[0].strip()


def comparable(iceberg_type: str) -> bool:
    """Whether files can be ordered by a column of this Iceberg type.

    >>> comparable("decimal(9, 2)"), comparable("map<string, int>")
    (True, False)
    """
    kind = kind_of(iceberg_type)
    return kind in _INTEGERS or kind in ("boolean", "float", "double", "decimal", "uuid") or truncated(iceberg_type)


def truncated(iceberg_type: str) -> bool:
    """Whether manifests may hold only a prefix of the bounds of this type.

    >>> truncated("string"), truncated("fixed[16]"), truncated("uuid")
    (True, True, False)
    """
    return kind_of(iceberg_type) in ("string", "binary", "fixed")


def decode(values: pa.BinaryArray, iceberg_type: str) -> pa.Array:
    """Comparable form of single-value binaries: int64, or binary that compares byte by byte. Unreadable ones are null.

    Floats become integers in Iceberg's total order, but with one zero: Parquet's statistics do not tell -0.0 from
    0.0, so neither can a bound that was made from them. A NaN bound says nothing and becomes null. Bounds of
    promoted columns may still be in the narrower form.
    """
    kind = kind_of(iceberg_type)
    if kind in ("string", "binary", "fixed", "uuid"):
        return values
    if kind == "decimal":
        return _decode_decimals(values)
    lengths, matrix = _right_padded(values, 8)
    codes = np.zeros(len(values), np.int64)
    readable = np.zeros(len(values), np.bool_)
    if kind == "boolean":
        readable = lengths == 1
        codes = (matrix[:, 0] != 0).astype(np.int64)
    else:
        floating = kind in ("float", "double")
        for width, stored in ((4, "<f4" if floating else "<i4"), (8, "<f8" if floating else "<i8")):
            here = lengths == width
            numbers = np.ascontiguousarray(matrix[here, :width]).view(stored)[:, 0]
            if floating:
                codes[here], readable[here] = _order_floats(numbers.astype(np.float64)), ~np.isnan(numbers)
            else:
                scale = _TICKS_PER_DAY.get(kind.replace("tz", ""), 1) if width == 4 else 1  # a promoted date
                codes[here], readable[here] = numbers.astype(np.int64) * scale, True
    return pa.array(codes, mask=~readable)


def _order_floats(numbers: npt.NDArray[np.float64]) -> Ints:
    bits = (numbers + 0.0).view(np.int64)  # adding 0.0 turns -0.0 into 0.0
    ordered: Ints = np.where(bits < 0, bits ^ np.int64(0x7FFF_FFFF_FFFF_FFFF), bits)
    return ordered


def _decode_decimals(values: pa.BinaryArray) -> pa.Array:
    """Big-endian two's complement of 1 to 16 bytes, widened to 16 with the sign bit flipped."""
    lengths, matrix = _right_padded(values, 16)
    readable = (lengths >= 1) & (lengths <= 16)
    negative = readable & (matrix[:, 0] >= 0x80)
    wide = np.where(negative[:, None], np.uint8(0xFF), np.uint8(0)).repeat(16, axis=1)
    for width in range(1, 17):
        here = lengths == width
        wide[here, 16 - width :] = matrix[here, :width]
    wide[:, 0] ^= 0x80
    offsets = np.arange(0, 16 * len(lengths) + 1, 16, dtype=np.int32)
    padded = pa.Array.from_buffers(
        pa.binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(wide))]
    )
    return pc.if_else(pa.array(readable), padded, pa.scalar(None, pa.binary()))


def _bytes_of(values: pa.BinaryArray) -> tuple[Ints, Ints, npt.NDArray[np.uint8]]:
    """Start, length (-1 where null) and the bytes of a binary array."""
    offsets = np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, values.offset * 4).astype(np.int64)
    stored = values.buffers()[2]
    data = np.frombuffer(stored, np.uint8) if stored is not None else np.zeros(0, np.uint8)
    lengths = np.where(np.asarray(values.is_valid()), np.diff(offsets), -1)
    return offsets[:-1], lengths, data


def _right_padded(values: pa.BinaryArray, width: int) -> tuple[Ints, npt.NDArray[np.uint8]]:
    """Lengths (-1 where null) and the first ``width`` bytes of each value as a matrix."""
    if len(values) == 0:
        return np.zeros(0, np.int64), np.zeros((0, width), np.uint8)
    starts, lengths, data = _bytes_of(values)
    at = starts[:, None] + np.arange(width)
    return lengths, np.append(data, np.zeros(width, np.uint8))[np.minimum(at, len(data))]


def characters(values: pa.BinaryArray, text: bool) -> Ints:
    """Length in characters (UTF-8 code points) or bytes; -1 where null."""
    if len(values) == 0:
        return np.zeros(0, np.int64)
    starts, lengths, data = _bytes_of(values)
    if not text:
        return lengths
    begun = np.concatenate([[0], np.cumsum((data & 0xC0) != 0x80)])
    return np.where(lengths < 0, -1, begun[starts + np.maximum(lengths, 0)] - begun[starts])


def prefix_successors(values: pa.BinaryArray) -> pa.BinaryArray:
    """The least binary above every value that begins with the given prefix; null where there is none (all 0xff)."""
    return pa.array([_raised(value) for value in values.to_pylist()], pa.binary())


def _raised(value: bytes | None) -> bytes | None:
    kept = (value or b"").rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def without_last_character(values: pa.BinaryArray, text: bool) -> pa.BinaryArray:
    """The values less their last character: not above any value that a raised upper bound was made from."""
    return pa.array([_shortened(value, text) for value in values.to_pylist()], pa.binary())


def _shortened(value: bytes | None, text: bool) -> bytes | None:
    if value is None:
        return None
    end = len(value) - 1
    while text and end > 0 and value[end] & 0xC0 == 0x80:
        end -= 1
    return value[: max(end, 0)]


def rank(arrays: Sequence[pa.Array]) -> tuple[list[Ints], int]:
    """Dense ranks (1 … n) of values over several arrays of one type together, 0 where null; and n."""
    together = pa.concat_arrays(list(arrays))
    valid = np.asarray(together.is_valid())
    ranks = np.zeros(len(together), np.int64)
    ranks[valid] = np.asarray(pc.rank(together.drop_null(), tiebreaker="dense")).astype(np.int64)
    top = int(ranks.max()) if len(ranks) else 0
    return np.split(ranks, np.cumsum([len(a) for a in arrays])[:-1]), top
