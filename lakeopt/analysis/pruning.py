"""How much of a table queries would read in an order of its rows, foretold from a sample.

Unit is the page of a data file (its size is the writer's): a reader needs a page if the range of its values meets
what the query asks for. A sample is thinner than the table, and its pages are taken thinner by as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.analysis.predicates import Condition, Interval, Reading
from lakeopt.analysis.rank_codes import RankCodes
from lakeopt.keys.comparable import comparable_column

#: Lowest and highest code of each page.
Bounds = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


class PagePruning:
    """Shares of pages that weighted queries touch. ``queries`` are (weight, readings of the table) pairs."""

    def __init__(
        self,
        rows: pa.Table,
        codes: Mapping[str, RankCodes],
        queries: Sequence[tuple[float, Sequence[Reading]]],
        *,
        partition: npt.NDArray[np.unsignedinteger],
        page_rows: int,
    ) -> None:
        self._codes, self._queries = codes, queries
        self._partition, self._page_rows = partition, max(1, page_rows)
        asked = {c for _, readings in queries for reading in readings for c in reading if c.column in codes}
        self._ranges = {condition: _code_ranges(rows, codes, condition) for condition in asked}

    @property
    def columns(self) -> list[str]:
        """Columns with a usable condition, those of the heaviest queries first."""
        weights: dict[str, float] = {}
        for weight, readings in self._queries:
            for condition in {condition for reading in readings for condition in reading}:
                if self._ranges.get(condition) is not None:
                    weights[condition.column] = weights.get(condition.column, 0.0) + weight
        return sorted(weights, key=lambda name: -weights[name])

    def scanned_ratio(self, order: npt.NDArray[np.int64]) -> float:
        """Mean share of pages that the queries touch when the rows lie in this order."""
        if not len(order):
            return 1.0
        starts = self._page_starts(order)
        bounds = {name: self._bounds(name, order, starts) for name in self.columns}
        total = sum(weight for weight, _ in self._queries)
        return sum(weight * self._share(readings, bounds, len(starts)) for weight, readings in self._queries) / total

    def _page_starts(self, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Each partition begins a page, and so does every ``page_rows``-th row of it."""
        labels = self._partition[order]
        edges = np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1, [len(order)]])
        pages = [np.arange(start, end, self._page_rows) for start, end in pairwise(edges)]
        return np.concatenate(pages)

    def _bounds(self, name: str, order: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> Bounds:
        """Nulls are in no page's bounds."""
        column = self._codes[name]
        values = column.codes[order].astype(np.int64)
        low = np.where(values == 0, column.cardinality, values) if column.has_nulls else values
        return np.minimum.reduceat(low, starts), np.maximum.reduceat(values, starts)

    def _share(self, readings: Sequence[Reading], bounds: Mapping[str, Bounds], pages: int) -> float:
        touched = np.zeros(pages, bool)
        for reading in readings:
            needed = np.ones(pages, bool)
            for condition in reading:
                ranges = self._ranges.get(condition)
                if ranges is not None:
                    low, high = bounds[condition.column]
                    needed &= np.logical_or.reduce([(low <= last) & (high >= first) for first, last in ranges])
            touched |= needed
        return float(touched.mean()) if readings else 1.0


def _code_ranges(
    rows: pa.Table, codes: Mapping[str, RankCodes], condition: Condition
) -> tuple[tuple[int, int], ...] | None:
    """First and last code of each interval; None where a literal does not fit the column's type.

    Of a value that the sample lacks, the last code is one below the first: pages that straddle it may hold it.
    """
    column = rows[condition.column]
    values = pc.unique(comparable_column(column).drop_null())
    offset = int(codes[condition.column].has_nulls)
    try:
        return tuple(_range(values, column.type, interval, offset) for interval in condition.intervals)
    except (pa.ArrowException, ValueError):
        return None


def _range(values: pa.Array, kind: pa.DataType, interval: Interval, offset: int) -> tuple[int, int]:
    first, last = 0, len(values) - 1
    if interval.low is not None:
        below = pc.less if interval.low_included else pc.less_equal
        first = _count(below(values, _scalar(interval.low, kind)))
    if interval.high is not None:
        upto = pc.less_equal if interval.high_included else pc.less
        last = _count(upto(values, _scalar(interval.high, kind))) - 1
    return first + offset, last + offset


def _count(mask: pa.Array) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _scalar(text: str, kind: pa.DataType) -> pa.Scalar:
    """A literal as a value of the column's comparable type.

    :raises pyarrow.ArrowInvalid: it is no value of that type.
    """
    if isinstance(kind, pa.BaseExtensionType):
        import uuid

        return pa.scalar(uuid.UUID(text).bytes, kind.storage_type)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        naive = pa.scalar(text).cast(pa.timestamp(kind.unit))
        return pa.scalar(naive.value, kind)
    return comparable_column(pa.chunked_array([pa.array([text]).cast(kind)]))[0]
