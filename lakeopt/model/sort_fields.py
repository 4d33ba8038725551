"""Sort keys as people write them, and back: ``origin, "arr delay" desc nulls first``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lakeopt.errors import UsageError
from lakeopt.model.plan import Direction, Nulls, SortField

_HINT = 'write --sort-by as: origin,"odd name" desc,delay asc nulls last'
#: A quoted name (its quote doubled inside), a comma, a bare word, or one stray character.
_TOKEN = re.compile(r'"(?:[^"]|"")*"|`(?:[^`]|``)*`|,|[^\s,"`]+|\S')


def parse_sort_fields(text: str) -> tuple[SortField, ...]:
    """Fields of a sort key: columns between commas, each with ``asc|desc`` and ``nulls first|last`` as wanted.

    Nulls come first in an ascending column and last in a descending one unless said otherwise (as in
    Iceberg). A name that holds commas, spaces or quotes is quoted with ``"`` or a backtick, doubled inside.

    >>> [(field.name, field.direction, field.nulls) for field in parse_sort_fields('origin, "arr delay" desc')]
    [('origin', 'asc', 'first'), ('arr delay', 'desc', 'last')]

    :raises UsageError: the text is not a sort key, or names a column twice.
    """
    fields = tuple(_field(words, text) for words in _items(text))
    seen: set[str] = set()
    for field in fields:
        if field.name in seen:
            raise UsageError(f"column {field.name!r} stands twice in the sort key", hint=_HINT)
        seen.add(field.name)
    return fields


def format_sort_fields(fields: Iterable[SortField]) -> str:
    """The text of a sort key, defaults left out and names quoted where they must be.

    Inverse of :func:`parse_sort_fields`.

    >>> format_sort_fields([SortField("origin"), SortField('5" disc', "desc", "first")])
    'origin,"5"" disc" desc nulls first'
    """
    return ",".join(_format(field) for field in fields)


def quote_name(name: str) -> str:
    """A column name as it must be written in a sort key.

    >>> quote_name("dep_delay"), quote_name("dep delay")
    ('dep_delay', '"dep delay"')
    """
    plain = _TOKEN.fullmatch(name) is not None and name[0] not in '"`,'
    return name if plain else '"' + name.replace('"', '""') + '"'


def _format(field: SortField) -> str:
    text = quote_name(field.name) + (" desc" if field.direction == "desc" else "")
    return text if field.nulls == _default_nulls(field.direction) else f"{text} nulls {field.nulls}"


def _default_nulls(direction: Direction) -> Nulls:
    return "first" if direction == "asc" else "last"


def _items(text: str) -> Iterator[list[str]]:
    words: list[str] = []
    for token in _TOKEN.findall(text):
        if token == ",":
            yield words
            words = []
        else:
            words.append(token)
    yield words


def _field(words: list[str], text: str) -> SortField:
    if not words:
        raise UsageError(f"a column is missing in the sort key {text!r}", hint=_HINT)
    name, *rest = words
    if name[0] in '"`':
        if len(name) < 2 or name[-1] != name[0]:
            raise UsageError(f"a quote is not closed in the sort key {text!r}", hint=_HINT)
        name = name[1:-1].replace(name[0] * 2, name[0])
    if not name:
        raise UsageError(f"a column name is empty in the sort key {text!r}", hint=_HINT)
    match = [word.lower() for word in rest]
    direction: Direction = "asc"
    if match and match[0] in ("asc", "desc"):
        direction = "desc" if match.pop(0) == "desc" else "asc"
    nulls = _default_nulls(direction)
    if len(match) == 2 and match[0] == "nulls" and match[1] in ("first", "last"):
        nulls = "first" if match[1] == "first" else "last"
        match = []
    if match:
        raise UsageError(f"not understood in the sort key after {name!r}: {' '.join(rest)!r}", hint=_HINT)
    return SortField(name, direction, nulls)
