"""Cut points: values that divide a column into ranges. A row's place is the number of cut points that are not above it.

A plan carries them as text, so that a row's place is a pure function of the plan and of its values: no random salt and
no engine's hash, by which a retried task would lose rows or double them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.errors import UsageError
from lakeopt.keys.boundaries import Boundaries, Places, Side, is_numeric, numbers
from lakeopt.keys.comparable import comparable


def to_text(values: pa.Array) -> tuple[str | None, ...]:
    """Cut points as text, null as none. Binary, fixed and uuid values are in hexadecimal digits.

    >>> to_text(pa.array([1.5, float("nan")])), to_text(pa.array([b"\\x0a"]))
    (('1.5', 'nan'), ('0a',))
    """
    stored = values.storage if isinstance(values, pa.ExtensionArray) else values
    if _is_binary(stored.type):
        return tuple(None if value is None else value.hex() for value in stored.to_pylist())
    return tuple(stored.cast(pa.string()).to_pylist())


def from_text(texts: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    """Cut points from their text, in the storage type of ``kind``. Inverse of :func:`to_text`.

    >>> from_text(["1", "3"], pa.int32()).to_pylist()
    [1, 3]

    :raises UsageError: a text is no value of this type.
    """
    stored = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    try:
        if _is_binary(stored):
            return pa.array([None if text is None else bytes.fromhex(text) for text in texts], stored)
        if pa.types.is_time(stored):
            moments = [None if text is None else f"1970-01-01 {text}" for text in texts]
            return pa.array(moments, pa.string()).cast(pa.timestamp(stored.unit)).cast(stored)
        return pa.array(texts, pa.string()).cast(stored)
    except (pa.ArrowInvalid, ValueError) as error:
        raise UsageError(f"a cut point is no {kind}: {error}", hint="make a new plan") from error


def quantiles(values: pa.Array, ranges: int) -> pa.Array:
    """Cut points that divide the values into ``ranges`` ranges of as many rows each, nulls left out.

    A value that many rows share is cut at once more for each range that it fills: what lies above it is then placed
    higher by as much.

    >>> quantiles(pa.array([1, 2, 2, 2, 3, 4, 5, 6]), 4).to_pylist()
    [2, 3, 5]
    """
    ordered = comparable(values)
    rows = pc.array_sort_indices(ordered).to_numpy()[: len(values) - values.null_count]
    if not len(rows):
        return values.slice(0, 0)
    at = np.arange(1, ranges) * len(rows) // ranges
    return values.take(pa.array(rows[at]))


def divides_evenly(values: pa.Array, cuts: pa.Array, tolerance: float) -> bool:
    """Whether each cut point is at most this share of all rows away from where it would divide them evenly.

    >>> cuts = pa.array([2, 4, 6])
    >>> [divides_evenly(pa.array(range(start, start + 8)), cuts, 0.2) for start in (0, 20)]
    [True, False]
    """
    values, count = values.drop_null(), len(cuts)
    if not len(values) or not count:
        return len(values) == count == 0
    bounds = Boundaries(cuts)
    below = np.cumsum(np.bincount(bounds.places(values), minlength=count + 1))[:count] / len(values)
    up_to = np.cumsum(np.bincount(bounds.places(values, "left"), minlength=count + 1))[:count] / len(values)
    even = np.arange(1, count + 1) / (count + 1)
    return bool(np.maximum(below - even, even - up_to).max() <= tolerance)


def codes(values: pa.Array) -> tuple[Places, pa.Array]:
    """Places of the values among the different ones, and these in ascending order, null first if there is one.

    >>> numbers, different = codes(pa.array(["b", None, "a", "b"]))
    >>> numbers.tolist(), different.to_pylist()
    ([2, 0, 1, 2], [None, 'a', 'b'])
    """
    ordered = comparable(values)
    null = values.is_null().to_numpy(zero_copy_only=False)
    if is_numeric(ordered.type):
        ordered = pa.array(numbers(ordered), mask=null)
    ranks = np.asarray(pc.rank(ordered, tiebreaker="dense")).astype(np.int64)
    ranks = np.where(null, 0, ranks - (not values.null_count))
    return ranks, values.take(pa.array(np.unique(ranks, return_index=True)[1]))


def are_ascending(*columns: pa.Array) -> bool:
    """Whether rows of these columns are in the spec's order, ties allowed and null first.

    >>> are_ascending(pa.array(["a", "b", "b"]), pa.array([7, None, 3])), are_ascending(pa.array([2, 1]))
    (True, False)
    """
    numbered = [codes(column)[0] for column in columns]
    order = np.lexsort(numbered[::-1])
    return bool((order == np.arange(len(order))).all())


def ascending(values: pa.Array) -> pa.Array:
    """The values in the spec's order.

    >>> ascending(pa.array([0.0, float("nan"), -0.0])).to_pylist()
    [-0.0, 0.0, nan]
    """
    return values.take(pc.array_sort_indices(comparable(values)))


def places(values: pa.Array, cuts: pa.Array, side: Side = "right") -> Places:
    """Number of cut points (ascending) that are not above each value; null is below all of them.

    With ``side`` ``left``: of those below it.

    >>> places(pa.array([0, 2, None, 9]), pa.array([2, 2, 5])).tolist()
    [0, 2, 0, 3]
    """
    return Boundaries(cuts).places(values, side)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind))
