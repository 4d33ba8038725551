"""How rows become Parquet: pyarrow's writer with a table's own settings, and what it does not count (NaN)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.errors import DataFileError
from lakeopt.model.scan import FIELD_ID, WriterOptions
from lakeopt.parquet.bloom_filters import bloom_filter_arguments
from lakeopt.parquet.stitch import EncodedRowGroup

SortKey = Sequence[tuple[str, bool, bool]]


def encode(
    rows: pa.Table,
    options: WriterOptions,
    *,
    sort: SortKey = (),
    plain: Collection[str] = (),
    decimals_as_integers: bool = True,
) -> EncodedRowGroup:
    """Encode rows as one row group: data pages v1, page index, statistics of all columns, decimals as integers up
    to 18 digits, or all as bytes.

    Columns that ``options`` names no encoding for get a dictionary, save those in ``plain``. Byte-stream-split is
    never used: Spark's vectorised reader cannot read it. Columns in ``options.bloom_filters`` get one.

    :raises DataFileError: a required column holds nulls.
    """
    rows = _dense(rows, options)
    encodings = dict.fromkeys(plain, "plain") | dict(options.encodings)
    sink = pa.BufferOutputStream()
    try:
        with pq.ParquetWriter(
            sink,
            rows.schema,
            write_page_index=True,
            sorting_columns=sorting_columns(rows.schema, sort) or None,
            bloom_filter_options=bloom_filter_arguments(rows.schema, options, rows.num_rows),
            **(writer_arguments(rows, options, encodings) | {"store_decimal_as_integer": decimals_as_integers}),
        ) as writer:
            writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
    except pa.ArrowInvalid as error:
        if "non-nullable" in str(error):
            raise DataFileError(f"a required column holds nulls: {error}") from error
        raise
    return EncodedRowGroup.parse(sink.getvalue())


def writer_arguments(
    rows: pa.Table, options: WriterOptions, encodings: Mapping[str, str], *, widest: float | None = None
) -> dict[str, Any]:
    """How pyarrow is told to encode these rows; ``encodings`` by top-level column, where not a dictionary.

    ``widest`` is :func:`widest_bytes` of the rows that these are only some columns of.
    """
    fixed = {name: encoding for name, encoding in encodings.items() if encoding != "dictionary"}
    dictionary: bool | list[str] = _dictionary_leaves(rows.schema, fixed) if fixed else True
    return {
        "compression": options.codec,
        "compression_level": options.level,
        "use_dictionary": dictionary or False,
        "column_encoding": {n: _PARQUET_NAMES[e] for n, e in fixed.items() if n in rows.schema.names and e != "plain"}
        or None,
        "dictionary_pagesize_limit": options.dictionary_bytes,
        "data_page_size": options.page_bytes,
        "max_rows_per_page": options.page_rows,
        "write_batch_size": _write_batch(widest_bytes(rows) if widest is None else widest, options),
        "store_decimal_as_integer": True,
        "store_schema": False,
    }


#: Encodings by their names in the Parquet format.
_PARQUET_NAMES = {
    "delta-binary-packed": "DELTA_BINARY_PACKED",
    "delta-length-byte-array": "DELTA_LENGTH_BYTE_ARRAY",
    "delta-byte-array": "DELTA_BYTE_ARRAY",
}


def possible_encodings(kind: pa.DataType) -> tuple[str, ...]:
    """Encodings that a column of this type can be written in, the default first. Nested ones keep the default.

    >>> possible_encodings(pa.int64())
    ('dictionary', 'plain', 'delta-binary-packed')
    """
    if pa.types.is_nested(kind) or pa.types.is_null(kind) or isinstance(kind, pa.BaseExtensionType):
        return ("dictionary",)
    if pa.types.is_boolean(kind):
        return ("plain",)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        return ("dictionary", "plain", "delta-length-byte-array", "delta-byte-array")
    if pa.types.is_floating(kind) or pa.types.is_fixed_size_binary(kind):
        return ("dictionary", "plain")
    if pa.types.is_decimal(kind) and kind.precision > 18:
        return ("dictionary", "plain")
    return ("dictionary", "plain", "delta-binary-packed")


def _dense(rows: pa.Table, options: WriterOptions) -> pa.Table:
    """Rows whose columns with an encoding of their own hold values, not references into a dictionary."""
    for position, column in enumerate(rows.columns):
        if (
            pa.types.is_dictionary(column.type)
            and options.encodings.get(rows.schema.names[position]) not in _DICTIONARY
        ):
            values = column.cast(column.type.value_type)
            rows = rows.set_column(position, rows.schema.field(position).with_type(values.type), values)
    return rows


_DICTIONARY = (None, "dictionary")


def widest_bytes(rows: pa.Table) -> float:
    """Bytes in memory that a value of the widest column takes on average.

    >>> widest_bytes(pa.table({"a": pa.array([1, 2], pa.int8()), "b": pa.array([1, 2], pa.int64())}))
    8.0
    """
    return float(max((column.nbytes for column in rows.columns), default=0) / max(rows.num_rows, 1))


def _write_batch(widest: float, options: WriterOptions) -> int:
    """Rows between two looks at the page size: a page's rows, fewer where one row is wide."""
    return int(min(options.page_rows, max(1, options.page_bytes // max(widest, 1))))


def _dictionary_leaves(schema: pa.Schema, plain: Collection[str]) -> list[str]:
    """Dotted paths, as pyarrow wants them, of the leaf columns that may have a dictionary."""
    return [path for field in schema if field.name not in plain for path in _leaf_paths(field.name, field.type)]


def _leaf_paths(path: str, kind: pa.DataType) -> list[str]:
    if pa.types.is_struct(kind):
        inner = [(kind.field(i).name, kind.field(i).type) for i in range(kind.num_fields)]
    elif pa.types.is_map(kind):
        inner = [("key_value.key", kind.key_type), ("key_value.value", kind.item_type)]
    elif pa.types.is_list(kind):
        inner = [("list.element", kind.value_type)]
    else:
        return [path]
    return [leaf for name, own in inner for leaf in _leaf_paths(f"{path}.{name}", own)]


def sorting_columns(schema: pa.Schema, sort: SortKey) -> list[pq.SortingColumn]:
    """The key as a Parquet footer says it, by the number of the leaf column."""
    first_leaf = dict(zip(schema.names, _leaf_starts(schema), strict=True))
    return [pq.SortingColumn(first_leaf[name], not ascending, first) for name, ascending, first in sort]


def _leaf_starts(schema: pa.Schema) -> list[int]:
    return [0, *np.cumsum([_leaf_count(field.type) for field in schema]).tolist()][: len(schema)]


def _leaf_count(kind: pa.DataType) -> int:
    if pa.types.is_struct(kind):
        return sum(_leaf_count(kind.field(i).type) for i in range(kind.num_fields))
    if pa.types.is_map(kind):
        return _leaf_count(kind.key_type) + _leaf_count(kind.item_type)
    return _leaf_count(kind.value_type) if pa.types.is_list(kind) else 1


def nan_counts(batch: pa.RecordBatch) -> dict[int, int]:
    """Number of NaN by field id, for every float leaf at any depth."""
    counts: dict[int, int] = {}
    for column, field in zip(batch.columns, batch.schema, strict=True):
        _count_nan(column, field, counts)
    return counts


def _count_nan(column: pa.Array, field: pa.Field, counts: dict[int, int]) -> None:
    kind = field.type
    if not _holds_floats(kind):
        return
    if pa.types.is_floating(kind):
        values = column.drop_null() if column.null_count else column
        field_id = int(field.metadata[FIELD_ID])
        counts[field_id] = counts.get(field_id, 0) + int(np.isnan(values.to_numpy(zero_copy_only=False)).sum())
    elif pa.types.is_struct(kind):
        for child, own in zip(column.flatten(), [kind.field(i) for i in range(kind.num_fields)], strict=True):
            _count_nan(child, own, counts)
    elif pa.types.is_map(kind):
        for values, own in ((column.keys, kind.key_field), (column.items, kind.item_field)):
            _count_nan(_as_list(column, values).flatten(), own, counts)
    elif pa.types.is_list(kind):
        _count_nan(column.flatten(), kind.value_field, counts)


def _holds_floats(kind: pa.DataType) -> bool:
    if pa.types.is_nested(kind):
        return any(_holds_floats(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_floating(kind))


def _as_list(column: pa.MapArray, values: pa.Array) -> pa.ListArray:
    """The keys or the items of maps as lists; Arrow flattens lists with regard to slices and nulls, maps not."""
    kind = pa.list_(values.type)
    return pa.Array.from_buffers(kind, len(column), column.buffers()[:2], column.null_count, column.offset, [values])
