"""How rows become Parquet: pyarrow's writer with a table's own settings, and what it does not count (NaN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.model.scan import FIELD_ID, WriterOptions

SortKey = Sequence[tuple[str, bool, bool]]


def open_writer(
    sink: Any,
    schema: pa.Schema,
    options: WriterOptions,
    *,
    sort: SortKey = (),
    footer_metadata: Mapping[str, str] | None = None,
    dictionary: Sequence[str] | bool = True,
) -> pq.ParquetWriter:
    """A pyarrow writer: data pages v1, page index, statistics of all columns, decimals as integers up to 18 digits.

    ``dictionary`` names the leaf columns that are worth one. Byte-stream-split is never used: Spark's
    vectorised reader cannot read it.
    """
    writer = pq.ParquetWriter(
        sink,
        schema,
        compression=options.codec,
        compression_level=options.level,
        use_dictionary=dictionary,
        dictionary_pagesize_limit=options.dictionary_bytes,
        data_page_size=options.page_bytes,
        max_rows_per_page=options.page_rows,
        write_page_index=True,
        store_decimal_as_integer=True,
        store_schema=False,
        sorting_columns=sorting_columns(schema, sort) or None,
    )
    if footer_metadata:
        writer.add_key_value_metadata(dict(footer_metadata))
    return writer


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
    if pa.types.is_floating(kind):
        values = column.drop_null() if column.null_count else column
        field_id = int(field.metadata[FIELD_ID])
        counts[field_id] = counts.get(field_id, 0) + int(np.isnan(values.to_numpy(zero_copy_only=False)).sum())
    elif pa.types.is_struct(kind):
        for child, own in zip(column.flatten(), [kind.field(i) for i in range(kind.num_fields)], strict=True):
            _count_nan(child, own, counts)
    elif pa.types.is_map(kind):
        entries = column.flatten() if column.null_count or column.offset else column.values
        for number, own in enumerate((kind.key_field, kind.item_field)):
            _count_nan(entries.field(number), own, counts)
    elif pa.types.is_list(kind):
        _count_nan(column.flatten(), kind.value_field, counts)
