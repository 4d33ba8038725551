"""Rank codes: one small unsigned integer a value, that compares as the Iceberg spec compares the value itself.

Sorting by several columns then means sorting integers, and a window of an order can be recognised by its codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Unsigned = npt.NDArray[np.unsignedinteger]

#: Composite keys are packed into 64-bit integers as long as their value space stays below this.
_PACKED_SPACE = 2**63


@dataclass(frozen=True, slots=True)
class RankCodes:
    """Dense ranks of one column: equal values share a code, null is 0 where the column has nulls.

    ``cardinality`` is the number of codes, null included.
    """

    codes: Unsigned
    cardinality: int
    has_nulls: bool


def is_sortable(kind: pa.DataType) -> bool:
    """Whether a column of this type can be a sort key: no list, map or struct.

    >>> is_sortable(pa.int64()), is_sortable(pa.list_(pa.int64()))
    (True, False)
    """
    return not pa.types.is_nested(kind)


def comparable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column in a type whose Arrow comparison is Iceberg's: floats as integers, uuid as its 16 bytes.

    A float becomes the integer that the IEEE 754 total order gives it, with one NaN, which is the largest.

    >>> comparable(pa.chunked_array([[-0.0, 0.0, float("nan")]])).to_pylist()
    [-1, 0, 9221120237041090560]
    """
    if isinstance(column.type, pa.BaseExtensionType):
        return comparable(pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type))
    if pa.types.is_floating(column.type):
        bits = np.int64 if column.type.bit_width == 64 else np.int32
        chunks = [_total_order(chunk, bits) for chunk in column.chunks]
        return pa.chunked_array(chunks, pa.from_numpy_dtype(bits))
    return column


def _total_order(chunk: pa.Array, bits: type[np.int64] | type[np.int32]) -> pa.Array:
    wide = chunk if chunk.type.bit_width >= 32 else chunk.cast(pa.float32())
    values = pc.fill_null(wide, 0.0).to_numpy(zero_copy_only=False).copy()
    values[np.isnan(values)] = np.nan
    raw = values.view(bits)
    keys = np.where(raw < 0, raw ^ np.iinfo(bits).max, raw)
    return pa.array(keys, mask=chunk.is_null().to_numpy(zero_copy_only=False))


def rank_codes(column: pa.ChunkedArray) -> RankCodes:
    """Dense ranks of a sortable column, in Iceberg's ascending order, nulls first.

    >>> rank_codes(pa.chunked_array([["b", None, "a", "b"]])).codes.tolist()
    [2, 0, 1, 2]
    """
    if pa.types.is_null(column.type):
        return RankCodes(np.zeros(len(column), np.uint8), min(len(column), 1), len(column) > 0)
    encoded = comparable(column).dictionary_encode()
    if encoded.num_chunks == 0:
        return RankCodes(np.zeros(0, np.uint8), 0, False)
    dictionary = encoded.chunk(0).dictionary
    indices = pa.concat_arrays([chunk.indices for chunk in encoded.chunks])
    has_nulls = indices.null_count > 0
    cardinality = len(dictionary) + has_nulls
    # The place after the last value stands for null, and null ranks 0.
    ranks = np.zeros(len(dictionary) + 1, np.min_scalar_type(max(cardinality - 1, 0)))
    order = pc.array_sort_indices(dictionary).to_numpy()
    ranks[order] = np.arange(has_nulls, cardinality)
    positions = pc.fill_null(indices, len(dictionary)).to_numpy(zero_copy_only=False)
    return RankCodes(ranks[positions], cardinality, has_nulls)


def sorted_rows(keys: Sequence[RankCodes], count: int) -> npt.NDArray[np.int64]:
    """Row numbers in the lexicographic order of the keys; rows with equal keys keep their order.

    Key and row number are packed into one integer where they fit, since an unstable sort of integers is several
    times faster than a stable argsort; a prefix that grows too wide is replaced by its own dense ranks.

    >>> a = rank_codes(pa.chunked_array([["x", "y", "x"]]))
    >>> sorted_rows([a], 3).tolist(), sorted_rows([], 3).tolist()
    ([0, 2, 1], [0, 1, 2])
    """
    packed: npt.NDArray[np.uint64] = np.zeros(count, np.uint64)
    space = 1
    for key in keys:
        if space * key.cardinality >= _PACKED_SPACE:
            space, packed = _dense(packed)
        packed *= np.uint64(key.cardinality)
        packed += key.codes.astype(np.uint64)
        space *= key.cardinality
    if space * count >= _PACKED_SPACE:
        return np.argsort(packed, kind="stable")
    packed *= np.uint64(count)
    packed += np.arange(count, dtype=np.uint64)
    packed.sort()
    rows: npt.NDArray[np.int64] = (packed % np.uint64(max(count, 1))).astype(np.int64)
    return rows


def _dense(values: npt.NDArray[np.uint64]) -> tuple[int, npt.NDArray[np.uint64]]:
    """How many different values there are, and each as its rank among them."""
    unique, ranks = np.unique(values, return_inverse=True)
    return len(unique), ranks.astype(np.uint64)
