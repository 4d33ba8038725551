"""Values of any sortable type as Arrow values whose plain comparison is the Iceberg spec's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def comparable(values: pa.Array) -> pa.Array:
    """The values in a type that compares as Iceberg does: floats as integers, uuid as its 16 bytes.

    A float becomes the integer that the IEEE 754 total order gives it, with one NaN, which is the largest.

    >>> comparable(pa.array([-0.0, 0.0, float("nan")])).to_pylist()
    [-1, 0, 9221120237041090560]
    """
    if isinstance(values, pa.ExtensionArray):
        return comparable(values.storage)
    if pa.types.is_dictionary(values.type):
        return comparable(values.dictionary_decode())
    if not pa.types.is_floating(values.type):
        return values
    bits = np.int64 if values.type.bit_width == 64 else np.int32
    wide = values if values.type.bit_width >= 32 else values.cast(pa.float32())
    numbers = pc.fill_null(wide, 0.0).to_numpy(zero_copy_only=False).copy()
    numbers[np.isnan(numbers)] = np.nan
    raw = numbers.view(bits)
    keys = np.where(raw < 0, raw ^ np.iinfo(bits).max, raw)
    return pa.array(keys, mask=values.is_null().to_numpy(zero_copy_only=False))


def comparable_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """:func:`comparable` of a column in chunks, whatever their number.

    >>> comparable_column(pa.chunked_array([[0.0], [-0.0]])).to_pylist()
    [0, -1]
    """
    chunks = [comparable(chunk) for chunk in column.chunks]
    return pa.chunked_array(chunks, chunks[0].type if chunks else comparable(pa.array([], column.type)).type)
