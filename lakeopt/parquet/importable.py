"""Whether an Iceberg table may name a Parquet file that another format's writer made: would it read the same rows?

Iceberg's types are held against physical and logical types (spec, "Parquet"): what readers agree on, not what one of
them happens to take.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import types as is_

from lakeopt.parquet.calendars import is_old, may_be_old, steering
from lakeopt.parquet.field_ids import field_id
from lakeopt.parquet.values import children

if TYPE_CHECKING:
    import pyarrow.parquet as pq


def instants(footer: pq.FileMetaData) -> dict[str, bool]:
    """Top-level timestamp columns by lower-case name: whether the file holds instants, or local times (False)."""
    found = {}
    for column, path in _primitives(footer):
        kind = json.loads(column.logical_type.to_json())
        if column.physical_type == "INT96":
            found[path.lower()] = True
        elif kind.get("Type") == "Timestamp":
            found[path.lower()] = bool(kind["isAdjustedToUTC"])
    return found


def calendar_reason(footer: pq.FileMetaData) -> str | None:
    """Why old dates and times of a file mean other days to its own engine than to Iceberg's readers; None: they do not.

    Spark before version 3 (3.1 for int96), later ones in legacy mode, and Hive where it says so, count days before
    1582-10-15 by the Julian calendar, and times before 1900 by the mean time of their place.
    """
    said = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in _key_values(footer)}
    dates, int96 = is_old(steering(said, footer.created_by))
    for leaf, (column, path) in enumerate(_leaves(footer)):
        if int96 and column.physical_type == "INT96":
            return f"column {path!r} holds int96 times of the legacy calendar"
        if dates and may_be_old(footer, leaf):
            return f"column {path!r} may hold dates before 1582-10-15, or times before 1900, of the legacy calendar"
    return None


def _key_values(footer: pq.FileMetaData) -> Iterable[tuple[bytes, bytes]]:
    return (footer.metadata or {}).items()


def import_reason(footer: pq.FileMetaData, schema: pa.Schema, partition_columns: frozenset[str]) -> str | None:
    """Why a table of this schema cannot take the file as it is; None where it can.

    ``schema`` is the new table's, with field ids; columns are found by name, whatever the case of their letters.
    """
    held = footer.schema.to_arrow_schema()
    by_name: dict[str, pa.Field] = {}
    for field in held:
        if by_name.setdefault(field.name.lower(), field) is not field:
            return f"columns {by_name[field.name.lower()].name!r} and {field.name!r} differ only by case"
    wanted = {field.name.lower(): field for field in schema}
    leaf = 0
    for field in held:
        target, count = wanted.get(field.name.lower()), _leaf_count(field)
        if target is not None:
            if field.name.lower() in partition_columns:
                return f"it holds the partition column {field.name!r} itself, which Iceberg would read from there"
            if (number := field_id(field)) is not None and number != field_id(target):
                return f"column {field.name!r} has the field id {number} of another table"
            leaves = [footer.schema.column(place) for place in range(leaf, leaf + count)]
            if any(one.path.count(".") < dots for one, dots in zip(leaves, _path_dots(field), strict=True)):
                return f"column {field.name!r} holds a list in the two-level form of old writers"
            if reason := _differs(field, target, leaves, field.name):
                return reason
        leaf += count
    return None


def _differs(field: pa.Field, target: pa.Field, leaves: list[pq.ColumnSchema], path: str) -> str | None:
    parts, wanted = children(field.type), children(target.type)
    if not parts and not wanted:
        return _leaf_reason(leaves[0], target.type, path)
    if not any(holds(field.type) and holds(target.type) for holds in (is_.is_struct, is_.is_map, is_.is_list)):
        return f"column {path!r} is {field.type} in the file"
    if is_.is_struct(field.type):
        by_name = {part.name.lower(): part for part in wanted}
        matches = [by_name.get(part.name.lower()) for part in parts]
    else:
        matches = list(wanted)
    at = 0
    for part, match in zip(parts, matches, strict=True):
        own = leaves[at : at + _leaf_count(part)]
        if match is not None and (reason := _differs(part, match, own, f"{path}.{part.name}")):
            return reason
        at += len(own)
    return None


def _path_dots(field: pa.Field) -> Iterator[int]:
    """Dots in the path of each leaf below a field; lists and maps have the repeated group that the format asks for."""
    own = field.name.count(".")
    parts = children(field.type)
    if not parts:
        yield own
    for part in parts:
        between = 1 if is_.is_struct(field.type) else 2
        yield from (own + between + below for below in _path_dots(part))


def _leaf_reason(leaf: pq.ColumnSchema, kind: pa.DataType, name: str) -> str | None:
    logical: Mapping[str, Any] = json.loads(leaf.logical_type.to_json())
    physical, said = leaf.physical_type, logical.get("Type", "None")
    if physical == "INT96":
        return f"column {name!r} is int96, which Iceberg's spec does not know"
    if _fits(physical, said, logical, kind):
        return None
    words = physical.lower() if said == "None" else f"{physical.lower()} ({_described(logical)})"
    return f"column {name!r} is {words}, which Iceberg does not read as {kind}"


def _described(logical: Mapping[str, Any]) -> str:
    unit = logical.get("timeUnit")
    return f"{logical['Type'].lower()} in {unit}" if unit else str(logical["Type"]).lower()


def _fits(physical: str, said: str, logical: Mapping[str, Any], kind: pa.DataType) -> bool:
    if is_.is_boolean(kind):
        return physical == "BOOLEAN"
    if is_.is_integer(kind):
        signed = said == "None" or (said == "Int" and bool(logical["isSigned"]))
        return signed and (physical == "INT32" or (physical == "INT64" and kind.bit_width == 64))
    if is_.is_floating(kind):
        return physical == "FLOAT" or (physical == "DOUBLE" and kind.bit_width == 64)
    if is_.is_decimal(kind):
        held = said == "Decimal" and logical["scale"] == kind.scale and logical["precision"] <= kind.precision
        return held and physical in ("INT32", "INT64", "FIXED_LEN_BYTE_ARRAY")
    if is_.is_string(kind) or is_.is_large_string(kind):
        return physical == "BYTE_ARRAY" and said in ("String", "Enum", "JSON")
    if is_.is_date(kind):
        return physical == "INT32" and said == "Date"
    if is_.is_timestamp(kind):
        held = physical == "INT64" and said == "Timestamp" and logical["timeUnit"] == "microseconds"
        return held and logical["isAdjustedToUTC"] == (kind.tz is not None)
    return physical in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY") and said == "None"


def _leaves(footer: pq.FileMetaData) -> Iterator[tuple[pq.ColumnSchema, str]]:
    for place in range(footer.num_columns):
        column = footer.schema.column(place)
        yield column, column.path


def _primitives(footer: pq.FileMetaData) -> Iterator[tuple[pq.ColumnSchema, str]]:
    """Top-level primitive columns: those that are no part of anything."""
    names = set(footer.schema.to_arrow_schema().names)
    return ((column, path) for column, path in _leaves(footer) if path in names and column.max_repetition_level == 0)


def _leaf_count(field: pa.Field) -> int:
    parts = children(field.type)
    return sum(map(_leaf_count, parts)) if parts else 1
