"""Which files a query can need: its predicates as a filter over Iceberg metadata.

Any Iceberg reader leaves out the files whose bounds rule out every row that a query asks for. The same is done
here, equally on every side of a comparison, with the predicates that are sure to be safe: conjuncts of the WHERE
clause that stands beside the table, comparing one column with literals. Floats are left alone, since NaN is the
largest value to SQL and has no place in the bounds. What is not understood prunes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from lakeopt.model.workload import Query

_COMPARE = {"EQ": "=", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
_FLIP = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def file_filter(query: Query, field_types: Mapping[str, str]) -> str | None:
    r"""A filter in pyiceberg's syntax that every row the query reads of the table fulfils, or None.

    ``field_types`` gives the Iceberg type of each top-level column. Where the query reads the table more than
    once, a file stays if any of the readings may need it.

    >>> types = {"carrier": "string", "month": "int"}
    >>> file_filter(Query("q", "SELECT 1 FROM t WHERE carrier = 'UA' AND abs(month) > 3 AND month IN (6, 7)"), types)
    '("carrier" = \'UA\' and "month" in (6, 7))'
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    tree = sqlglot.parse_one(query.sql, read="duckdb")
    filters: list[str] = []
    readings = 0
    for scope in traverse_scope(tree):
        tables = [source for _, source in scope.selected_sources.values() if isinstance(source, exp.Table)]
        readings += len(tables)
        for table in tables:
            names = _Names(table.alias_or_name, len(scope.selected_sources) == 1, field_types)
            if (found := _where(scope.expression, table, names)) is None:
                return None
            filters.append(found)
    ctes = {cte.alias.casefold() for cte in tree.find_all(exp.CTE)}
    written = [table for table in tree.find_all(exp.Table) if table.db or table.name.casefold() not in ctes]
    if not filters or readings < len(written):
        return None  # a reading in a place that the scopes do not show: better no pruning than a wrong one
    distinct = list(dict.fromkeys(filters))
    return distinct[0] if len(distinct) == 1 else "(" + " or ".join(distinct) + ")"


class _Names:
    """Resolves a column of the query to a column of one table."""

    def __init__(self, alias: str, alone: bool, field_types: Mapping[str, str]) -> None:
        self.alias, self.alone, self.types = alias.casefold(), alone, field_types
        self.exact: dict[str, str | None] = {}
        for name in field_types:
            folded = name.casefold()
            self.exact[folded] = None if folded in self.exact else name

    def column(self, node: Any) -> tuple[str, str] | None:
        """Quoted name and Iceberg type, or None if the node is no column that is surely this table's."""
        from sqlglot import exp

        if not isinstance(node, exp.Column) or node.args.get("db"):
            return None
        if node.table.casefold() != self.alias if node.table else not self.alone:
            return None
        name = self.exact.get(node.name.casefold())
        if name is None or re.search(r'["\\.\r\n]', name):
            return None
        return f'"{name}"', self.types[name]


def _where(select: Any, table: Any, names: _Names) -> str | None:
    """The filter of the WHERE beside a table, or None where it does not bind each of the table's rows."""
    from sqlglot import exp

    if not isinstance(select, exp.Select) or select.args.get("sample") or select.args.get("where") is None:
        return None
    if table.args.get("pivots") or table.args.get("sample") or isinstance(table.parent, exp.TableSample):
        return None
    for join in select.args.get("joins") or ():
        if join.side or join.kind not in ("", "INNER", "CROSS") or join.method not in ("", "NATURAL"):
            return None
    return _predicate(select.args["where"].this, names)


def _predicate(node: Any, names: _Names) -> str | None:
    """A filter that holds wherever the SQL predicate does, or None."""
    from sqlglot import exp

    if isinstance(node, exp.Paren):
        return _predicate(node.this, names)
    if isinstance(node, exp.And | exp.Or):
        parts = [_predicate(side, names) for side in (node.left, node.right)]
        known = [part for part in parts if part is not None]
        if isinstance(node, exp.And):
            return f"({known[0]} and {known[1]})" if len(known) == 2 else next(iter(known), None)
        return f"({known[0]} or {known[1]})" if len(known) == 2 else None
    if isinstance(node, exp.Not):
        inner = node.this.unnest()
        nulls = isinstance(inner, exp.Is) and isinstance(inner.expression, exp.Null)
        found = names.column(inner.this) if nulls else None
        return f"{found[0]} is not null" if found else None
    return _comparison(node, names)


