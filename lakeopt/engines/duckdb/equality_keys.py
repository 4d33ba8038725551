"""The columns that equality deletes compare: their types, and values of which equal ones are the same value."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from lakeopt.engines.duckdb.physical import PhysicalGroup, read_parquet
from lakeopt.errors import Refused
from lakeopt.model.scan import FIELD_ID, Scan


def key_schema(
    scan: Scan,
    ids: Sequence[int],
    groups: Sequence[PhysicalGroup],
    deletes: Sequence[PhysicalGroup],
    connection: duckdb.DuckDBPyConnection,
) -> pa.Schema:
    """Fields of these ids as the table has them today; one dropped since is as wide as the widest file of ``groups``.

    :raises Refused: a column is nested, or below the top level.
    """
    current = {int(field.metadata[FIELD_ID]): field for field in scan.schema}
    for group in deletes:
        held = {column.field_id for column in group.columns}
        if lacking := next((number for number in ids if number not in held), None):
            raise Refused(
                f"equality deletes on a nested column (field {lacking}) cannot be applied: {group.locations[0]}",
                hint="compact the deletes with another engine",
            )
    fields = [current[number] if number in current else _dropped(number, groups, connection) for number in ids]
    for field in fields:
        if pa.types.is_nested(field.type):
            raise Refused(f"equality deletes on the {field.type} column {field.name!r} cannot be applied")
    return pa.schema(fields)


def comparable(keys: pa.Schema) -> list[str]:
    """SQL of the values to compare null-safely: to DuckDB NaN equals NaN, as it should, but -0.0 equals 0.0 too."""
    terms = [f"c{position}" for position in range(len(keys))]
    floats = [position for position, field in enumerate(keys) if pa.types.is_floating(field.type)]
    return terms + [f"CASE WHEN c{position} = 0 THEN signbit(c{position}) END" for position in floats]


def _dropped(number: int, groups: Sequence[PhysicalGroup], connection: duckdb.DuckDBPyConnection) -> pa.Field:
    """A field that the table has no more: the widest of the types that files have it in (promotions only widen)."""
    name, kinds = "", []
    for group in groups:
        for position, column in enumerate(group.columns):
            if column.field_id == number:
                source = read_parquet(group.paths[:1], len(group.columns))
                kinds.append(connection.sql(f"SELECT p{position} FROM {source}").limit(0).to_arrow_table().schema[0])
                name = name or column.name
    widest = max((kind.type for kind in kinds), key=_width)
    return pa.field(name, widest, metadata={FIELD_ID: str(number)})


def _width(kind: pa.DataType) -> int:
    """Digits of a decimal, bits of a number; only types that may be promoted to one another are compared."""
    if pa.types.is_decimal(kind):
        return int(kind.precision)
    return int(kind.bit_width) if pa.types.is_primitive(kind) else 0
