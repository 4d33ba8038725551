"""What queries ask of single columns: the conditions that let a reader leave out data without looking at it.

Only conjuncts at the top of a WHERE clause count, that compare one column with literals by =, <, <=, >, >=,
BETWEEN or IN. Everything else leaves nothing out, so that a prediction made from this is on the safe side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_OPERATORS = {"EQ": "=", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
_MIRRORED = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


@dataclass(frozen=True, slots=True)
class Interval:
    """Values between two literals, as they stand in the SQL; None is no bound."""

    low: str | None = None
    high: str | None = None
    low_included: bool = True
    high_included: bool = True


@dataclass(frozen=True, slots=True)
class Condition:
    """A column must lie in one of the intervals."""

    column: str
    intervals: tuple[Interval, ...]

    @property
    def is_point(self) -> bool:
        """Whether it asks for single values (``=``, ``IN``)."""
        return all(held.low is not None and held.low == held.high for held in self.intervals)


#: One reading of the table by a query: all conditions must hold.
Reading = tuple[Condition, ...]


def readings(sql: str, columns: Sequence[str]) -> tuple[Reading, ...]:
    """Conditions of each place where a query reads a table that has these columns (most queries have one).

    An empty reading reads everything. Column names are compared without case, as SQL does.

    >>> readings("SELECT 1 FROM t WHERE carrier IN ('UA', 'AA') AND 3 < month", ["carrier", "month"])[0][1]
    Condition(column='month', intervals=(Interval(low='3', high=None, low_included=False, high_included=True),))
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    folded = {name.casefold(): name for name in columns}
    found: list[Reading] = []
    for scope in traverse_scope(sqlglot.parse_one(sql, read="duckdb")):
        sources = [source for _, source in scope.selected_sources.values()]
        for table in sources:
            if isinstance(table, exp.Table):
                alone = len(sources) == 1
                found.append(tuple(_conditions(scope.expression, table.alias_or_name, alone, folded)))
    return tuple(found)


def unknown_columns(sql: str, columns: Sequence[str]) -> list[str]:
    """Names that a query takes for columns of its table and that are none of these, each once.

    Only where it reads one table and nothing else is a name surely that table's.

    >>> unknown_columns("SELECT month AS m, flown FROM t WHERE m > 3 GROUP BY MONTH", ["month"])
    ['flown']
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.optimizer.scope import traverse_scope

    known = {name.casefold() for name in columns}
    found: dict[str, None] = {}
    for scope in traverse_scope(sqlglot.parse_one(sql, read="duckdb")):
        sources = [(alias, source) for alias, (_, source) in scope.selected_sources.items()]
        if len(sources) != 1 or not isinstance(sources[0][1], exp.Table) or scope.parent is not None:
            continue
        own = {"", sources[0][0].casefold()}
        aliases = {alias.alias.casefold() for alias in scope.expression.find_all(exp.Alias)}
        for column in scope.columns:
            named = column.name.casefold()
            if column.table.casefold() in own and named not in known | aliases | own | {"*"}:
                found[column.name] = None
    return list(found)


def _conditions(select: Any, alias: str, alone: bool, columns: Mapping[str, str]) -> Iterator[Condition]:
    where = select.args.get("where")
    outer = any(join.side for join in select.args.get("joins") or ())
    if where is None or outer:  # what an outer join adds is not bound by the WHERE of its inner side
        return

    def named(node: Any) -> str | None:
        if type(node).__name__ != "Column":
            return None
        ours = node.table.casefold() == alias.casefold() if node.table else alone
        return columns.get(node.name.casefold()) if ours else None

    for conjunct in _conjuncts(where.this):
        if (condition := _condition(conjunct, named)) is not None:
            yield condition


def _conjuncts(node: Any) -> Iterator[Any]:
    """The parts that AND joins at the top, out of their parentheses."""
    node = node.unnest()
    if type(node).__name__ == "And":
        yield from _conjuncts(node.left)
        yield from _conjuncts(node.right)
    else:
        yield node


def _condition(node: Any, named: Callable[[Any], str | None]) -> Condition | None:
    kind = type(node).__name__
    if kind in _OPERATORS:
        operator, column, value = _OPERATORS[kind], named(node.left), node.right
        if column is None:
            operator, column, value = _MIRRORED[operator], named(node.right), node.left
        literal = _literal(value)
        return None if column is None or literal is None else Condition(column, (_interval(operator, literal),))
    column = named(node.this) if kind in ("Between", "In") else None
    if column is None:
        return None
    if kind == "Between":
        low, high = _literal(node.args["low"]), _literal(node.args["high"])
        return None if low is None or high is None else Condition(column, (Interval(low, high),))
    values = [_literal(value) for value in node.expressions]
    known = [value for value in values if value is not None]
    return Condition(column, tuple(Interval(v, v) for v in known)) if known and len(known) == len(values) else None


def _interval(operator: str, literal: str) -> Interval:
    if operator == "=":
        return Interval(literal, literal)
    included = operator.endswith("=")
    if operator.startswith(">"):
        return Interval(low=literal, low_included=included)
    return Interval(high=literal, high_included=included)


def _literal(node: Any) -> str | None:
    """Text of a literal, negative number, boolean or cast of one (``DATE '2013-01-01'``)."""
    kind = type(node).__name__
    if kind == "Cast":
        return _literal(node.this)
    if kind == "Neg":
        inner = _literal(node.this)
        return None if inner is None else f"-{inner}"
    if kind == "Boolean":
        return str(node.this).lower()
    return str(node.this) if kind == "Literal" else None
