"""The rows of a value, for JSON Lines and CSV: the items of its one list, else the value itself."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import io
import json
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Union, get_args, get_origin, get_type_hints

from lakeopt.model.plan import SortField
from lakeopt.model.serde import Document, to_data
from lakeopt.model.sort_fields import format_sort_fields


def json_lines(value: Document) -> str:
    """One JSON object a line. Rows of a list carry the value's ``table`` first, where they have none of their own."""
    items, _ = _items(value)
    lines = (to_data(item) if item is value else _table(value) | to_data(item) for item in items)
    return "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)


def comma_separated(value: Document) -> str:
    """A header and one line a row.

    The header depends on the type alone: nested values have dotted names, a sort key has its own text, other
    lists and mappings are JSON. What is missing is empty.
    """
    items, kind = _items(value)
    rows = [_table(value) | (dict(_flat("", item, kind)) if kind else dict(_plain(item))) for item in items]
    names = [name for name, _ in _flat("", None, kind)] if kind else list(dict.fromkeys(n for row in rows for n in row))
    header = list(dict.fromkeys([*_table(value), *names]))
    lines: list[list[Any]] = [header, *([row.get(name) for name in header] for row in rows)]
    return "".join(map(_line, lines))


def _line(cells: Sequence[Any]) -> str:
    """One line of CSV, ended as Unix tools like it; written with CRLF first, else a lone CR would not be quoted."""
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().removesuffix("\r\n") + "\n"


def _items(value: Document) -> tuple[Sequence[Any], type[Any] | None]:
    """The rows of a value and their dataclass, None where rows are plain mappings."""
    field: str | None = importlib.import_module(f"lakeopt.cli.sections.{value.kind}").ROWS
    if field is None:
        return [value], type(value)
    hint = get_args(get_type_hints(type(value))[field])[0]
    return getattr(value, field), hint if isinstance(hint, type) else None


def _table(value: Document) -> dict[str, Any]:
    return {"table": value.table} if hasattr(value, "table") else {}


def _flat(name: str, value: Any, hint: Any) -> Iterator[tuple[str, Any]]:
    """Dotted names and cells of a value of this type; a missing value has all the names and empty cells."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(argument for argument in get_args(hint) if argument is not type(None))
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        for field in dataclasses.fields(hint):
            inner = None if value is None else getattr(value, field.name)
            yield from _flat(f"{name}.{field.name}" if name else field.name, inner, hints[field.name])
    elif hint == tuple[SortField, ...]:
        yield name, format_sort_fields(value or ())
    else:
        yield name, _cell(value)


def _plain(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, _cell(item)) for name, item in row.items())


def _cell(value: Any) -> Any:
    data = to_data(value)
    if isinstance(data, bool):
        return "true" if data else "false"
    return json.dumps(data, ensure_ascii=False) if isinstance(data, list | dict) else data
