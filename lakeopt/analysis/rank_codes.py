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

from lakeopt.analysis.text_ranks import text_ranks
from lakeopt.keys.comparable import comparable_column

Unsigned = npt.NDArray[np.unsignedinteger]

#: Integers within such a range are ranked by marking which occur.
_NARROW = 65_536
#: Text is sampled to learn whether nearly all values differ, where there are so many rows.
_MANY, _SAMPLE, _NEARLY_ALL = 100_000, 8_192, 0.7
#: Seconds a row that ranking takes on two slow cores, of text of which nearly all values differ and of anything else.
_UNIQUE_SECONDS, _SECONDS = 6e-7, 5e-8
#: Composite keys are packed into 64-bit integers as long as their value space stays below this.
_PACKED_SPACE = 2**63
#: Up to so many different keys are sorted stably by counting.
_RADIX = 65_536


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


def rank_codes(column: pa.ChunkedArray) -> RankCodes:
    """Dense ranks of a sortable column, in Iceberg's ascending order, nulls first.

    >>> rank_codes(pa.chunked_array([["b", None, "a", "b"]])).codes.tolist()
    [2, 0, 1, 2]
    """
    if pa.types.is_null(column.type):
        return RankCodes(np.zeros(len(column), np.uint8), min(len(column), 1), len(column) > 0)
    values = _one_array(comparable_column(column))
    ranked = _ranked_integers(values) or _ranked_text(values) or _ranked_by_dictionary(values)
    if not values.null_count:
        ranks, different = ranked
        return RankCodes(ranks.astype(_smallest(different)), different, False)
    ranks, different = ranked
    codes = np.zeros(len(values), _smallest(different + 1))
    codes[pc.is_valid(values).to_numpy(zero_copy_only=False)] = ranks + 1
    return RankCodes(codes, different + 1, True)


#: Ranks of the values that are not null, and how many of them differ.
_Ranked = tuple[npt.NDArray[np.int64], int]


def _smallest(codes: int) -> np.dtype[np.unsignedinteger]:
    return np.min_scalar_type(max(codes - 1, 0))


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _ranked_integers(values: pa.Array) -> _Ranked | None:
    """Ranks of numbers that lie close together, by marking which occur; None for others."""
    numbers = _integers(values)
    if numbers is None or not len(numbers):
        return None
    low, high = int(numbers.min()), int(numbers.max())
    if high - low > max(_NARROW, 4 * len(numbers)):
        return None
    places = (numbers - low).astype(np.int64)
    occurs = np.zeros(high - low + 1, bool)
    occurs[places] = True
    ranks = np.cumsum(occurs) - 1
    return ranks[places], int(ranks[-1]) + 1


def _integers(values: pa.Array) -> npt.NDArray[np.int64] | None:
    """The values that are not null as integers that compare alike; None where they are none."""
    kind = values.type
    if pa.types.is_decimal128(kind) and kind.precision <= 18:
        # The low half of the 16 bytes of each value.
        held = values.drop_null() if values.null_count else values
        halves: npt.NDArray[np.int64] = np.frombuffer(held.buffers()[1], np.int64)
        return halves[2 * held.offset : 2 * (held.offset + len(held)) : 2]
    if pa.types.is_integer(kind) or pa.types.is_temporal(kind):
        held = values.drop_null() if values.null_count else values
        integer = kind if pa.types.is_integer(kind) else pa.int64() if kind.bit_width == 64 else pa.int32()
        numbers: npt.NDArray[np.int64] = held.view(integer).to_numpy()
        return numbers
    return None


def _ranked_text(values: pa.Array) -> _Ranked | None:
    """Ranks of text of which nearly each value is different; None of other values."""
    return text_ranks(values.drop_null() if values.null_count else values) if _is_nearly_unique(values) else None


def _is_nearly_unique(values: pa.Array | pa.ChunkedArray) -> bool:
    """Whether nearly each value of much text is different."""
    if len(values) < _MANY or not _is_text(values.type):
        return False
    sample = values.take(pa.array(np.linspace(0, len(values) - 1, _SAMPLE).astype(np.int64)))
    return bool(pc.count_distinct(sample).as_py() >= _SAMPLE * _NEARLY_ALL)


def ranking_seconds(values: pa.Array) -> float:
    """About how long :func:`rank_codes` takes: long where nearly each text is different.

    >>> ranking_seconds(pa.array([1, 2])) < 0.001
    True
    """
    return len(values) * (_UNIQUE_SECONDS if _is_nearly_unique(values) else _SECONDS)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_large_binary(kind)
    )


def _ranked_by_dictionary(values: pa.Array) -> _Ranked:
    encoded = values.dictionary_encode()
    indices = encoded.indices.drop_null() if values.null_count else encoded.indices
    ranks = np.zeros(len(encoded.dictionary), np.int64)
    ranks[pc.array_sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(ranks))
    return ranks[indices.to_numpy()], len(ranks)


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
    if space <= _RADIX:
        return np.argsort(packed.astype(np.uint16), kind="stable")
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
