"""SQL that gives each file's columns the meaning they have in the table today: by field id, at every depth."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lakeopt.engines.duckdb.physical import PhysicalGroup, Stored
from lakeopt.engines.duckdb.sql_types import literal, serves, sql_type
from lakeopt.errors import DataFileError, Refused, UnknownName, UsageError
from lakeopt.model.scan import FIELD_ID

SortKey = Sequence[tuple[str, bool, bool]]


#: More rows than one file holds, so that a place of arrival tells files apart.
FILE_ROWS = 2**40


def query(
    schema: pa.Schema, groups: Sequence[PhysicalGroup], defaults: Mapping[int, Any], *, arrival: bool = False
) -> str:
    """The rows of all files as columns c0, c1 … of the table's types; with ``arrival`` also their place in the scan.

    :raises Refused: a stored type cannot become the table's type without loss.
    """
    columns = [_column(field, groups, defaults) for field in schema]
    selects = []
    for number, group in enumerate(groups):
        terms = ", ".join(f"{sql[number]} AS c{position}" for position, sql in enumerate(columns))
        if arrival:
            first_file = sum(len(before.paths) for before in groups[:number])
            terms += f", (file_index::BIGINT + {first_file}) * {FILE_ROWS} + file_row_number AS arrival"
        selects.append(f"SELECT {terms} FROM {group.relation()}")
    return " UNION ALL ".join(selects)


def arrival_number(groups: Sequence[PhysicalGroup]) -> str:
    """How many rows arrived before a row, deleted ones too, from its place in the scan."""
    counts = [count for group in groups for count in group.row_counts]
    firsts = [0, *itertools.accumulate(counts)][: len(counts)]
    return f"(list_extract(CAST({firsts} AS BIGINT[]), arrival // {FILE_ROWS} + 1) + arrival % {FILE_ROWS})"


def order_by(schema: pa.Schema, sort: SortKey) -> str:
    """ORDER BY list, empty if nothing is to be sorted, by the Iceberg spec's comparison, which DuckDB's is too but
    for the sign of zero.

    :raises UnknownName: no such column.
    :raises UsageError: the column is nested.
    """
    terms = []
    for name, ascending, nulls_first in sort:
        if name not in schema.names:
            raise UnknownName("column", name, schema.names)
        position = schema.get_field_index(name)
        kind = schema.field(position).type
        if pa.types.is_nested(kind):
            raise UsageError(f"column {name!r} cannot be sorted by: its type is {kind}", hint="sort by plain columns")
        direction = f"{'ASC' if ascending else 'DESC'} NULLS {'FIRST' if nulls_first else 'LAST'}"
        terms += value_order(f"c{position}", kind, direction)
    return ", ".join(terms)


def value_order(value: str, kind: pa.DataType, direction: str) -> list[str]:
    """ORDER BY terms of one value of a primitive type.

    >>> value_order("c0", pa.int32(), "ASC NULLS FIRST")
    ['c0 ASC NULLS FIRST']
    """
    if not pa.types.is_floating(kind):
        return [f"{value} {direction}"]
    # To DuckDB -0.0 equals 0.0; NaN equals itself and lies above infinity, as it does in Iceberg.
    return [f"{value} {direction}", f"CASE WHEN {value} = 0 THEN NOT signbit({value}) END {direction}"]


def _column(field: pa.Field, groups: Sequence[PhysicalGroup], defaults: Mapping[int, Any]) -> list[str]:
    """SQL of one table column, one term a group; all terms have one type, names of struct fields included."""
    found = [_find(field, group.columns) for group in groups]
    kinds = {str(stored.duck) if stored is not None and _same(field, stored) else None for _, stored in found}
    if len(kinds) == 1 and None not in kinds:
        return [f"p{index}" for index, _ in found]
    terms = []
    for group, (index, stored) in zip(groups, found, strict=True):
        if stored is not None:
            terms.append(_Builder(defaults).build(field, stored, f"p{index}", field.name))
        else:
            terms.append(_absent(field, {**defaults, **group.constants}, field.name))
    return terms


def _id(field: pa.Field) -> int:
    return int(field.metadata[FIELD_ID])


def _find(field: pa.Field, among: Sequence[Stored]) -> tuple[int, Stored | None]:
    wanted = _id(field)
    return next(((i, stored) for i, stored in enumerate(among) if stored.field_id == wanted), (-1, None))


def _same(field: pa.Field, stored: Stored) -> bool:
    """Whether the stored field can be taken as it is: same types and same ids in the same order."""
    inner = _children(field.type)
    if not inner:
        return str(stored.duck) == sql_type(field.type, field.name)
    return (
        stored.duck.id == _shape(field.type)
        and len(inner) == len(stored.children)
        and all(
            _id(own) == child.field_id and _same(own, child) for own, child in zip(inner, stored.children, strict=True)
        )
    )


def _shape(kind: pa.DataType) -> str:
    """What DuckDB calls this kind of nesting."""
    return "struct" if pa.types.is_struct(kind) else "map" if pa.types.is_map(kind) else "list"


def _children(kind: pa.DataType) -> list[pa.Field]:
    if pa.types.is_struct(kind):
        return [kind.field(i) for i in range(kind.num_fields)]
    if pa.types.is_map(kind):
        return [kind.key_field, kind.item_field]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [kind.value_field]
    return []


def _absent(field: pa.Field, known: Mapping[int, Any], where: str) -> str:
    """A field that the file lacks: its constant or initial default, else null."""
    value = known.get(_id(field))
    if value is None and not field.nullable:
        raise DataFileError(f"required column {where!r} is missing in a data file and has no default")
    return literal(value, field.type, where)


@dataclass(frozen=True, slots=True)
class _Builder:
    """Turns a stored value into the table's type; ``depth`` keeps the names of lambda parameters apart."""

    defaults: Mapping[int, Any]
    depth: int = 0

    def build(self, field: pa.Field, stored: Stored, value: str, where: str) -> str:
        kind = field.type
        if not _children(kind):
            return _cast(kind, stored, value, where)
        shape = _shape(kind)
        if stored.duck.id != shape:
            raise Refused(f"column {where!r} is a {shape} in the table and {stored.duck} in a data file")
        return {"struct": self._struct, "list": self._list, "map": self._map}[shape](kind, stored, value, where)

    def _struct(self, kind: pa.DataType, stored: Stored, value: str, where: str) -> str:
        terms = []
        for number, own in enumerate(_children(kind)):
            index, child = _find(own, stored.children)
            inner = f"{where}.{own.name}"
            if child is None:
                sql = _absent(own, self.defaults, inner)
            else:
                sql = self.build(own, child, f"struct_extract_at({value}, {index + 1})", inner)
            terms.append(f"f{number} := {sql}")
        return f"CASE WHEN {value} IS NULL THEN NULL ELSE struct_pack({', '.join(terms)}) END"

    def _list(self, kind: pa.DataType, stored: Stored, value: str, where: str) -> str:
        item, deeper = f"x{self.depth}", _Builder(self.defaults, self.depth + 1)
        element = deeper.build(kind.value_field, stored.children[0], item, f"{where}.element")
        return f"list_transform({value}, lambda {item}: {element})"

    def _map(self, kind: pa.DataType, stored: Stored, value: str, where: str) -> str:
        item, deeper = f"x{self.depth}", _Builder(self.defaults, self.depth + 1)
        terms = [
            f"{name} := {deeper.build(own, child, f'struct_extract_at({item}, {number})', f'{where}.{name}')}"
            for number, name, own, child in zip((1, 2), ("key", "value"), _children(kind), stored.children, strict=True)
        ]
        return f"map_from_entries(list_transform(map_entries({value}), lambda {item}: struct_pack({', '.join(terms)})))"


def _cast(kind: pa.DataType, stored: Stored, value: str, where: str) -> str:
    wanted, held = sql_type(kind, where), str(stored.duck)
    if held == wanted:
        return value
    # Spark wrote instants as INT96 without a zone, in UTC; UUIDs without the annotation are 16 bytes.
    instant = wanted == "TIMESTAMP WITH TIME ZONE" and held == "TIMESTAMP" and stored.int96
    plain_uuid = wanted == "UUID" and held == "BLOB"
    if stored.of_hive and (wanted, held) == ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"):
        return f"make_timestamp(epoch_us({value}))"
    if stored.of_hive and (wanted, held) == ("VARCHAR", "BLOB"):
        return f"decode({value})"
    if not (instant or plain_uuid or serves(stored.duck, wanted)):
        raise Refused(f"column {where!r} is {kind} in the table and {held} in a data file, which is no lossless change")
    return f"CAST({value} AS {wanted})"
