"""What an Arrow array holds, whatever its physical form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types as is_


def children(type_: pa.DataType) -> list[pa.Field]:
    """Child fields in Iceberg's sense: fields of a struct, element of a list, key and value of a map.

    >>> [field.name for field in children(pa.map_(pa.string(), pa.int32()))], children(pa.int32())
    (['key', 'value'], [])
    """
    if is_.is_struct(type_):
        return list(type_)
    if is_.is_map(type_):
        return [type_.key_field, type_.item_field]
    if is_.is_list(type_) or is_.is_large_list(type_):
        return [type_.value_field]
    return []


def storage_type(type_: pa.DataType) -> pa.DataType:
    """The type itself, or what an extension type such as uuid is stored as."""
    return type_.storage_type if isinstance(type_, pa.BaseExtensionType) else type_


def storage(array: pa.Array) -> pa.Array:
    """The array itself, or what an array of an extension type is stored as."""
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def window(array: pa.Array) -> tuple[np.ndarray[Any, Any], pa.Array]:
    """Of a list or map array: offsets from zero, and the child values they span (a slice shares its whole child)."""
    offsets = array.offsets.to_numpy(zero_copy_only=False)
    return offsets - offsets[0], array.values.slice(offsets[0], offsets[-1] - offsets[0])


def bits(array: pa.Array) -> pa.Array:
    """Floats as integers of their bits, every NaN as one, -0.0 apart from 0.0; other arrays as they are.

    >>> bits(pa.array([0.0, -0.0], pa.float32())).to_pylist()
    [0, -2147483648]
    """
    if not is_.is_floating(array.type):
        return array
    integer = {32: pa.int32(), 64: pa.int64()}[array.type.bit_width]
    nan = pc.is_nan(array)
    if pc.any(nan).as_py():
        array = pc.if_else(nan, pa.scalar(float("nan"), array.type), array)
    return array.view(integer)


def by_id_order(ids: list[int | None], names: list[str]) -> list[int]:
    """Positions of fields in order of their ids; those without an id last, by name.

    >>> by_id_order([7, None, 2], ["a", "b", "c"])
    [2, 0, 1]
    """
    return sorted(range(len(ids)), key=lambda place: (ids[place] is None, ids[place] or 0, names[place]))
