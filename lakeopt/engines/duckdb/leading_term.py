"""A leading key in SQL: called by DuckDB over Arrow, a few thousand rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature

import duckdb
import pyarrow as pa
from duckdb.func import FunctionNullHandling, PythonUDFType

from lakeopt.engines.duckdb.sql_types import sql_type
from lakeopt.errors import UnknownName
from lakeopt.model.scan import LeadingKey
from lakeopt.parquet.conform import conform_array

_FUNCTION = "leading_number"


def leading_term(connection: duckdb.DuckDBPyConnection, schema: pa.Schema, leading: LeadingKey) -> str:
    """Make the key known to the connection as a function; the term that calls it on columns c0, c1 ….

    :raises UnknownName: a column of the key is not there.
    :raises Refused: DuckDB does not carry its type.
    """
    for name in leading.columns:
        if name not in schema.names:
            raise UnknownName("column", name, schema.names)
    kinds = [schema.field(name).type for name in leading.columns]
    connection.create_function(
        _FUNCTION,
        _over_arrow(leading, kinds),
        [sql_type(kind, name) for kind, name in zip(kinds, leading.columns, strict=True)],
        "UBIGINT",
        type=PythonUDFType.ARROW,
        null_handling=FunctionNullHandling.SPECIAL,
    )
    return f"{_FUNCTION}({', '.join(f'c{schema.get_field_index(name)}' for name in leading.columns)})"


def _over_arrow(leading: LeadingKey, kinds: list[pa.DataType]) -> Callable[..., pa.Array]:
    def number(*columns: pa.ChunkedArray) -> pa.Array:
        pairs = zip(columns, kinds, strict=True)
        return leading([conform_array(column.combine_chunks(), kind) for column, kind in pairs])

    # DuckDB counts the parameters that a function says it has.
    parameters = [Parameter(f"c{place}", Parameter.POSITIONAL_ONLY) for place in range(len(kinds))]
    number.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return number
