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

#: Cells (group x value) that rows are counted in, at least; more where there are more rows.
_CELLS = 1 << 20
#: Rows are sorted at once when so many times the rows of the windows are left.
_FEW = 1.5


@dataclass(frozen=True, slots=True)
class _Touched:
    """Rows of the groups that windows touch, ascending; the group of each; windows as places among these rows."""

    rows: Rows | None
    groups: RankCodes | None
    windows: tuple[Window, ...]

    def count(self, everything: int) -> int:
        return everything if self.rows is None else len(self.rows)

    @property
    def nbytes(self) -> int:
        groups = 0 if self.groups is None else self.groups.codes.nbytes
        return groups + (0 if self.rows is None else self.rows.nbytes)


class WindowedRows:
    """Finds the rows in windows of sorted orders of ``count`` rows. Safe to use from several threads.

    ``kept_bytes`` bounds what is remembered of the orders asked for.
    """

    def __init__(self, count: int, *, kept_bytes: int) -> None:
        self._count, self._kept_bytes = count, kept_bytes
        self._kept: OrderedDict[tuple[object, ...], _Touched] = OrderedDict()
        self._lock = Lock()

    def rows(self, keys: Sequence[tuple[str, RankCodes]], windows: Sequence[Window]) -> Rows:
        """Row numbers at these ascending, disjoint places of the rows sorted by the keys; ties keep their order.

        Keys of the same name have the same codes.
        """
        names: tuple[object, ...] = (tuple(windows),)
        wanted = sum(end - start for start, end in windows)
        touched = _Touched(None, None, tuple(windows))
        left = list(keys)
        while left and touched.count(self._count) > _FEW * wanted:
            name, column = left[0]
            names = (*names, name)
            narrowed = self._remembered(names)
            if narrowed is None:
                narrowed = self._narrowed(touched, column)
                if narrowed is None:
                    break
                self._remember(names, narrowed)
            touched = narrowed
            left.pop(0)
        return self._sorted(touched, [column for _, column in left])

    def _narrowed(self, touched: _Touched, column: RankCodes) -> _Touched | None:
        """Only the rows in (group, value) cells that windows touch; None where there are too many cells to count."""
        groups = 1 if touched.groups is None else touched.groups.cardinality
        cells = groups * column.cardinality
        rows = touched.rows
        if cells > max(_CELLS, 2 * touched.count(self._count)):
            return None
        codes = column.codes if rows is None else column.codes[rows]
        cell = codes if touched.groups is None else touched.groups.codes * np.int64(column.cardinality) + codes
        sizes = np.bincount(cell, minlength=cells)
        ends = np.cumsum(sizes)
        hit = np.zeros(cells + 1, np.int64)
        first = np.searchsorted(ends, [start for start, _ in touched.windows], side="right")
        last = np.searchsorted(ends, [end - 1 for _, end in touched.windows], side="right")
        np.add.at(hit, first, 1)
        np.add.at(hit, last + 1, -1)
        inside = (np.cumsum(hit)[:-1] > 0) & (sizes > 0)
        kept = np.flatnonzero(inside[cell])
        numbers = np.cumsum(inside) - 1
        passed_over = np.cumsum(np.where(inside, 0, sizes))
        shifts = passed_over[first]
        moved = tuple(
            (start - int(shift), end - int(shift)) for (start, end), shift in zip(touched.windows, shifts, strict=True)
        )
        count = int(numbers[-1]) + 1
        codes = numbers.astype(np.min_scalar_type(max(count - 1, 0)))[cell[kept]]
        return _Touched(kept if rows is None else rows[kept], RankCodes(codes, count, False), moved)

    def _sorted(self, touched: _Touched, columns: Sequence[RankCodes]) -> Rows:
        rows = touched.rows
        if rows is None:
            order = sorted_rows(columns, self._count)
            return np.concatenate([order[start:end] for start, end in touched.windows])
        held = [RankCodes(column.codes[rows], column.cardinality, column.has_nulls) for column in columns]
        order = sorted_rows([*([touched.groups] if touched.groups else []), *held], len(rows))
        chosen: Rows = rows[np.concatenate([order[start:end] for start, end in touched.windows])]
        return chosen

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
