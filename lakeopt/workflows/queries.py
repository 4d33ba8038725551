"""Files of named SQL queries, and which table their SQL speaks of.

A file is either a list of named queries or of statements parted by semicolons::

    -- name: one carrier's month
    -- weight: 3
    SELECT avg(dep_delay) FROM t WHERE carrier = 'UA' AND month = 6;

Each query reads the table under test as ``t``, by its own name, or by as much of its identifier as it likes.
The SQL is parsed here to check it; what runs is the text as it stands in the file.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lakeopt.errors import UnknownName, UsageError
from lakeopt.model.workload import Query, Workload

#: The name under which every query may read the table under test.
ALIAS = "t"

_NAME = re.compile(r"^[ \t]*--[ \t]*name:(.*)$", re.MULTILINE | re.IGNORECASE)
_WEIGHT = re.compile(r"^[ \t]*--[ \t]*weight:(.*)$", re.MULTILINE | re.IGNORECASE)
_HINT = "start each query with a line such as '-- name: daily delays', or part unnamed ones with ';'"


def read_queries(path: str | Path) -> Workload:
    """The queries of a ``.sql`` file, in its order; unnamed ones are called ``query-1``, ``query-2`` …

    :raises UsageError: the file cannot be read, holds no query, or one that is not a single SELECT; the
        message begins with ``file:line:``.
    """
    return parse_queries(_text(path), source=str(path))


def usable_queries(path: str | Path, columns: Sequence[str]) -> tuple[tuple[Query, ...], dict[str, str]]:
    """The queries of a file that are one SELECT and name no column but these, and why each other one is left out.

    :raises UsageError: the file cannot be read or divided into queries, or none of them can be used.
    """
    from lakeopt.analysis.predicates import unknown_columns

    usable, skipped = [], {}
    for name, section, line in _sections(_text(path), str(path)):
        try:
            query = _query(name, section, line, str(path))
        except UsageError as error:
            skipped[name] = str(error).removeprefix(f"{path}:")
            continue
        if unknown := unknown_columns(query.sql, columns):
            skipped[name] = f"no column {', '.join(map(repr, unknown))}"
        else:
            usable.append(query)
    if not usable:
        why = "; ".join(f"{name}: {reason}" for name, reason in skipped.items()) or "there is none"
        raise UsageError(f"{path}: no query can be used: {why}", hint=_HINT)
    return tuple(usable), skipped


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"queries cannot be read: {path}: {reason}", hint="--queries takes a file of SQL") from error


def parse_queries(text: str, *, source: str = "queries") -> Workload:
    """The queries of a text; ``source`` names it in errors.

    >>> workload = parse_queries("-- name: all\\n-- weight: 2\\nSELECT count(*) FROM t;")
    >>> workload.queries
    (Query(name='all', sql='SELECT count(*) FROM t', weight=2.0),)

    :raises UsageError: as :func:`read_queries`.
    """
    queries = tuple(_query(*section, source) for section in _sections(text, source))
    if not queries:
        raise UsageError(f"{source}: holds no query", hint=_HINT)
    return Workload(source=source, queries=queries)


def tables_read(query: Query) -> list[tuple[str, ...]]:
    """Tables that a query reads, as the name parts that it writes, each once; CTEs are no tables.

    >>> tables_read(Query("q", 'WITH c AS (SELECT * FROM lake.demo."My T") SELECT * FROM c, t'))
    [('lake', 'demo', 'My T'), ('t',)]
    """
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    found: dict[tuple[str, ...], None] = {}
    for scope in traverse_scope(_statements(query.sql, 1, query.name)[0]):
        for source in scope.sources.values():
            if isinstance(source, exp.Table) and isinstance(source.this, exp.Identifier | exp.Dot):
                found[tuple(part.name for part in source.parts)] = None
    return list(found)


def bind(query: Query, identifiers: Sequence[str]) -> list[tuple[str, ...]]:
    """The names by which a query reads the table (or tables) under test; case does not matter, as in SQL.

    >>> bind(Query("q", "SELECT 1 FROM demo.Flights"), ["lake.demo.flights"])
    [('demo', 'Flights')]

    :raises UnknownName: the query reads another table.
    :raises UsageError: it reads none.
    """
    from lakeopt.tables.iceberg.identifiers import split_identifier

    known: set[tuple[str, ...]] = {(ALIAS,)}
    for identifier in identifiers:
        if not identifier.endswith(".metadata.json"):
            parts = split_identifier(identifier)
            known.update(parts[start:] for start in range(len(parts)))
    folded = {_folded(name) for name in known}
    references = tables_read(query)
    if not references:
        raise UsageError(f"query {query.name!r} reads no table", hint=f"read the table under test as {ALIAS!r}")
    for reference in references:
        if _folded(reference) not in folded:
            raise UnknownName(f"table for query {query.name!r}", _spelt(reference), map(_spelt, known))
    return references


def _folded(name: Sequence[str]) -> tuple[str, ...]:
    return tuple(part.casefold() for part in name)


def _spelt(name: Sequence[str]) -> str:
    """The name as a query would write it: parts that are no plain words in quotes."""
    from sqlglot import exp

    return ".".join(exp.to_identifier(part).sql(dialect="duckdb") for part in name)


def _sections(text: str, source: str) -> Iterator[tuple[str, str, int]]:
    """Name, text and first line of each query, named or not."""
    return _named(text, source) if _NAME.search(text) else _unnamed(text, source)


def _named(text: str, source: str) -> Iterator[tuple[str, str, int]]:
    marks = list(_NAME.finditer(text))
    if _tokens(text[: marks[0].start()], 1, source):
        raise UsageError(f"{source}:1: SQL before the first '-- name:' line", hint=_HINT)
    names = Counter(mark[1].strip() for mark in marks)
    for mark, end in zip(marks, [mark.start() for mark in marks[1:]] + [len(text)], strict=True):
        line, name = _line(text, mark.start()), mark[1].strip()
        if not name:
            raise UsageError(f"{source}:{line}: a query without a name", hint=_HINT)
        if names[name] > 1:
            raise UsageError(f"{source}:{line}: two queries are named {name!r}", hint="give each its own name")
        yield name, text[mark.end() : end], line


def _unnamed(text: str, source: str) -> Iterator[tuple[str, str, int]]:
    start, number = 0, 0
    ends = [token.start for token in _tokens(text, 1, source) if token.text == ";" and token.end == token.start]
    for end in [*ends, len(text)]:
        section = text[start:end]
        line = _line(text, start + len(section) - len(section.lstrip()))
        if _tokens(section, line, source):
            number += 1
            yield f"query-{number}", text[start:end], _line(text, start)
        start = end + 1


def _query(name: str, section: str, line: int, source: str) -> Query:
    from sqlglot import exp

    statements = _statements(section, line, source)
    if len(statements) != 1:
        found = "no statement" if not statements else f"{len(statements)} statements"
        raise UsageError(f"{source}:{line}: query {name!r} holds {found}", hint="one SELECT a query")
    if not isinstance(statements[0], exp.Query):
        raise UsageError(f"{source}:{line}: query {name!r} is not a SELECT", hint="queries only read")
    weights = [(float(weight), at) for weight, at in _weights(section, line, source)]
    if len(weights) > 1:
        raise UsageError(f"{source}:{weights[1][1]}: query {name!r} has two weights")
    tokens = _tokens(section, line, source)
    while tokens[-1].text == ";":
        tokens.pop()
    sql = section[tokens[0].start : tokens[-1].end + 1]
    return Query(name, sql, weights[0][0] if weights else 1.0)


def _weights(section: str, line: int, source: str) -> Iterator[tuple[float, int]]:
    for mark in _WEIGHT.finditer(section):
        at = line + section.count("\n", 0, mark.start())
        try:
            weight = float(mark[1])
        except ValueError:
            weight = math.nan
        if not 0 < weight < math.inf:
            raise UsageError(f"{source}:{at}: not a weight: {mark[1].strip()!r}", hint="a number above zero")
        yield weight, at


def _tokens(sql: str, line: int, source: str) -> list[Any]:
    from sqlglot.dialects import DuckDB
    from sqlglot.errors import TokenError

    try:
        return list(DuckDB().tokenize(sql))
    except TokenError as error:
        raise UsageError(f"{source}:{line}: not SQL: {error}", hint="is a quote or a comment left open?") from error


def _statements(sql: str, line: int, source: str) -> list[Any]:
    import sqlglot
    from sqlglot.errors import ParseError

    _tokens(sql, line, source)
    try:
        return [statement for statement in sqlglot.parse(sql, read="duckdb") if statement is not None]
    except ParseError as error:
        first = error.errors[0]
        at = line + (first.get("line") or 1) - 1
        raise UsageError(
            f"{source}:{at}: not SQL: {first.get('description')}", hint="queries are one SELECT each"
        ) from error


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
