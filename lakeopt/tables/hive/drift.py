"""Files whose columns are not those of their table: which readers take them, and which a rewrite would harm.

Hive and Spark find a column by its name in whatever case. A column that a file lacks is null; one that the table does
not name is not read, but a rewrite would lose it, and a column that is named again would show it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyarrow import types as is_

#: Codes, as findings name them.
CHANGED, EXTRA, MISSING = "changed-types", "extra-columns", "missing-columns"

_WIDTHS = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 2, "uint16": 4, "uint32": 8}


def drift(
    table: Sequence[pa.Field], held: Sequence[pa.Field], *, by_position: bool = False
) -> Iterator[tuple[str, str]]:
    """What differs, as code and words. ``by_position`` is for ORC files that name their columns ``_col0`` and so on."""
    if by_position and held and all(part.name == f"_col{i}" for i, part in enumerate(held)):
        held = [part.with_name(column.name) for part, column in zip(held, table, strict=False)] + list(
            held[len(table) :]
        )
    known = {column.name.lower(): column for column in table}
    counts = Counter(part.name.lower() for part in held)
    for part in held:
        column = known.get(part.name.lower())
        if counts[part.name.lower()] > 1:
            yield CHANGED, f"two columns are named {part.name}, but for case"
        elif column is None:
            yield EXTRA, f"a file has a column {part.name}, which the table has not"
        else:
            yield from _type_drift(part.name, column.type, part.type)
    for name, column in known.items():
        if name not in counts:
            yield MISSING, f"a file lacks the column {column.name}"


def _type_drift(name: str, wanted: pa.DataType, held: pa.DataType) -> Iterator[tuple[str, str]]:
    if is_.is_struct(wanted) and is_.is_struct(held):
        for code, words in drift(list(wanted), list(held)):
            yield code, f"{words} (in {name})"
    elif is_.is_map(wanted) and is_.is_map(held):
        yield from _type_drift(f"{name}.key", wanted.key_type, held.key_type)
        yield from _type_drift(f"{name}.value", wanted.item_type, held.item_type)
    elif is_.is_list(wanted) and (is_.is_list(held) or is_.is_large_list(held)):
        yield from _type_drift(f"{name}.element", wanted.value_type, held.value_type)
    elif not is_read(wanted, held):
        yield CHANGED, f"a file holds {name} as {held}, the table has {wanted}"


def is_read(wanted: pa.DataType, held: pa.DataType) -> bool:
    """Whether values of a file's plain type are values of the column's type, unchanged.

    >>> is_read(pa.int64(), pa.int32()), is_read(pa.int32(), pa.int64()), is_read(pa.string(), pa.int32())
    (True, False, False)
    """
    if held == wanted:
        return True
    if is_.is_dictionary(held):
        return is_read(wanted, held.value_type)
    if is_.is_integer(wanted):
        return _WIDTHS.get(str(held), 99) <= _WIDTHS[str(wanted)]
    if is_.is_float64(wanted):
        return bool(is_.is_float32(held))
    if is_.is_decimal(wanted):
        return bool(is_.is_decimal(held)) and held.scale == wanted.scale and held.precision <= wanted.precision
    if is_.is_timestamp(wanted):
        return bool(is_.is_timestamp(held))
    if is_.is_string(wanted):
        return bool(is_.is_large_string(held) or is_.is_string_view(held) or is_.is_binary(held))
    return bool(is_.is_binary(wanted) and (is_.is_large_binary(held) or is_.is_fixed_size_binary(held)))
