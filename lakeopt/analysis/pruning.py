"""How much of a table queries would read in an order of its rows, foretold from a sample.

Unit is the page of a data file (its size is the writer's): a reader needs a page if the range of its values meets
what the query asks for. A sample is thinner than the table, and its pages are taken thinner by as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class PointLookup:
    """A query that asks one column for single values, and what it meets where rows lie in blocks.

    ``weight`` is the query's share of all, ``touched`` the share of blocks that the bounds of all its conditions
    admit, ``holding`` the share of all that are admitted and hold one of the values.
    """

    column: str
    weight: float
    touched: float
    holding: float


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
        """Columns with a usable condition, those of the heaviest queries first; the first asked for where equal."""
        weights: dict[str, float] = {}
        for weight, readings in self._queries:
            usable = [one.column for reading in readings for one in reading if self._ranges.get(one) is not None]
            for name in dict.fromkeys(usable):
                weights[name] = weights.get(name, 0.0) + weight
        return sorted(weights, key=lambda name: -weights[name])

    def scanned_ratio(self, order: npt.NDArray[np.int64], page_rows: int | None = None) -> float:
        """Mean share of pages (of other than the usual rows, where given) that the queries touch in this order."""
        return sum(weight * share for weight, share in self.scanned_shares(order, page_rows)) if len(order) else 1.0

    def scanned_shares(self, order: npt.NDArray[np.int64], page_rows: int | None = None) -> list[tuple[float, float]]:
        """Of each query its share of all weights, and the share of pages that it touches in this order of some rows."""
        starts = self._block_starts(order, page_rows or self._page_rows)
        bounds = {name: self._bounds(name, order, starts) for name in self.columns}
        total = sum(weight for weight, _ in self._queries)
        return [(weight / total, self._share(readings, bounds, len(starts))) for weight, readings in self._queries]

    def lookups(self, order: npt.NDArray[np.int64], block_rows: int) -> list[PointLookup]:
        """What queries that ask a column for single values meet in this order of some rows, in blocks (row groups)."""
        starts = self._block_starts(order, block_rows)
        bounds = {name: self._bounds(name, order, starts) for name in self.columns}
        total = sum(weight for weight, _ in self._queries)
        found = []
        for weight, readings in self._queries:
            for reading in readings:
                needed = self._needed(reading, bounds, len(starts))
                for condition in reading:
                    if condition.is_point and self._ranges.get(condition) is not None:
                        held = needed & self._holding(condition, order, starts)
                        shares = float(needed.mean()), float(held.mean())
                        found.append(PointLookup(condition.column, weight / total, *shares))
        return found

    def _holding(
        self, condition: Condition, order: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Blocks that hold one of the values."""
        column = self._codes[condition.column]
        asked = np.zeros(column.cardinality + 1, bool)
        for first, last in self._ranges[condition] or ():
            asked[first : last + 1] = True
        return np.logical_or.reduceat(asked[column.codes[order]], starts)

    def _block_starts(self, order: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int64]:
        """Each partition begins a block, and so does every ``rows``-th row of it."""
        labels = self._partition[order]
        edges = np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1, [len(order)]])
        blocks = [np.arange(start, end, max(1, rows)) for start, end in pairwise(edges)]
        return np.concatenate(blocks)

    def _bounds(self, name: str, order: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> Bounds:
        """Nulls are in no page's bounds."""
        column = self._codes[name]
        values = column.codes[order].astype(np.int64)
        low = np.where(values == 0, column.cardinality, values) if column.has_nulls else values
        return np.minimum.reduceat(low, starts), np.maximum.reduceat(values, starts)

    def _share(self, readings: Sequence[Reading], bounds: Mapping[str, Bounds], pages: int) -> float:
        touched = np.zeros(pages, bool)
        for reading in readings:
            touched |= self._needed(reading, bounds, pages)
        return float(touched.mean()) if readings else 1.0

    def _needed(self, reading: Reading, bounds: Mapping[str, Bounds], blocks: int) -> npt.NDArray[np.bool_]:
        """Blocks whose bounds admit what a reading asks for."""
        needed = np.ones(blocks, bool)
        for condition in reading:
            ranges = self._ranges.get(condition)
            if ranges is not None:
                low, high = bounds[condition.column]
                needed &= np.logical_or.reduce([(low <= last) & (high >= first) for first, last in ranges])
        return needed


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
