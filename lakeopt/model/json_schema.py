"""JSON schemas of the values that lakeopt prints, made from the dataclasses themselves."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import lakeopt.model
from lakeopt.model.serde import Document

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    Any: {},
}


def documents() -> dict[str, type[Document]]:
    """Every top-level value by its ``kind``, found in the modules of :mod:`lakeopt.model`.

    >>> sorted(documents())[:2]
    ['bench_report', 'bucket_table']
    """
    for module in pkgutil.iter_modules(lakeopt.model.__path__):
        importlib.import_module(f"{lakeopt.model.__name__}.{module.name}")
    found = (cls for cls in Document.__subclasses__() if cls.__module__.startswith(lakeopt.model.__name__))
    return {cls.kind: cls for cls in sorted(found, key=lambda cls: cls.kind)}


def schema_of(cls: type[Document]) -> dict[str, Any]:
    """JSON schema (draft 2020-12) of what ``to_json`` writes for a value of this class.

    Every field is required, since every field is always written; no other field is allowed.

    >>> from lakeopt.model.result import History
    >>> schema_of(History)["properties"]["kind"]
    {'const': 'history'}
    """
    definitions: dict[str, Any] = {}
    body = _object(cls, definitions)
    return {"$schema": DRAFT, "title": cls.kind, **body, "$defs": dict(sorted(definitions.items()))}


def _object(cls: type[Any], definitions: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(cls)
    properties: dict[str, Any] = {}
    if issubclass(cls, Document):
        properties = {"kind": {"const": cls.kind}, "schema_version": {"const": cls.schema_version}}
    properties |= {field.name: _schema(hints[field.name], definitions) for field in dataclasses.fields(cls)}
    return {
        "description": inspect.getdoc(cls) or cls.__name__,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _SCALARS:
        return dict(_SCALARS[hint])
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(argument, definitions) for argument in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if hint.__name__ not in definitions:
            definitions[hint.__name__] = {}  # stands in while its own fields are described
            definitions[hint.__name__] = _object(hint, definitions)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    raise TypeError(f"no JSON form for {hint!r}")
