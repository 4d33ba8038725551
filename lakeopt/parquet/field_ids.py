"""Match the columns of a Parquet file to the columns of a table by field id, at every depth.

Names never decide: a file written before a rename, a drop, an addition or a promotion yields the rows that
the table's current schema says (Iceberg spec, "Column Projection").
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import types as is_

from lakeopt.errors import DataFileError
from lakeopt.model.scan import FIELD_ID
from lakeopt.parquet.values import children, storage, storage_type, window

#: Families of types between whose members values pass unchanged, or fail (a cast never rounds or wraps).
_FAMILIES = (
    ("integer", is_.is_integer),
    ("float", is_.is_floating),
    ("decimal", is_.is_decimal),
    ("boolean", is_.is_boolean),
    ("date", is_.is_date),
    ("time", is_.is_time),
    ("timestamp", is_.is_timestamp),
    ("bytes", is_.is_string),
    ("bytes", is_.is_large_string),
    ("bytes", is_.is_string_view),
    ("bytes", is_.is_binary),
    ("bytes", is_.is_large_binary),
    ("bytes", is_.is_binary_view),
    ("bytes", is_.is_fixed_size_binary),
    ("list", is_.is_list),
    ("list", is_.is_large_list),
    ("map", is_.is_map),
    ("struct", is_.is_struct),
    ("null", is_.is_null),
)
#: Changes of family that the Iceberg spec allows.
_PROMOTIONS = {("date", "timestamp")}


def field_id(field: pa.Field) -> int | None:
    """Id of a field, or None for a field that a writer without ids left.

    >>> field_id(pa.field("a", pa.int32(), metadata={FIELD_ID: b"7"})), field_id(pa.field("a", pa.int32()))
    (7, None)
    """
    text = (field.metadata or {}).get(FIELD_ID)
    return None if text is None else int(text)


def with_id(field: pa.Field, number: int | None) -> pa.Field:
    """The field with this id, or with none."""
    return field.with_metadata(None if number is None else {FIELD_ID: str(number).encode()})


def has_ids(fields: Iterable[pa.Field]) -> bool:
    """Whether any of these fields carries an id."""
    return any(field_id(field) is not None for field in fields)


def lacking(target: pa.Field, fields: Iterable[pa.Field]) -> None:
    """Check that fields which do not have the target's id really lack it.

    :raises DataFileError: one has the target's name and no id, though others have: it would be read as nulls.
    """
    if any(field.name == target.name and field_id(field) is None for field in fields):
        raise DataFileError(
            f"column {target.name!r} has no field id, though others have",
            hint="the file was written by a faulty writer",
        )


def map_names(fields: Iterable[pa.Field], mapping: Sequence[Mapping[str, Any]]) -> list[pa.Field]:
    """Fields of an id-less file with the ids that a name mapping gives them (``schema.name-mapping.default``).

    List elements, map keys and map values are known to a mapping as ``element``, ``key`` and ``value``.
    """
    by_name = {name: entry for entry in mapping for name in entry.get("names", ())}
    return [_map_field(field, by_name.get(field.name)) for field in fields]


def _map_field(field: pa.Field, entry: Mapping[str, Any] | None) -> pa.Field:
    inner = (entry or {}).get("fields", ())
    parts = children(field.type)
    if is_.is_struct(field.type):
        field = field.with_type(pa.struct(map_names(parts, inner)))
    elif parts:
        names = ("key", "value") if is_.is_map(field.type) else ("element",)
        mapped = map_names([part.with_name(name) for part, name in zip(parts, names, strict=True)], inner)
        if is_.is_map(field.type):
            field = field.with_type(pa.map_(mapped[0], mapped[1]))
        else:
            field = field.with_type((pa.large_list if is_.is_large_list(field.type) else pa.list_)(mapped[0]))
    return with_id(field, None if entry is None else entry.get("field-id"))


def conform(
    array: pa.Array, source: pa.Field, target: pa.Field, defaults: Mapping[int, Any], *, encoded: bool = False
) -> pa.Array:
    """An array of a file's field in the type of the table's field; child fields are found by id.

    ``encoded`` lets a string or binary array that is already dictionary-coded, or has other offset widths,
    pass as it is: equal values, cheaper.

    :raises DataFileError: the file's type cannot hold this column's values, or a value would be changed.
    """
    if array.type.equals(target.type, check_metadata=True):  # ids that a name mapping gives are not the array's yet
        return array
    array = storage(array)
    if is_.is_dictionary(array.type):
        if encoded and _family(array.type.value_type) == _family(target.type):
            return array
        array = array.dictionary_decode()
    stored = storage_type(target.type)
    have, want = _family(array.type), _family(stored)
    if have == "null":
        return pa.nulls(len(array), target.type)
    if have != want and (have, want) not in _PROMOTIONS:
        raise DataFileError(
            f"column {target.name!r} is {array.type} in the file, which cannot be read as {target.type}",
            hint="the file was not written for this table's schema",
        )
    if want == "struct":
        return _struct(array, source, target, defaults, encoded)
    if want == "list":
        return _list(array, source, target, defaults, encoded)
    if want == "map":
        return _map(array, source, target, defaults, encoded)
    return _cast(array, target, stored, encoded and _by_offsets(array.type) and _by_offsets(stored))


def constant(length: int, target: pa.Field, defaults: Mapping[int, Any]) -> pa.Array:
    """The column that a file lacks: its default (or partition value) if there is one, else nulls.

    :raises DataFileError: a required column is missing and has no default.
    """
    number = field_id(target)
    if number is None or number not in defaults:
        if not target.nullable:
            raise DataFileError(f"required column {target.name!r} is not in the file", hint="the file is damaged")
        return pa.nulls(length, target.type)
    value = defaults[number]
    value = value.bytes if isinstance(value, uuid.UUID) else value
    array = pa.repeat(pa.scalar(value, storage_type(target.type)), length)
    return _wrapped(array, target)


def _family(type_: pa.DataType) -> str:
    return next((family for family, holds in _FAMILIES if holds(type_)), str(type_))


def _by_offsets(type_: pa.DataType) -> bool:
    """Whether it is a string or binary type with offsets, as all of Arrow's kernels take it (views they do not)."""
    return any(holds(type_) for holds in (is_.is_string, is_.is_large_string, is_.is_binary, is_.is_large_binary))


