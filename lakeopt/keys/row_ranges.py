"""Ranges of rows in the order of several columns: which of them a row is in is a pure function of its values.

A range partitioner by them sends equal rows of a retried task to the same place, and spreads a value that many rows
share over several ranges by the columns behind it, without a salt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakeopt.keys.boundaries import Boundaries
from lakeopt.keys.cut_points import ascending, codes

Ranks = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class RowRanges:
    """Cuts (one array a column, ascending as rows) between ranges; ``order`` has (ascending, nulls first) a column.

    Of the n-th cut the columns from ``depth[n]`` on are below every value: it stands before all rows that are equal
    in the columns before. ``depth`` None: all columns count.

    >>> ranges = RowRanges((pa.array(["a", "b", "b"]), pa.array([5, 0, 7])), ((True, True), (True, True)))
    >>> ranges([pa.array(["a", "a", "b", "b", None]), pa.array([4, 5, 6, 7, 9])]).tolist()
    [0, 1, 2, 3, 0]
    """

    cuts: tuple[pa.Array, ...]
    order: tuple[tuple[bool, bool], ...]
    depth: tuple[int, ...] | None = None

    def __call__(self, values: Sequence[pa.Array]) -> npt.NDArray[np.int32]:
        """The number of cuts that are not above each row."""
        rows = np.zeros(len(values[0]), np.uint64)
        for column, ranks, known in zip(values, self._columns, self._steps, strict=True):
            rows = _among(known, rows * ranks.width + ranks(column))
        return np.searchsorted(self._bounds, rows, side="right").astype(np.int32)

    @cached_property
    def _columns(self) -> list[_ColumnRanks]:
        return [_ColumnRanks(cuts, *order) for cuts, order in zip(self.cuts, self.order, strict=True)]

    @cached_property
    def _steps(self) -> list[Ranks]:
        """What the cuts come to after each column; rows are told apart only by these, so that numbers stay small."""
        return self._folded[0]

    @cached_property
    def _bounds(self) -> Ranks:
        return self._folded[1]

    @cached_property
    def _folded(self) -> tuple[list[Ranks], Ranks]:
        count = len(self.cuts[0])
        depth = np.full(count, len(self.cuts)) if self.depth is None else np.array(self.depth, np.int64)
        bounds, steps = np.zeros(count, np.uint64), []
        for place, (cuts, ranks) in enumerate(zip(self.cuts, self._columns, strict=True)):
            own = np.where(place < depth, ranks(cuts), np.uint64(0)).astype(np.uint64)
            bounds = bounds * ranks.width + own
            steps.append(np.unique(bounds))
            bounds = _among(steps[-1], bounds)
        return steps, bounds


class _ColumnRanks:
    """Whole numbers from 1 to ``width - 1`` that compare with those of the cuts as the values do in this direction."""

    def __init__(self, cuts: pa.Array, is_ascending: bool, nulls_first: bool) -> None:
        different = cuts.drop_null()
        self._among = Boundaries(ascending(different))
        self._top = 2 * len(different) + 2
        self._ascending, self._nulls_first = is_ascending, nulls_first
        self.width = np.uint64(self._top + 2)

    def __call__(self, values: pa.Array) -> Ranks:
        ranks = self._among.places(values, "left") + self._among.places(values) + 2
        if not self._ascending:
            ranks = self._top + 2 - ranks
        null = values.is_null().to_numpy(zero_copy_only=False)
        ranks = np.where(null, 1 if self._nulls_first else self._top + 1, ranks)
        return ranks.astype(np.uint64)


def _among(known: Ranks, rows: Ranks) -> Ranks:
    """Even numbers between known ones, odd numbers for those that are one of them."""
    left = np.searchsorted(known, rows, side="left")
    return (left + np.searchsorted(known, rows, side="right")).astype(np.uint64)


def row_order(columns: Sequence[pa.Array], order: Sequence[tuple[bool, bool]]) -> npt.NDArray[np.int64]:
    """Places of rows in this order, by all columns; rows that tie stay as they are.

    >>> row_order([pa.array([2, None, 1])], [(False, True)]).tolist()
    [1, 0, 2]
    """
    numbers = []
    for column, (is_ascending, nulls_first) in zip(columns, order, strict=True):
        ranks, _ = codes(column)
        if not is_ascending:
            ranks = -ranks
        if column.null_count:
            null = column.is_null().to_numpy(zero_copy_only=False)
            ranks = np.where(null, ranks.min() - 1 if nulls_first else ranks.max() + 1, ranks)
        numbers.append(ranks)
    return np.lexsort(numbers[::-1])


def even_ranges(columns: Sequence[pa.Array], order: Sequence[tuple[bool, bool]], count: int) -> RowRanges:
    """Ranges that divide these rows (all, or a sample of all) into ``count`` parts of as many rows each.

    >>> even_ranges([pa.array([3, 1, 2, 4])], [(True, True)], 2).cuts[0].to_pylist()
    [3]
    """
    rows = len(columns[0])
    at = np.unique(np.arange(1, count) * rows // count)
    places = pa.array(row_order(columns, order)[at[at > 0]])
    return RowRanges(tuple(column.take(places) for column in columns), tuple(order))


def divided_ranges(
    columns: Sequence[pa.Array], order: Sequence[tuple[bool, bool]], numbers: int, share: float
) -> RowRanges:
    """Ranges that never hold two numbers of the first column, which goes from 0 to ``numbers`` - 1 and is never null.

    A number that more than ``share`` of the rows have is cut into ranges of as many rows each.

    >>> rows = [pa.array([0, 2, 2, 2], pa.int64()), pa.array([5, 1, 3, 2])]
    >>> ranges = divided_ranges(rows, [(True, True)] * 2, 4, 0.5)
    >>> ranges.depth, ranges.cuts[0].to_pylist(), ranges.cuts[1].to_pylist()
    ((1, 1, 2, 1), [1, 2, 2, 3], [None, None, 2, None])
    """
    sorted_rows = row_order(columns, order)
    first = np.asarray(columns[0].to_numpy(zero_copy_only=False))[sorted_rows]
    starts = np.searchsorted(first, np.arange(numbers + 1))
    at: list[tuple[int, int, int]] = []  # number, place of its row (-1: before all), columns that count
    for number in range(numbers):
        here = int(starts[number + 1] - starts[number])
        if number:
            at.append((number, -1, 1))
        parts = max(1, round(here / max(1.0, share * len(first))))
        inner = np.unique(starts[number] + np.arange(1, parts) * here // parts)
        at += [(number, int(sorted_rows[place]), len(columns)) for place in inner if place > starts[number]]
    rows = pa.array([None if row < 0 else row for _, row, _ in at], pa.int64())
    cuts = (pa.array([number for number, _, _ in at], columns[0].type), *(c.take(rows) for c in columns[1:]))
    return RowRanges(cuts, tuple(order), tuple(depth for _, _, depth in at))
