"""The one JSON form of every value that lakeopt prints, saves or reads back.

A top-level value carries ``kind`` and ``schema_version``; nested ones do not. Sizes are bytes, times are
seconds, ratios plain numbers, snapshot ids strings. Non-finite numbers become ``null``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from lakeopt.errors import UsageError

T = TypeVar("T")


class Document:
    """Base of every top-level value: a frozen dataclass with a ``kind``."""

    kind: ClassVar[str]
    schema_version: ClassVar[int] = 1


def to_data(value: Any) -> Any:
    """Plain dicts, lists and scalars of a dataclass value.

    >>> to_data({"a": (1, 2.5, float("nan"))})
    {'a': [1, 2.5, None]}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        head = {"kind": value.kind, "schema_version": value.schema_version} if isinstance(value, Document) else {}
        return head | {f.name: to_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_data(item) for key, item in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    return [to_data(item) for item in value]


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """JSON text of a value, keys in the order of the dataclass."""
    return json.dumps(to_data(value), indent=indent, ensure_ascii=False, allow_nan=False)


def from_data(cls: type[T], data: Any) -> T:
    """Rebuild a dataclass value; fields with defaults may be absent, unknown ones are refused.

    :raises UsageError: the data is of another kind, a newer version, or lacks a field.
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"not a {cls.__name__}: expected a JSON object")
    body = dict(data)
    if issubclass(cls, Document):
        kind, version = body.pop("kind", None), body.pop("schema_version", None)
        if kind != cls.kind:
            raise UsageError(f"expected a {cls.kind}, found {kind!r}")
        if version != cls.schema_version:
            raise UsageError(
                f"{cls.kind} of schema version {version!r} cannot be read; this lakeopt reads {cls.schema_version}",
                hint="make the value again with this version of lakeopt",
            )
    hints = get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(body) - set(known))
    if unknown:
        raise UsageError(f"{cls.__name__} has no field {unknown[0]!r}")
    values = {name: _rebuild(hints[name], item, f"{cls.__name__}.{name}") for name, item in body.items()}
    missing = [
        name
        for name, f in known.items()
        if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UsageError(f"{cls.__name__} lacks the field {missing[0]!r}")
    return cls(**values)


def from_json(cls: type[T], text: str) -> T:
    """Rebuild a value from its JSON text.

    :raises UsageError: the text is not JSON, or not this kind of value.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}") from error
    return from_data(cls, data)


def _rebuild(hint: Any, item: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if item is None and type(None) in args:
            return None
        return _rebuild(next(a for a in args if a is not type(None)), item, where)
    if dataclasses.is_dataclass(hint):
        return from_data(hint, item)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(item, list):
            raise UsageError(f"{where} must be a list")
        return tuple(_rebuild(args[0], part, where) for part in item)
    if origin in (dict, Mapping):
        if not isinstance(item, Mapping):
            raise UsageError(f"{where} must be an object")
        return {key: _rebuild(args[1], part, where) for key, part in item.items()}
    if origin is Literal:
        if item not in args:
            raise UsageError(f"{where} must be one of {', '.join(map(str, args))}, not {item!r}")
        return item
    if hint is float and isinstance(item, int) and not isinstance(item, bool):
        return float(item)
    if hint is Any:
        return item
    if not isinstance(item, hint) or (hint is int and isinstance(item, bool)):
        raise UsageError(f"{where} must be {hint.__name__}, not {type(item).__name__}")
    return item