def _wrapped(array: pa.Array, target: pa.Field) -> pa.Array:
    extension = isinstance(target.type, pa.BaseExtensionType)
    return pa.ExtensionArray.from_storage(target.type, array) if extension else array


def _cast(array: pa.Array, target: pa.Field, stored: pa.DataType, as_it_is: bool) -> pa.Array:
    if array.type != stored and not as_it_is:
        try:
            array = array.cast(stored)
        except pa.ArrowException as error:
            raise DataFileError(
                f"column {target.name!r}: {error}", hint="the file holds values out of range"
            ) from error
    return _wrapped(array, target)


def _struct(
    array: pa.StructArray, source: pa.Field, target: pa.Field, defaults: Mapping[int, Any], encoded: bool
) -> pa.Array:
    positions = {field_id(field): position for position, field in enumerate(source.type)}
    parts = []
    for field in target.type:
        position = positions.get(field_id(field))
        if position is None:
            lacking(field, source.type)
            parts.append(constant(len(array), field, defaults))
        else:
            parts.append(conform(array.field(position), source.type.field(position), field, defaults, encoded=encoded))
    fields = [field.with_type(part.type) for field, part in zip(target.type, parts, strict=True)]
    mask = array.is_null() if array.null_count else None
    if not fields:
        return array.cast(target.type)
    return pa.StructArray.from_arrays(parts, fields=fields, mask=mask)


def _list(array: pa.Array, source: pa.Field, target: pa.Field, defaults: Mapping[int, Any], encoded: bool) -> pa.Array:
    offsets, values = window(array)
    inner = target.type.value_field
    values = conform(values, source.type.value_field, inner, defaults, encoded=encoded)
    large = is_.is_large_list(target.type)
    kind, width = (pa.LargeListArray, pa.int64()) if large else (pa.ListArray, pa.int32())
    type_ = (pa.large_list if large else pa.list_)(inner.with_type(values.type))
    return kind.from_arrays(pa.array(offsets, width), values, type=type_, mask=_mask(array))


def _map(
    array: pa.MapArray, source: pa.Field, target: pa.Field, defaults: Mapping[int, Any], encoded: bool
) -> pa.Array:
    offsets, entries = window(array)
    fields = children(source.type), children(target.type)
    keys, items = (conform(entries.field(i), fields[0][i], fields[1][i], defaults, encoded=encoded) for i in range(2))
    type_ = pa.map_(fields[1][0].with_type(keys.type), fields[1][1].with_type(items.type))
    return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), keys, items, type=type_, mask=_mask(array))


def _mask(array: pa.Array) -> pa.Array | None:
    return array.is_null() if array.null_count else None
