"""Whether values in a file's own type are the column's values, so that they can be read and written back unchanged."""

from __future__ import annotations

import pyarrow as pa
from pyarrow import types as is_

_WHOLE = {pa.int8(): 8, pa.int16(): 16, pa.int32(): 32, pa.int64(): 64}


def misfit(column: pa.Field, held: pa.DataType, name: str) -> str | None:
    """Why a column of a table cannot be read from this type, or written in it, without a loss; None if it can.

    >>> misfit(pa.field("a", pa.int32()), pa.int8(), "a")
    >>> misfit(pa.field("a", pa.int32()), pa.int64(), "a")
    'column a is int64 in files and int32 in the table'
    """
    kind = column.type
    if is_.is_struct(kind) and is_.is_struct(held):
        own, stored = ([kind.field(i).name for i in range(kind.num_fields)] for kind in (kind, held))
        if [part.lower() for part in own] != [part.lower() for part in stored]:
            return f"column {name} has other fields in files than in the table"
        parts = [(kind.field(i), held.field(i).type, f"{name}.{own[i]}") for i in range(kind.num_fields)]
    elif is_.is_map(kind) and is_.is_map(held):
        parts = [
            (kind.key_field, held.key_type, f"{name}.key"),
            (kind.item_field, held.item_type, f"{name}.value"),
        ]
    elif is_.is_list(kind) and is_.is_list(held):
        parts = [(kind.value_field, held.value_type, f"{name}.element")]
    elif _plain(kind, held):
        return None
    else:
        return f"column {name} is {held} in files and {kind} in the table"
    return next((reason for part in parts if (reason := misfit(*part))), None)


def _plain(kind: pa.DataType, held: pa.DataType) -> bool:
    if kind == held:
        return not is_.is_nested(kind)
    if kind in _WHOLE and held in _WHOLE:
        return _WHOLE[held] <= _WHOLE[kind]
    if is_.is_decimal(kind) and is_.is_decimal(held):
        return bool(kind.scale == held.scale and held.precision <= kind.precision)
    if is_.is_timestamp(kind) and is_.is_timestamp(held):
        return bool(held.unit != "ns")
    if is_.is_float64(kind):
        return bool(is_.is_float32(held))
    return bool(is_.is_string(kind) and is_.is_binary(held))
