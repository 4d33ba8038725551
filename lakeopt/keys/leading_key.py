"""A leading key: one whole number a row, computed from its values, by which rows are ordered before anything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakeopt.keys.boundaries import Boundaries
from lakeopt.keys.curves import CURVES, code_bits
from lakeopt.keys.cut_points import ascending

#: Curves of so few bits in all are looked up in a table of their cells.
_TABLE_BITS = 16


@dataclass(frozen=True)
class CurveKey:
    """A row's place on a space-filling curve over columns that are coded by their cut points.

    >>> key = CurveKey("z-order", ("a", "b"), (pa.array([5]), pa.array(["m"])))
    >>> key([pa.array([1, 9, 1, 9]), pa.array(["a", "a", "z", None])]).to_pylist()
    [0, 2, 1, 2]
    """

    curve: str
    columns: tuple[str, ...]
    cuts: tuple[pa.Array, ...]
    divides_files = False

    @property
    def count(self) -> int:
        """Numbers are below this one."""
        return 1 << self._bits * len(self.cuts)

    def __call__(self, values: Sequence[pa.Array]) -> pa.Array:
        """The numbers on the curve."""
        highest = (1 << self._bits) - 1
        codes = [
            np.minimum(bounds.places(column), highest).astype(np.uint64)
            for column, bounds in zip(values, self._bounds, strict=True)
        ]
        if self._cells is None:
            return pa.array(CURVES[self.curve](codes, self._bits))
        cell = np.zeros(len(codes[0]), np.uint64)
        for code in codes:
            cell = (cell << np.uint64(self._bits)) | code
        return pa.array(self._cells[cell])

    @cached_property
    def _bits(self) -> int:
        return min(code_bits(len(self.cuts)), max(1, max(len(cuts).bit_length() for cuts in self.cuts)))

    @cached_property
    def _bounds(self) -> list[Boundaries]:
        return [Boundaries(cuts) for cuts in self.cuts]

    @cached_property
    def _cells(self) -> npt.NDArray[np.uint64] | None:
        """The number of every cell, by the codes as one number; None where there are too many."""
        count, bits = len(self.cuts), self._bits
        if count * bits > _TABLE_BITS:
            return None
        every = np.arange(1 << count * bits, dtype=np.uint64)
        mask = np.uint64((1 << bits) - 1)
        return CURVES[self.curve]([(every >> np.uint64(bits * place)) & mask for place in range(count)][::-1], bits)


@dataclass(frozen=True)
class RangeKey:
    """A row's bucket: the number of cut points (value, second key) that are not above its own pair.

    ``cuts`` has one array a column, all of one length, ascending as pairs. A null is below every value. With ``seen``,
    a row whose value of the first column is none of these is in the bucket behind the last.

    >>> cuts = (pa.array(["a", "b", "b"]), pa.array([None, None, 10]))
    >>> RangeKey(("event", "at"), cuts)([pa.array(["a", "b", "b", None]), pa.array([7, 9, 10, 1])]).to_pylist()
    [1, 2, 3, 0]
    >>> RangeKey(("event", "at"), cuts, pa.array(["a", "b"]))([pa.array(["a", "aa"]), pa.array([7, 9])]).to_pylist()
    [1, 4]
    """

    columns: tuple[str, ...]
    cuts: tuple[pa.Array, ...]
    seen: pa.Array | None = None
    divides_files = True

    @property
    def count(self) -> int:
        """Numbers are below this one."""
        return len(self.cuts[0]) + 2

    def __call__(self, values: Sequence[pa.Array]) -> pa.Array:
        """The bucket of each row."""
        count = len(self.cuts[0])
        rows = np.zeros(len(values[0]), np.uint64)
        for column, ranks in zip(values, self._ranks, strict=True):
            rows = rows * np.uint64(2 * count + 2) + ranks(column)
        found = np.searchsorted(self._bounds, rows, side="right").astype(np.uint64)
        if self._known is not None:
            found[~self._known(values[0])] = count + 1
        return pa.array(found)

    @cached_property
    def _ranks(self) -> list[_Ranks]:
        return [_Ranks(cuts) for cuts in self.cuts]

    @cached_property
    def _bounds(self) -> npt.NDArray[np.uint64]:
        count = len(self.cuts[0])
        bounds = np.zeros(count, np.uint64)
        for cuts, ranks in zip(self.cuts, self._ranks, strict=True):
            bounds = bounds * np.uint64(2 * count + 2) + ranks(cuts)
        return bounds

    @cached_property
    def _known(self) -> _Known | None:
        return None if self.seen is None else _Known(self.seen)


class _Ranks:
    """Whole numbers below ``2 * len(cuts) + 2`` that compare with those of the cuts as the values do; null is 0."""

    def __init__(self, cuts: pa.Array) -> None:
        self._among = Boundaries(ascending(cuts.drop_null()))

    def __call__(self, values: pa.Array) -> npt.NDArray[np.uint64]:
        ranks = (self._among.places(values, "left") + self._among.places(values) + 1).astype(np.uint64)
        ranks[values.is_null().to_numpy(zero_copy_only=False)] = 0
        return ranks


class _Known:
    """Whether values are among some others."""

    def __init__(self, seen: pa.Array) -> None:
        self._null = seen.null_count > 0
        self._among = Boundaries(ascending(seen.drop_null()))

    def __call__(self, values: pa.Array) -> npt.NDArray[np.bool_]:
        known: npt.NDArray[np.bool_] = self._among.places(values, "left") < self._among.places(values)
        known[values.is_null().to_numpy(zero_copy_only=False)] = self._null
        return known