def _comparison(node: Any, names: _Names) -> str | None:
    from sqlglot import exp

    if isinstance(node, exp.EQ | exp.LT | exp.LTE | exp.GT | exp.GTE):
        operator, column, value = _COMPARE[type(node).__name__], names.column(node.left), node.right
        if column is None:
            operator, column, value = _FLIP[operator], names.column(node.right), node.left
        literal = _literal(value, column[1]) if column else None
        return f"{column[0]} {operator} {literal}" if column and literal else None
    column = names.column(node.this) if isinstance(node.this, exp.Expression) else None
    if column is None:
        return None
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
        return f"{column[0]} is null"
    if isinstance(node, exp.Between) and not node.args.get("symmetric"):
        low, high = (_literal(node.args[bound], column[1]) for bound in ("low", "high"))
        return f"({column[0]} >= {low} and {column[0]} <= {high})" if low and high else None
    if isinstance(node, exp.In) and node.expressions and not node.args.get("query"):
        literals = [_literal(value, column[1]) for value in node.expressions]
        return f"{column[0]} in ({', '.join(filter(None, literals))})" if all(literals) else None
    if isinstance(node, exp.Like) and column[1] == "string":
        prefix = re.fullmatch(r"'([^%_\\\r\n]+%)'", _literal(node.expression, "string") or "")
        return f"{column[0]} like '{prefix[1]}'" if prefix else None
    return None


def _literal(node: Any, kind: str) -> str | None:
    """A SQL literal as pyiceberg's parser reads it for a column of this Iceberg type, or None."""
    from sqlglot import exp

    if isinstance(node, exp.Boolean):
        return str(node.this).lower() if kind == "boolean" else None
    cast = node.to.this.name if isinstance(node, exp.Cast) else None
    node = node.this if cast else node
    sign, node = ("-", node.this) if isinstance(node, exp.Neg) else ("", node)
    if not isinstance(node, exp.Literal):
        return None
    text = sign + node.name
    if not node.is_string:
        return None if cast else _number(text, kind)
    if kind == "string" and cast in (None, "TEXT", "VARCHAR") and not re.search(r"[\\\r\n]", text):
        return "'" + text.replace("'", "''") + "'"
    return _moment(text, kind, cast)


def _number(text: str, kind: str) -> str | None:
    if kind in ("int", "long"):
        bits = 31 if kind == "int" else 63
        fits = re.fullmatch(r"-?\d+", text) is not None and -(2**bits) <= int(text) < 2**bits
        return text if fits else None
    if (decimal := re.fullmatch(r"decimal\((\d+), ?(\d+)\)", kind)) is None:
        return None
    precision, scale = int(decimal[1]), int(decimal[2])
    try:
        value = Decimal(text)
        scaled = value.scaleb(scale)
    except InvalidOperation:
        return None
    if scaled != scaled.to_integral_value() or abs(scaled) >= 10**precision:
        return None
    return f"{value:.{scale}f}" if scale else f"{value:.0f}"


def _moment(text: str, kind: str, cast: str | None) -> str | None:
    if kind == "date" and cast in (None, "DATE") and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        try:
            return f"'{date.fromisoformat(text)}'"
        except ValueError:
            return None
    zoned = kind == "timestamptz"
    if (not zoned and kind != "timestamp") or cast not in (None, "DATE", "TIMESTAMP", "TIMESTAMPNTZ", "TIMESTAMPTZ"):
        return None
    if not re.fullmatch(
        r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?([+-]\d{2}:\d{2}|[+-]\d{2}|Z)?", text
    ):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if (cast == "DATE" and len(text) > len("2013-01-01")) or (not zoned and (moment.tzinfo or cast == "TIMESTAMPTZ")):
        return None
    if zoned:  # queries run with the session's time zone at UTC
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    return f"'{moment.isoformat()}'"
