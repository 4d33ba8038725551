"""A row's PV bucket as an expression of Spark SQL or of Hive, equal to :class:`lakeopt.keys.leading_key.RangeKey`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lakeopt.errors import Refused

Dialect = Literal["spark", "hive"]
Texts = Sequence[str | None]

#: How a value's text becomes a value, by Iceberg type; decimals and text stand apart.
_CASTS: dict[Dialect, dict[str, str]] = {
    "spark": {"timestamp": "TIMESTAMP_NTZ", "timestamptz": "TIMESTAMP"},
    "hive": {"timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMP WITH LOCAL TIME ZONE"},
}
_PLAIN = {"boolean": "BOOLEAN", "int": "INT", "long": "BIGINT", "date": "DATE"}
#: A moment's text says its zone, so that no session's zone is taken for it.
_ZONE: dict[Dialect, str] = {"spark": "+00:00", "hive": " UTC"}


def compares_alike(kind: str) -> bool:
    """Whether both dialects compare values of an Iceberg type as Iceberg does.

    >>> [compares_alike(kind) for kind in ("string", "decimal(9, 2)", "double", "time")]
    [True, True, False, False]
    """
    return kind == "string" or kind in _PLAIN or kind in _CASTS["spark"] or kind.startswith("decimal(")


@dataclass(frozen=True, slots=True)
class SqlColumn:
    """A column as SQL of one dialect spells it; ``kind`` is its Iceberg type.

    :raises Refused: the two dialects do not compare values of its type as Iceberg does.
    """

    dialect: Dialect
    name: str
    kind: str

    def __post_init__(self) -> None:
        if not compares_alike(self.kind):
            raise Refused(
                f"no SQL for buckets by {self.name!r} of type {self.kind}: engines differ in how they compare it",
                hint="take a column of integers, decimals, text, dates or timestamps",
            )

    @property
    def sql(self) -> str:
        """The column's name, quoted.

        >>> SqlColumn("spark", "a`b", "int").sql
        '`a``b`'
        """
        return "`" + self.name.replace("`", "``") + "`"

    def literal(self, text: str) -> str:
        """A value, from its text in a plan.

        >>> SqlColumn("spark", "t", "timestamptz").literal("2026-01-01 00:00:00Z")
        "CAST('2026-01-01 00:00:00+00:00' AS TIMESTAMP)"
        >>> SqlColumn("hive", "s", "string").literal("it's")
        "DECODE(UNHEX('69742773'), 'UTF-8')"
        """
        if self.kind == "string":
            return _text(text)
        if self.kind == "timestamptz":
            text = text.removesuffix("Z") + _ZONE[self.dialect]
        kind = _PLAIN.get(self.kind) or _CASTS[self.dialect].get(self.kind) or self.kind.upper()
        return f"CAST('{text}' AS {kind})"


def _text(text: str) -> str:
    """Text that both dialects read alike; what a session or a parser could change is spelt in digits.

    A session of Spark may take a backslash as it stands, and then knows no other way to a quote.
    """
    if text.isprintable() and not any(mark in text for mark in ("'", "\\", "${")):
        return f"'{text}'"
    return f"DECODE(UNHEX('{text.encode().hex().upper()}'), 'UTF-8')"


def bucket_sql(value: SqlColumn, second: SqlColumn | None, cuts: Sequence[Texts], seen: Texts | None) -> str:
    """The expression. ``cuts`` are those of the value and, with a second key, of that.

    >>> event, number = SqlColumn("spark", "e", "string"), SqlColumn("spark", "n", "int")
    >>> print(bucket_sql(event, number, [["b", "b"], [None, "7"]], None))
    CASE
      WHEN `e` > 'b' OR (`e` = 'b' AND `n` >= CAST('7' AS INT)) THEN 2
      WHEN `e` >= 'b' THEN 1
      ELSE 0
    END
    """
    count = len(cuts[0])
    lines = [f"WHEN {_unseen(value, seen)} THEN {count + 1}"] if seen is not None else []
    keys: Texts = cuts[1] if second is not None else [None] * count
    for number in range(count, 0, -1):
        lines.append(f"WHEN {_at_least(value, cuts[0][number - 1], second, keys[number - 1])} THEN {number}")
    if not lines:
        return "0"
    return "\n  ".join(["CASE", *lines, "ELSE 0"]) + "\nEND"


def _at_least(value: SqlColumn, text: str | None, second: SqlColumn | None, key: str | None) -> str:
    """Whether a row is not below a cut point; null is below all, so that no comparison with it has to hold."""
    if key is None or second is None:
        return "TRUE" if text is None else f"{value.sql} >= {value.literal(text)}"
    above = f"{second.sql} >= {second.literal(key)}"
    if text is None:
        return f"{value.sql} IS NOT NULL OR {above}"
    found = value.literal(text)
    return f"{value.sql} > {found} OR ({value.sql} = {found} AND {above})"


def _unseen(value: SqlColumn, seen: Texts) -> str:
    known = [value.literal(text) for text in seen if text is not None]
    other = f"{value.sql} NOT IN ({', '.join(known)})" if known else f"{value.sql} IS NOT NULL"
    return other if None in seen else f"{value.sql} IS NULL OR {other}"
