"""Iceberg's types, as Arrow spells them, in DuckDB: names, literals, and which stored type may serve which column."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from lakeopt.engines.duckdb.connection import text_literal
from lakeopt.errors import Refused

#: DuckDB types whose every value is also a value of the table's type (spec: schema evolution), apart from decimals.
_SERVES = {
    "BOOLEAN": {"BOOLEAN"},
    "INTEGER": {"INTEGER", "SMALLINT", "TINYINT", "USMALLINT", "UTINYINT"},
    "BIGINT": {"BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "USMALLINT", "UTINYINT"},
    "FLOAT": {"FLOAT"},
    "DOUBLE": {"DOUBLE", "FLOAT"},
    "DATE": {"DATE"},
    "TIME": {"TIME"},
    "TIMESTAMP": {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS"},
    "TIMESTAMP_NS": {"TIMESTAMP_NS"},
    "TIMESTAMP WITH TIME ZONE": {"TIMESTAMP WITH TIME ZONE"},
    "VARCHAR": {"VARCHAR"},
    "UUID": {"UUID"},
    "BLOB": {"BLOB"},
}


def sql_type(arrow: pa.DataType, where: str) -> str:
    """DuckDB's name of a type. Struct children are called f0, f1 …: names are put back on the Arrow side.

    :raises Refused: DuckDB has no type that carries it exactly; ``where`` names the column.
    """
    if pa.types.is_struct(arrow):
        inner = ", ".join(f"f{i} {sql_type(arrow.field(i).type, where)}" for i in range(arrow.num_fields))
        if inner:
            return f"STRUCT({inner})"
    elif pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return f"{sql_type(arrow.value_type, where)}[]"
    elif pa.types.is_map(arrow):
        return f"MAP({sql_type(arrow.key_type, where)}, {sql_type(arrow.item_type, where)})"
    elif pa.types.is_decimal(arrow) and arrow.precision <= 38:
        return f"DECIMAL({arrow.precision},{arrow.scale})"
    elif name := _primitive(arrow):
        return name
    raise Refused(f"column {where!r}: DuckDB does not carry {arrow} without loss", hint="rewrite with another engine")


def _primitive(arrow: pa.DataType) -> str | None:
    if isinstance(arrow, pa.UuidType):
        return "UUID"
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return "VARCHAR"
    if pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) or pa.types.is_fixed_size_binary(arrow):
        return "BLOB"
    if pa.types.is_timestamp(arrow):
        return {
            ("us", False): "TIMESTAMP",
            ("us", True): "TIMESTAMP WITH TIME ZONE",
            ("ns", False): "TIMESTAMP_NS",
        }.get((arrow.unit, arrow.tz is not None))
    plain = {
        pa.bool_(): "BOOLEAN",
        pa.int32(): "INTEGER",
        pa.int64(): "BIGINT",
        pa.float32(): "FLOAT",
        pa.float64(): "DOUBLE",
        pa.date32(): "DATE",
        pa.time64("us"): "TIME",
    }
    return plain.get(arrow)


def serves(stored: Any, wanted: str) -> bool:
    """Whether every value of a stored DuckDB type (``DuckDBPyType``) is a value of the wanted primitive type."""
    if stored.id == "decimal" and wanted.startswith("DECIMAL("):
        precision, scale = map(int, wanted[8:-1].split(","))
        held = dict(stored.children)
        return bool(held["scale"] == scale and held["precision"] <= precision)
    return str(stored) in _SERVES.get(wanted, ())


def literal(value: Any, arrow: pa.DataType, where: str) -> str:
    """SQL of one value of a column's type; ``None`` is a typed NULL.

    :raises Refused: the value does not fit the type, or the type is nested.
    """
    name = sql_type(arrow, where)
    if value is None:
        return f"CAST(NULL AS {name})"
    if pa.types.is_nested(arrow):
        raise Refused(f"column {where!r}: a default or constant of type {arrow} is not understood")
    if isinstance(arrow, pa.UuidType):
        return f"CAST('{(value.bytes if hasattr(value, 'bytes') else bytes(value)).hex()}' AS UUID)"
    try:
        scalar = pa.scalar(value, type=arrow)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError) as error:
        raise Refused(f"column {where!r}: {value!r} is no value of type {arrow}") from error
    return f"CAST({_text(scalar, arrow)} AS {name})"


def _text(scalar: pa.Scalar, arrow: pa.DataType) -> str:
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return text_literal(scalar.as_py())
    if pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) or pa.types.is_fixed_size_binary(arrow):
        return f"from_hex('{scalar.as_py().hex()}')"
    if pa.types.is_timestamp(arrow):
        return f"make_timestamp{'_ns' if arrow.unit == 'ns' else ''}({scalar.value})"
    if pa.types.is_date(arrow):
        return f"DATE '1970-01-01' + CAST({scalar.value} AS INTEGER)"
    if pa.types.is_floating(arrow):
        return f"'{scalar.as_py()!r}'"
    return f"'{scalar.as_py()}'"
