"""A leading key: one whole number a row, computed from its values, by which rows are ordered before anything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakeopt.keys.curves import CURVES, code_bits
from lakeopt.keys.cut_points import ascending, places


class LeadingKey(Protocol):
    """A pure function of the values of some columns: engines call it on batches, and may ship it to other processes."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Top-level columns whose values it takes, in this order."""

    def __call__(self, values: Sequence[pa.Array]) -> pa.Array:
        """One uint64 a row, never null."""


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

    def __call__(self, values: Sequence[pa.Array]) -> pa.Array:
        """The numbers on the curve."""
        bits = min(code_bits(len(self.cuts)), max(1, max(len(cuts).bit_length() for cuts in self.cuts)))
        highest = (1 << bits) - 1
        codes = [
            np.minimum(places(column, cuts), highest).astype(np.uint64)
            for column, cuts in zip(values, self.cuts, strict=True)
        ]
        return pa.array(CURVES[self.curve](codes, bits))


@dataclass(frozen=True)
class RangeKey:
    """A row's bucket: the number of cut points (value, second key) that are not above its own pair.

    ``cuts`` has one array a column, all of one length, ascending as pairs. A null is below every value.

    >>> cuts = (pa.array(["a", "b", "b"]), pa.array([None, None, 10]))
    >>> RangeKey(("event", "at"), cuts)([pa.array(["a", "b", "b", None]), pa.array([7, 9, 10, 1])]).to_pylist()
    [1, 2, 3, 0]
    """

    columns: tuple[str, ...]
    cuts: tuple[pa.Array, ...]

    def __call__(self, values: Sequence[pa.Array]) -> pa.Array:
        """The bucket of each row."""
        rows = np.zeros(len(values[0]), np.uint64)
        bounds = np.zeros(len(self.cuts[0]), np.uint64)
        for column, cuts in zip(values, self.cuts, strict=True):
            grown = np.uint64(2 * len(cuts) + 2)
            rows = rows * grown + _rank(column, cuts)
            bounds = bounds * grown + _rank(cuts, cuts)
        return pa.array(np.searchsorted(bounds, rows, side="right").astype(np.uint64))


def _rank(values: pa.Array, cuts: pa.Array) -> npt.NDArray[np.uint64]:
    """Whole numbers below ``2 * len(cuts) + 2`` that compare with those of the cuts as the values do; null is 0."""
    among = ascending(cuts.drop_null())
    ranks = (places(values, among, "left") + places(values, among) + 1).astype(np.uint64)
    ranks[values.is_null().to_numpy(zero_copy_only=False)] = 0
    return ranks
