"""Give Arrow data the exact types and names of a table's files, without copying where the bytes already agree."""

from __future__ import annotations

import pyarrow as pa

from lakeopt.model.scan import FIELD_ID


def file_schema(schema: pa.Schema) -> pa.Schema:
    """A table's schema as its files are written: 32-bit offsets, UTC, field ids and no other metadata."""
    return pa.schema([_file_field(field) for field in schema])


def _file_field(field: pa.Field) -> pa.Field:
    field_id = (field.metadata or {}).get(FIELD_ID)
    metadata = {FIELD_ID: field_id} if field_id is not None else None
    return pa.field(field.name, _file_type(field.type), field.nullable, metadata)


def _file_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, "UTC")
    if pa.types.is_struct(kind):
        return pa.struct([_file_field(kind.field(i)) for i in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(_file_field(kind.key_field), _file_field(kind.item_field))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_file_field(kind.value_field))
    return kind


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with the schema's names and types, columns and struct fields taken by position.

    Dictionary-encoded strings stay encoded: the writer takes their dictionary as it is.

    :raises pyarrow.ArrowInvalid: a value does not fit, e.g. bytes of another length than a fixed type's.
    """
    columns, fields = [], []
    for column, field in zip(batch.columns, schema, strict=True):
        encoded = pa.types.is_dictionary(column.type) and column.type.value_type == field.type
        columns.append(column if encoded else conform_array(column, field.type))
        fields.append(field.with_type(column.type) if encoded else field)
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def conform_array(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """One array with exactly the given type; fields of structs are taken by position.

    >>> conform_array(pa.array([b"ab", None]), pa.binary(2)).type
    FixedSizeBinaryType(fixed_size_binary[2])
    """
    if array.type == kind and not pa.types.is_nested(kind):
        return array
    if isinstance(array.type, pa.BaseExtensionType):
        return conform_array(array.storage, kind) if not isinstance(kind, pa.BaseExtensionType) else array.cast(kind)
    if pa.types.is_nested(kind):
        return _conform_nested(array, kind)
    return array.cast(kind)


def _conform_nested(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """Other children under the same offsets and null slots."""
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        children = [conform_array(array.field(i), field.type) for i, field in enumerate(fields)]
        return pa.StructArray.from_arrays(children, fields=fields, mask=array.is_null() if array.null_count else None)
    if pa.types.is_map(kind):
        pair = [conform_array(array.keys, kind.key_type), conform_array(array.items, kind.item_type)]
        values = pa.StructArray.from_arrays(pair, fields=[kind.key_field, kind.item_field])
    else:
        values = conform_array(array.values, kind.value_type)
    return pa.Array.from_buffers(kind, len(array), array.buffers()[:2], array.null_count, array.offset, [values])
