"""Ranges in Spark's own words, where they are few and of plain types: no row then goes through Python."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lakeopt.engines.spark.ordering import Term, quoted
from lakeopt.keys.row_ranges import RowRanges

if TYPE_CHECKING:
    from pyspark.sql import Column

#: Each cut is compared with each row; the code of more comparisons would be too long for Java's compiler.
MOST = 16


def native_ranges(ranges: RowRanges, order: Sequence[Term]) -> Column | None:
    """The number of cuts that are not above each row; None where Spark might compare otherwise than the spec does."""
    cuts = ranges.cuts
    if ranges.depth is not None or not 0 < len(cuts[0]) < MOST or not all(_is_plain(column.type) for column in cuts):
        return None
    rows = zip(*(column.to_pylist() for column in cuts), strict=True)
    counted = [_reaches(list(zip(order, row, strict=True))).cast("int") for row in rows]
    return reduce(lambda one, other: one + other, counted)


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _reaches(cut: list[tuple[Term, Any]]) -> Column:
    """Whether a row is at a cut or behind it."""
    from pyspark.sql import functions as f

    (term, value), *more = cut
    column = quoted(term.name)
    if value is None:
        behind = column.isNotNull() if term.nulls_first else f.lit(False)
    else:
        compared = column > f.lit(value) if term.ascending else column < f.lit(value)
        behind = f.coalesce(compared, f.lit(not term.nulls_first))
    equal = column.eqNullSafe(f.lit(value))
    return behind | (equal & _reaches(more) if more else equal)
