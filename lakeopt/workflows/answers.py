"""Whether two answers to one query are the same answer.

SQL promises a multiset of rows, in order only as far as ORDER BY says, and with LIMIT any of the rows that tie
for the last place. So rows are compared as multisets; the ORDER BY columns also one by one in sequence; and with
LIMIT the rows that tie at a cut are left out. Sums of floats depend on the order of their terms, so floats are
equal within :data:`FLOAT_TOLERANCE`, relative; inside lists and maps they must agree exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FLOAT_TOLERANCE = 1e-9
#: Floats nearer to each other than this are equal, so that a sum that cancels out may be a little off zero.
FLOAT_FLOOR = 1e-12


@dataclass(frozen=True, slots=True)
class Ordering:
    """What the outermost SELECT says of order. ``keys`` are output positions; None: not among the output columns."""

    keys: tuple[int, ...] | None
    limited: bool
    skips: bool


def same_answer(before: pa.Table, after: pa.Table, sql: str) -> bool | None:
    """Whether two answers to a query agree; None where any rows would do, as with LIMIT and no ORDER BY.

    >>> import pyarrow as pa
    >>> left, right = pa.table({"x": [1, 2, 2]}), pa.table({"x": [2, 1, 2]})
    >>> same_answer(left, right, "SELECT x FROM t"), same_answer(left, right, "SELECT x FROM t ORDER BY x")
    (True, False)
    """
    if before.schema.types != after.schema.types or before.num_rows != after.num_rows:
        return False
    ordering = read_ordering(sql, before.schema.names)
    if ordering.limited and not ordering.keys:
        return None
    if before.num_rows == 0:
        return True
    values = [value for output in range(before.num_columns) for value in _flat(output, before[output], after[output])]
    return _compare(values, before.num_rows, ordering)


def read_ordering(sql: str, names: Sequence[str]) -> Ordering:
    """ORDER BY and LIMIT of a query with these output columns.

    >>> read_ordering("SELECT a, count(*) AS n FROM t GROUP BY a ORDER BY n DESC, 1 LIMIT 5", ["a", "n"])
    Ordering(keys=(1, 0), limited=True, skips=False)
    """
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(sql, read="duckdb").unnest()
    limited, skips = (
        any(tree.args.get(word) for word in words) for words in (("limit", "fetch", "sample"), ("offset",))
    )
    order = tree.args.get("order")
    if order is None:
        return Ordering((), limited or skips, skips)
    outputs = [column.unalias() for column in tree.selects] if isinstance(tree, exp.Select) else []
    keys = [_key(term.this, names, outputs) for term in order.expressions]
    known = None if None in keys else tuple(key for key in keys if key is not None)
    if any(term.this.sql().upper() == "ALL" for term in order.expressions):
        known = tuple(range(len(names)))
    return Ordering(known, limited or skips, skips)


def _key(term: Any, names: Sequence[str], outputs: Sequence[Any]) -> int | None:
    """Output position of an ORDER BY term."""
    from sqlglot import exp

    if isinstance(term, exp.Literal) and not term.is_string:
        return int(term.name) - 1
    folded = [name.casefold() for name in names]
    if isinstance(term, exp.Column) and not term.table and folded.count(term.name.casefold()) == 1:
        return folded.index(term.name.casefold())
    return outputs.index(term) if len(outputs) == len(names) and term in outputs else None


@dataclass(frozen=True, slots=True)
class _Values:
    """A flat column of both answers: exact values as codes, or floats (nulls apart, as codes)."""

    output: int
    codes: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
    floats: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None


def _flat(output: int, before: Any, after: Any) -> Iterator[_Values]:
    """Columns without structs; what is nested otherwise goes by its text."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, count = before.type, len(before)
    both = pa.chunked_array([*before.chunks, *after.chunks], type=kind)
    if pa.types.is_struct(kind):
        valid = pc.is_valid(both).combine_chunks().to_numpy(zero_copy_only=False).astype(np.int64)
        yield _Values(output, (valid[:count], valid[count:]), None)
        for index in range(kind.num_fields):
            yield from _flat(output, pc.struct_field(before, [index]), pc.struct_field(after, [index]))
        return
    if pa.types.is_floating(kind):
        nulls = pc.is_null(both).combine_chunks().to_numpy(zero_copy_only=False).astype(np.int64)
        floats = pc.fill_null(both.cast(pa.float64()), 0.0).combine_chunks().to_numpy(zero_copy_only=False) + 0.0
        yield _Values(output, (nulls[:count], nulls[count:]), (floats[:count], floats[count:]))
        return
    if pa.types.is_nested(kind):
        both = pa.chunked_array([pa.array([_text(value) for value in both.to_pylist()], pa.string())])
    elif isinstance(kind, pa.BaseExtensionType):
        both = pa.chunked_array([chunk.storage for chunk in both.chunks], type=kind.storage_type)
    encoded = pc.dictionary_encode(both.combine_chunks(), null_encoding="encode")
    ranks = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    yield _Values(output, (ranks[:count], ranks[count:]), None)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    is_map = isinstance(value, list) and value and all(isinstance(entry, tuple) for entry in value)
    return repr(sorted(value, key=repr) if is_map else value)


def _compare(values: list[_Values], count: int, ordering: Ordering) -> bool:
    import numpy as np

    keys = [value for value in values if value.output in (ordering.keys or ())]
    everything = np.arange(count)
    if not _equal(keys, everything, everything):
        return False
    kept = _beyond_cuts(keys, ordering) if ordering.limited else everything
    orders = [kept[_sorted(values, kept, side)] for side in (0, 1)]
    return _equal(values, *orders)


def _beyond_cuts(keys: list[_Values], ordering: Ordering) -> np.ndarray[Any, Any]:
    """Rows whose key differs from that of the last row, and with OFFSET from that of the first."""
    import numpy as np

    count = len(keys[0].codes[0])
    kept = np.ones(count, bool)
    for cut in [count - 1, 0] if ordering.skips else [count - 1]:
        ties = np.ones(count, bool)
        for value in keys:
            ties &= value.codes[0] == value.codes[0][cut]
            if value.floats is not None:
                ties &= _close(value.floats[0], np.full(count, value.floats[0][cut]))
        kept &= ~ties
    return np.flatnonzero(kept)


def _sorted(values: list[_Values], rows: np.ndarray[Any, Any], side: int) -> np.ndarray[Any, Any]:
    """Exact values first: they tell which rows belong together, before floats that are only nearly equal."""
    import numpy as np

    exact = [value.codes[side][rows] for value in values]
    floats = [value.floats[side][rows] for value in values if value.floats is not None]
    return np.lexsort([*reversed(floats), *reversed(exact)]) if exact else np.arange(len(rows))


def _equal(values: list[_Values], left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> bool:
    for value in values:
        if (value.codes[0][left] != value.codes[1][right]).any():
            return False
        if value.floats is not None and not _close(value.floats[0][left], value.floats[1][right]).all():
            return False
    return True


def _close(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    import numpy as np

    near: np.ndarray[Any, Any] = np.isclose(left, right, rtol=FLOAT_TOLERANCE, atol=FLOAT_FLOOR, equal_nan=True)
    return near
