"""How the rows of data files are to be read: what a scan of an Iceberg table needs beyond the files themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pyiceberg.conversions import from_json
from pyiceberg.schema import Schema
from pyiceberg.types import PrimitiveType

from lakeopt.errors import ConfigurationError
from lakeopt.tables.iceberg.metadata.partitions import Partitioning

_NAME_MAPPING = "schema.name-mapping.default"


def name_mapping(properties: Mapping[str, str]) -> tuple[Mapping[str, Any], ...] | None:
    """``schema.name-mapping.default``: mapped fields (``field-id``, ``names``, ``fields``) as in the Iceberg spec.

    :raises ConfigurationError: it is not a JSON list of mapped fields.
    """
    text = properties.get(_NAME_MAPPING)
    if text is None:
        return None
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"table property {_NAME_MAPPING} is not JSON: {error}") from error
    if not isinstance(fields, list) or not all(isinstance(field, dict) and "names" in field for field in fields):
        raise ConfigurationError(f"table property {_NAME_MAPPING} is not a list of mapped fields")
    return tuple(fields)


def initial_defaults(schema: Schema) -> dict[int, Any]:
    """Initial defaults (v3) by field id, at every depth, as Python values of the field's type."""
    fields = (schema.find_field(field_id) for field_id in sorted(schema.field_ids))
    return {
        field.field_id: _default(field.field_type, field.initial_default)
        for field in fields
        if field.initial_default is not None
    }


def _default(kind: Any, value: Any) -> Any:
    return from_json(kind, value) if isinstance(kind, PrimitiveType) else value


def partition_constants(files: pa.Table, partitioning: Partitioning) -> dict[str, Mapping[int, Any]]:
    """By file path, the values of identity-partitioned columns; files of one partition share one mapping."""
    known: dict[tuple[int, str], Mapping[int, Any]] = {}
    constants = {}
    columns = (files[name].to_pylist() for name in ("file_path", "spec_id", "partition"))
    for path, spec_id, partition in zip(*columns, strict=True):
        key = (spec_id, partition)
        if key not in known:
            known[key] = partitioning.constants(spec_id, partition)
        if known[key]:
            constants[path] = known[key]
    return constants
