"""Column bounds of files as Iceberg's manifests hold them, decoded to comparable codes.

Bounds are in the single-value binary form of the Iceberg spec (appendix D). Strings and binaries are usually cut
to their first characters (metrics mode ``truncate``): the lower bound is then a prefix of the smallest value, the
upper one a prefix of the largest, raised by one. Such a bound only brackets the true end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from lakeopt.analysis.footer_facts import ColumnRange

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Characters that Iceberg keeps of a string or binary bound where the table does not say otherwise.
DEFAULT_TRUNCATION = 16

_INTEGERS = ("int", "long", "date", "time", "timestamp", "timestamptz", "timestamp_ns", "timestamptz_ns")
_TICKS_PER_DAY = {"timestamp": 86_400 * 10**6, "timestamp_ns": 86_400 * 10**9}


def comparable(iceberg_type: str) -> bool:
    """Whether files can be ordered by a column of this Iceberg type.

    >>> comparable("decimal(9, 2)"), comparable("map<string, int>")
    (True, False)
    """
    kind = _kind(iceberg_type)
    return kind in _INTEGERS or kind in ("boolean", "float", "double", "decimal", "uuid") or truncated(iceberg_type)


def truncated(iceberg_type: str) -> bool:
    """Whether manifests may hold only a prefix of the bounds of this type.

    >>> truncated("string"), truncated("fixed[16]"), truncated("uuid")
    (True, True, False)
    """
    return _kind(iceberg_type) in ("string", "binary", "fixed")


def truncation_width(properties: Mapping[str, str], column: str) -> int:
    """Characters that are surely kept of a column's bounds: bounds shorter than this are exact.

    The property may have been wider or ``full`` when a file was written; it is never taken as more than the default.

    >>> truncation_width({"write.metadata.metrics.column.name": "truncate(4)"}, "name"), truncation_width({}, "name")
    (4, 16)
    """
    prefix = "write.metadata.metrics."
    mode = properties.get(f"{prefix}column.{column}", properties.get(f"{prefix}default", ""))
    match = re.fullmatch(r"truncate\((\d+)\)", mode.strip().lower())
    return min(int(match[1]), DEFAULT_TRUNCATION) if match else DEFAULT_TRUNCATION


@dataclass(frozen=True, slots=True)
class ColumnBounds:
    """Bounds and counts of one column, one entry a file. Absent bounds are null, absent counts -1.

    ``lower_exact`` and ``upper_exact`` say where a bound is the true smallest or largest value, not a bracket of it.
    """

    iceberg_type: str
    lower: pa.BinaryArray
    upper: pa.BinaryArray
    lower_exact: Mask
    upper_exact: Mask
    nulls: Ints
    nans: Ints
    values: Ints

    def with_exact(self, known: Mapping[int, ColumnRange]) -> ColumnBounds:
        """The same bounds, with those of some files (by position) replaced by what their footers say."""
        if not known:
            return self
        at = np.fromiter(known, np.int64, len(known))
        position = np.arange(len(self.nulls), dtype=np.int64)
        position[at] = len(self.nulls) + np.arange(len(at))

        def patched(old: pa.BinaryArray, new: list[bytes | None]) -> pa.BinaryArray:
            return pa.concat_arrays([old, pa.array(new, pa.binary())]).take(pa.array(position))

        def counted(old: Ints, new: list[int]) -> Ints:
            return np.concatenate([old, np.array(new, np.int64)])[position]

        exact = np.zeros(len(self.nulls), np.bool_)
        exact[at] = True
        ranges = list(known.values())
        return ColumnBounds(
            self.iceberg_type,
            patched(self.lower, [r.lower for r in ranges]),
            patched(self.upper, [r.upper for r in ranges]),
            self.lower_exact | exact,
            self.upper_exact | exact,
            counted(self.nulls, [r.nulls for r in ranges]),
            self.nans,  # Parquet footers do not count NaN
            counted(self.values, [r.values for r in ranges]),
        )

    def take(self, at: Ints) -> ColumnBounds:
        """The bounds of some files, by position."""
        rows = pa.array(at)
        return ColumnBounds(
            self.iceberg_type,
            self.lower.take(rows),
            self.upper.take(rows),
            self.lower_exact[at],
            self.upper_exact[at],
            self.nulls[at],
            self.nans[at],
            self.values[at],
        )


class FileMetrics:
    """The per-column maps of a file list, split once so that each column costs only its own entries."""

    def __init__(self, files: pa.Table) -> None:
        self.count = files.num_rows
        self._maps = {
            name: _split(files[name])
            for name in ("lower_bounds", "upper_bounds", "null_value_counts", "nan_value_counts", "value_counts")
        }

    def column(
        self, field_id: int, iceberg_type: str, *, required: bool = False, width: int = DEFAULT_TRUNCATION
    ) -> ColumnBounds:
        """Bounds of one top-level column; ``width`` is its :func:`truncation_width`."""
        lower, upper = self._binary("lower_bounds", field_id), self._binary("upper_bounds", field_id)
        nulls = self._counts("null_value_counts", field_id)
        bounded = np.asarray(lower.is_valid()) & np.asarray(upper.is_valid())
        if required:
            nulls = np.where(bounded & (nulls < 0), 0, nulls)
        lower_exact, upper_exact = bounded, bounded
        if truncated(iceberg_type):
            text = _kind(iceberg_type) == "string"
            same = bounded & np.asarray(pc.fill_null(pc.equal(lower, upper), False))
            # A carry at a 0xff byte shortens a raised binary bound: up to three such bytes are allowed for.
            lower_exact = same | bounded & (_characters(lower, text) < width)
            upper_exact = same | bounded & (_characters(upper, text) < (width if text else width - 3))
        nans = self._counts("nan_value_counts", field_id)
        values = self._counts("value_counts", field_id)
        return ColumnBounds(iceberg_type, lower, upper, lower_exact, upper_exact, nulls, nans, values)

    def _counts(self, name: str, field_id: int) -> Ints:
        rows, items = self._entries(name, field_id)
        counts = np.full(self.count, -1, np.int64)
        counts[rows] = np.asarray(items.fill_null(-1))
        return counts

    def _binary(self, name: str, field_id: int) -> pa.BinaryArray:
        rows, items = self._entries(name, field_id)
        at = np.full(self.count, -1, np.int64)
        at[rows] = np.arange(len(rows))
        return items.take(pa.array(at, mask=at < 0))

    def _entries(self, name: str, field_id: int) -> tuple[Ints, Any]:
        parents, keys, items = self._maps[name]
        begin, end = np.searchsorted(keys, [field_id, field_id + 1])
        return parents[begin:end], items.slice(begin, end - begin)


def _split(column: pa.ChunkedArray) -> tuple[Ints, npt.NDArray[np.int32], Any]:
    """Row number, key and item of each entry of a map column, in order of the keys."""
    maps = column.combine_chunks()
    lists = pc.cast(maps, pa.list_(pa.struct([maps.type.key_field, maps.type.item_field])))
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0))
    entries = pc.list_flatten(lists)
    keys = np.asarray(entries.field(0))
    order = np.argsort(keys, kind="stable")
    parents = np.repeat(np.arange(len(maps), dtype=np.int64), lengths)
    return parents[order], keys[order], entries.field(1).take(pa.array(order))


def _kind(iceberg_type: str) -> str:
    return re.split(r"[\[(<]", iceberg_type, maxsplit=1)[0].strip()


def decode(values: pa.BinaryArray, iceberg_type: str) -> pa.Array:
    """Comparable form of single-value binaries: int64, or binary that compares byte by byte. Unreadable ones are null.

    Floats become integers in Iceberg's total order, but with one zero: Parquet's statistics do not tell -0.0 from
    0.0, so neither can a bound that was made from them. A NaN bound says nothing and becomes null. Bounds of
    promoted columns may still be in the narrower form.
    """
    kind = _kind(iceberg_type)
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


def _characters(values: pa.BinaryArray, text: bool) -> Ints:
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
