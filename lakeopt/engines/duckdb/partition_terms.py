"""Partition values in SQL: the transforms of the table's own format, called by DuckDB over Arrow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

from lakeopt.engines.duckdb.projection import value_order
from lakeopt.engines.duckdb.sql_types import sql_type
from lakeopt.model.scan import PartitionKey
from lakeopt.parquet.conform import conform_array
from lakeopt.parquet.partition_keys import partition_values, source_type


@dataclass(frozen=True, slots=True)
class PartitionTerms:
    """Columns k0, k1 … over c0, c1 … with the partition values, and the order that brings each partition together."""

    columns: tuple[str, ...]
    order: tuple[str, ...]


def partition_terms(
    connection: duckdb.DuckDBPyConnection, schema: pa.Schema, keys: Sequence[PartitionKey]
) -> PartitionTerms:
    """Make the keys' transforms known to the connection as functions; the terms that call them."""
    columns, order = [], []
    for number, key in enumerate(keys):
        first, *deeper = key.source
        value = f"c{first}"
        for place in deeper:
            value = f"struct_extract_at({value}, {place + 1})"
        kind = source_type(schema, key)
        if key.transform is not None:
            name = f"partition_value_{number}"
            connection.create_function(
                name,
                _over_arrow(key, kind),
                [sql_type(kind, value)],
                sql_type(key.result, value),
                type=PythonUDFType.ARROW,
                null_handling=FunctionNullHandling.SPECIAL,
            )
            value = f"{name}({value})"
        columns.append(f"{value} AS k{number}")
        order += value_order(f"k{number}", key.result, "ASC NULLS FIRST")
    return PartitionTerms(tuple(columns), tuple(order))


def _over_arrow(key: PartitionKey, kind: pa.DataType) -> Callable[[pa.ChunkedArray], pa.Array]:
    def transform(values: pa.ChunkedArray) -> pa.Array:
        return partition_values(conform_array(values.combine_chunks(), kind), key)

    return transform
