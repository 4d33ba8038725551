"""Rows that lie in given windows of an order, without sorting the rows that lie outside.

A window is a range of places in the sorted rows. Column by column, how many rows each value has says in which
values a window begins and ends; only rows with these values are looked at further, and only they are sorted.
What was found for the first columns of a key is kept, since candidates share them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt

from lakeopt.analysis.rank_codes import RankCodes, sorted_rows

Rows = npt.NDArray[np.int64]
#: First place of a window, and the place behind its last.
Window = tuple[int, int]

#: Cells that rows are counted in, at most, and how many are enough for one pass over the rows: windows touch few of
#: them, and what is found of few columns serves every key that begins with these.
_CELLS, _ENOUGH = 1 << 18, 1 << 8
#: Rows are sorted at once when so many times the rows of the windows are left.
_FEW = 1.5


@dataclass(frozen=True, slots=True)
class _Touched:
    """Rows of the groups that windows touch, ascending (None: all); the group of each; windows as places in them."""

    rows: npt.NDArray[np.uint32] | None
    groups: RankCodes | None
    windows: tuple[Window, ...]

    def count(self, everything: int) -> int:
        return everything if self.rows is None else len(self.rows)

    @property
    def nbytes(self) -> int:
        groups = 0 if self.groups is None else self.groups.codes.nbytes
        return groups + (0 if self.rows is None else self.rows.nbytes)


@dataclass(frozen=True, slots=True)
class _Pass:
    """The next columns by which rows are told apart, each with low bits of its codes left out."""

    columns: tuple[tuple[RankCodes, int], ...]
    done: int
    cells: int


class WindowedRows:
    """Finds the rows in windows of sorted orders of ``count`` rows. Safe to use from several threads.

    ``kept_bytes`` bounds what is remembered of the orders asked for.
    """

    def __init__(self, count: int, *, kept_bytes: int) -> None:
        self._count, self._kept_bytes = count, kept_bytes
        self._kept: OrderedDict[tuple[object, ...], _Touched] = OrderedDict()
        self._lock = Lock()

    def rows(self, keys: Sequence[tuple[str, RankCodes]], windows: Sequence[Window]) -> Rows:
        """Row numbers at these ascending places of the rows sorted by the keys; ties keep their order.

        Keys of the same name have the same codes.
        """
        wanted = sum(end - start for start, end in windows)
        touched = _Touched(None, None, tuple(windows))
        names: tuple[object, ...] = (touched.windows,)
        left = list(keys)
        while left and touched.count(self._count) > _FEW * wanted:
            now = _next_pass(touched, [column for _, column in left])
            if not now.columns:
                break
            before = touched.count(self._count)
            shifts = [shift for _, shift in now.columns]
            names = (*names, *((name, shift) for (name, _), shift in zip(left, shifts, strict=False)))
            narrowed = self._remembered(names)
            if narrowed is None:
                narrowed = self._narrowed(touched, now)
                self._remember(names, narrowed)
            touched = narrowed
            left = left[now.done :]
            if not now.done and touched.count(self._count) == before:
                break
        return self._sorted(touched, [column for _, column in left])

    def _narrowed(self, touched: _Touched, now: _Pass) -> _Touched:
        """Only the rows in cells (group and values) that windows touch."""
        rows = touched.rows
        cell: npt.NDArray[np.integer] | None = None if touched.groups is None else touched.groups.codes.astype(np.int32)
        for column, shift in now.columns:
            codes = column.codes if rows is None else column.codes[rows]
            # Cells are few enough for small integers, and one narrow column is its own cells.
            codes = codes if cell is None and not shift and len(now.columns) == 1 else codes.astype(np.int32)
            if shift:
                codes >>= shift
            cell = codes if cell is None else cell * np.int32(_values(column, shift)) + codes
        assert cell is not None
        sizes = np.bincount(cell, minlength=now.cells)
        ends = np.cumsum(sizes)
        first = np.searchsorted(ends, [start for start, _ in touched.windows], side="right")
        last = np.searchsorted(ends, [end - 1 for _, end in touched.windows], side="right")
        hit = np.zeros(len(sizes) + 1, np.int64)
        np.add.at(hit, first, 1)
        np.add.at(hit, last + 1, -1)
        inside = (np.cumsum(hit)[:-1] > 0) & (sizes > 0)
        shifts = np.cumsum(np.where(inside, 0, sizes))[first]
        moved = tuple(
            (start - int(shift), end - int(shift)) for (start, end), shift in zip(touched.windows, shifts, strict=True)
        )
        count = int(np.count_nonzero(inside))
        numbers = (np.cumsum(inside) - 1).astype(np.min_scalar_type(max(count - 1, 0)))
        if int(sizes[inside].sum()) == len(cell):
            return _Touched(rows, RankCodes(numbers[cell], count, False), moved)
        kept = np.flatnonzero(inside[cell])
        groups = RankCodes(numbers[cell[kept]], count, False)
        return _Touched(kept.astype(np.uint32) if rows is None else rows[kept], groups, moved)

    def _sorted(self, touched: _Touched, columns: Sequence[RankCodes]) -> Rows:
        groups, rows = touched.groups, touched.rows
        if not columns and groups is not None:
            places = _in_groups(groups, touched.windows)
        else:
            held = columns if rows is None else [_of_rows(column, rows) for column in columns]
            order = sorted_rows([*([groups] if groups else []), *held], touched.count(self._count))
            places = np.concatenate([order[start:end] for start, end in touched.windows])
        return places if rows is None else rows[places].astype(np.int64)

    def _remembered(self, names: tuple[object, ...]) -> _Touched | None:
        with self._lock:
            found = self._kept.get(names)
            if found is not None:
                self._kept.move_to_end(names)
            return found

    def _remember(self, names: tuple[object, ...], touched: _Touched) -> None:
        with self._lock:
            self._kept[names] = touched
            while sum(kept.nbytes for kept in self._kept.values()) > self._kept_bytes and self._kept:
                self._kept.popitem(last=False)


def _values(column: RankCodes, shift: int) -> int:
    """Different codes of a column without its low bits."""
    return ((max(1, column.cardinality) - 1) >> shift) + 1


def _next_pass(touched: _Touched, left: Sequence[RankCodes]) -> _Pass:
    """As many columns as are worth one look at all rows; of the last only the high bits where all are too many."""
    cells = 1 if touched.groups is None else touched.groups.cardinality
    columns: list[tuple[RankCodes, int]] = []
    for done, column in enumerate(left):
        if cells >= _ENOUGH or 2 * cells > _CELLS:
            return _Pass(tuple(columns), done, cells)
        shift = 0
        while cells * _values(column, shift) > _CELLS:
            shift += 1
        columns.append((column, shift))
        cells *= _values(column, shift)
        if shift:
            return _Pass(tuple(columns), done, cells)
    return _Pass(tuple(columns), len(left), cells)


def _of_rows(column: RankCodes, rows: npt.NDArray[np.uint32]) -> RankCodes:
    return RankCodes(column.codes[rows], column.cardinality, column.has_nulls)


def _in_groups(groups: RankCodes, windows: Sequence[Window]) -> Rows:
    """Places that windows cover when places are ordered by group, then as they are."""
    ends = np.cumsum(np.bincount(groups.codes, minlength=groups.cardinality))
    firsts = np.searchsorted(ends, [start for start, _ in windows], side="right")
    lasts = np.searchsorted(ends, [end - 1 for _, end in windows], side="right")
    if int((lasts - firsts + 1).sum()) > 4 * len(windows):
        order = sorted_rows([groups], len(groups.codes))
        return np.concatenate([order[start:end] for start, end in windows])
    found: list[Rows] = []
    known, places = -1, np.zeros(0, np.int64)
    for (start, end), first, last in zip(windows, firsts.tolist(), lasts.tolist(), strict=True):
        for group in range(first, last + 1):
            if group != known:
                known, places = group, np.flatnonzero(groups.codes == group)
            begin = int(ends[group - 1]) if group else 0
            found.append(places[max(0, start - begin) : end - begin])
    return np.concatenate(found)
