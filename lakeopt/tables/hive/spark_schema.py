"""The schema that Spark keeps in a table's parameters: with the case of names, which a metastore loses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lakeopt.tables.hive.hive_types import quoted
from lakeopt.tables.hive.source import Column, Storage

_SCHEMA, _PARTS = "spark.sql.sources.schema", "spark.sql.sources.schema.numParts"
_NAMES = {"byte": "tinyint", "short": "smallint", "integer": "int", "long": "bigint"}
_LENGTHS = "__CHAR_VARCHAR_TYPE_STRING"


@dataclass(frozen=True, slots=True)
class DeclaredSchema:
    """All columns of a table as Spark declared them, partition columns by name."""

    columns: tuple[Column, ...]
    partition_columns: tuple[str, ...]

    def applied(self, storage: Storage, partitions: tuple[Column, ...]) -> tuple[Storage, tuple[Column, ...]]:
        """The storage and the partition columns with these names and types.

        Hive may have altered the table since without Spark's knowledge: columns that differ in more than case, or
        in their number, are taken as the metastore has them. Of a table that Hive cannot read it has none.
        """
        keys = {name.lower() for name in self.partition_columns}
        data = tuple(column for column in self.columns if column[0].lower() not in keys)
        held = [name.lower() for name, _ in storage.columns]
        if held not in ([name.lower() for name, _ in data], ["col"]):
            return storage, partitions
        by_name = {name.lower(): name for name, _ in self.columns}
        return replace(storage, columns=data), tuple(
            (by_name.get(name.lower(), name), kind) for name, kind in partitions
        )


def declared(parameters: Mapping[str, str]) -> DeclaredSchema | None:
    """Spark's schema; None where there is none, or none that can be read."""
    text = parameters.get(_SCHEMA)
    if text is None and parameters.get(_PARTS, "").isdecimal():
        text = "".join(parameters.get(f"{_SCHEMA}.part.{i}", "") for i in range(int(parameters[_PARTS])))
    try:
        fields = json.loads(text or "null")["fields"]
        columns = tuple((field["name"], _column(field)) for field in fields)
        keys = int(parameters.get(f"{_SCHEMA}.numPartCols", "0"))
        return DeclaredSchema(columns, tuple(parameters[f"{_SCHEMA}.partCol.{i}"] for i in range(keys)))
    except (TypeError, KeyError, ValueError):
        return None


def _column(field: Mapping[str, Any]) -> str:
    return (field.get("metadata") or {}).get(_LENGTHS) or _type(field["type"])


def _type(kind: Any) -> str:
    """Hive's spelling of a type in Spark's JSON."""
    if isinstance(kind, str):
        return _NAMES.get(kind, kind)
    if kind["type"] == "array":
        return f"array<{_type(kind['elementType'])}>"
    if kind["type"] == "map":
        return f"map<{_type(kind['keyType'])},{_type(kind['valueType'])}>"
    if kind["type"] == "struct":
        return f"struct<{','.join(quoted(part['name']) + ':' + _column(part) for part in kind['fields'])}>"
    return str(kind["type"])
