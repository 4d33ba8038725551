"""Identifiers as people type them: parts joined by dots, a part in quotes where it holds dots itself."""

from __future__ import annotations

from collections.abc import Iterable

from lakeopt.errors import UsageError

Identifier = tuple[str, ...]

_QUOTES = ('"', "`")


def split_identifier(text: str) -> Identifier:
    """Parts of an identifier. A part may stand in double quotes or backticks, doubled where it holds them.

    >>> split_identifier('lake.sales."2026.q1"')
    ('lake', 'sales', '2026.q1')

    :raises UsageError: a part is empty or a quote is not closed.
    """
    parts: list[str] = []
    at = 0
    while True:
        part, at = _quoted(text, at) if text[at : at + 1] in _QUOTES else _plain(text, at)
        if not part:
            raise UsageError(f"not a table name: {text!r}", hint="write [catalog.]namespace.table")
        parts.append(part)
        if at == len(text):
            return tuple(parts)
        at += 1


def join_identifier(parts: Iterable[str]) -> str:
    """Text that :func:`split_identifier` reads back as these parts; quotes only where they are needed.

    >>> join_identifier(["sales", "2026.q1"])
    'sales."2026.q1"'
    """
    return ".".join(_quote(part) if "." in part or part[:1] in _QUOTES else part for part in parts)


def _quote(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'


def _plain(text: str, start: int) -> tuple[str, int]:
    end = text.find(".", start)
    end = len(text) if end < 0 else end
    return text[start:end], end


def _quoted(text: str, start: int) -> tuple[str, int]:
    quote, at, part = text[start], start + 1, ""
    while True:
        end = text.find(quote, at)
        if end < 0:
            raise UsageError(f"a quote is not closed in {text!r}", hint=f"end the name with {quote}")
        part += text[at:end]
        if text[end + 1 : end + 2] != quote:
            break
        part, at = part + quote, end + 2
    if text[end + 1 : end + 2] not in ("", "."):
        raise UsageError(f"not a table name: {text!r}", hint="after a closing quote comes a dot or nothing")
    return part, end + 1
