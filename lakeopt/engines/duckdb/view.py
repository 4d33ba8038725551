"""The rows of a snapshot as SQL that queries can be put to: columns by their names of today."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from lakeopt.engines.duckdb.deletes import DELETED
from lakeopt.engines.duckdb.physical import PhysicalGroup, Stored
from lakeopt.engines.duckdb.projection import query
from lakeopt.engines.duckdb.sql_types import sql_type
from lakeopt.model.scan import FIELD_ID, Scan


def quoted(name: str) -> str:
    """A name as a quoted SQL identifier.

    >>> quoted('sched dep_time')
    '"sched dep_time"'
    """
    return '"' + name.replace('"', '""') + '"'


def select(scan: Scan, groups: Sequence[PhysicalGroup], *, deleted: bool = False) -> str:
    """SELECT of a scan's rows, columns by name; with ``deleted`` without those of the table of deleted places.

    :raises Refused: a type that DuckDB does not carry.
    """
    if not groups:
        columns = (f"CAST(NULL AS {sql_type(field.type, field.name)}) AS c{i}" for i, field in enumerate(scan.schema))
        rows = f"SELECT {', '.join(columns)} WHERE false"
    else:
        rows = query(scan.schema, groups, scan.defaults, arrival=deleted)
    terms = (
        f"{_named(field, f'c{position}', groups)} AS {quoted(field.name)}" for position, field in enumerate(scan.schema)
    )
    without = f" AS placed ANTI JOIN {DELETED} USING (arrival)" if groups and deleted else ""
    return f"SELECT {', '.join(terms)} FROM ({rows}){without}"


def create_views(connection: duckdb.DuckDBPyConnection, rows: str, names: Sequence[Sequence[str]]) -> None:
    """One view of the rows under each name: ``(table,)``, ``(schema, table)`` or ``(catalog, schema, table)``."""
    for *qualifier, name in {tuple(part.casefold() for part in parts): parts for parts in names}.values():
        if len(qualifier) == 2:
            connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {quoted(qualifier[0])}")
        if qualifier:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {'.'.join(map(quoted, qualifier))}")
        connection.execute(f"CREATE VIEW {'.'.join(map(quoted, [*qualifier, name]))} AS {rows}")


def _named(field: pa.Field, value: str, groups: Sequence[PhysicalGroup]) -> str:
    """The column with the names of its struct fields put back, where files do not hold them as they are today."""
    stored = [next((c for c in group.columns if c.field_id == _id(field)), None) for group in groups]
    if all(column is not None and _spelt(field.type, column) for column in stored):
        return value
    return _renamed(field.type, value, 0)


def _id(field: pa.Field) -> int:
    return int(field.metadata[FIELD_ID])


def _children(kind: pa.DataType) -> list[pa.Field]:
    return [kind.field(index) for index in range(kind.num_fields)] if pa.types.is_struct(kind) else []


def _spelt(kind: pa.DataType, stored: Stored) -> bool:
    """Whether a stored column has the very struct fields of the table, so that it is read without being rebuilt."""
    inner = _children(kind)
    if not pa.types.is_nested(kind):
        return True
    if not inner:
        held = [kind.key_field, kind.item_field] if pa.types.is_map(kind) else [kind.value_field]
        return all(_spelt(own.type, child) for own, child in zip(held, stored.children, strict=True))
    if [(own.name, _id(own)) for own in inner] != [(child.name, child.field_id) for child in stored.children]:
        return False
    return all(_spelt(own.type, child) for own, child in zip(inner, stored.children, strict=True))


def _renamed(kind: pa.DataType, value: str, depth: int) -> str:
    if pa.types.is_struct(kind):
        fields = (
            f"{quoted(own.name)} := {_renamed(own.type, f'struct_extract_at({value}, {index + 1})', depth)}"
            for index, own in enumerate(_children(kind))
        )
        return f"CASE WHEN {value} IS NULL THEN NULL ELSE struct_pack({', '.join(fields)}) END"
    item = f"x{depth}"
    if pa.types.is_map(kind):
        key = _renamed(kind.key_type, f"{item}.key", depth + 1)
        held = _renamed(kind.item_type, f"{item}.value", depth + 1)
        entries = f"list_transform(map_entries({value}), lambda {item}: struct_pack(key := {key}, value := {held}))"
        return f"map_from_entries({entries})" if "struct_pack" in key + held else value
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        element = _renamed(kind.value_type, item, depth + 1)
        return f"list_transform({value}, lambda {item}: {element})" if element != item else value
    return value
