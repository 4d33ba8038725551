"""Ranges of files on one key column as integers that compare as the key's direction and null order say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.analysis.bounds import ColumnBounds
from lakeopt.analysis.single_values import decode, prefix_successors, rank, truncated, without_last_character
from lakeopt.model.plan import SortField

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Ranges:
    """A bracket of the low and of the high end of each file, in codes >= 0; meaningless where not ``known``.

    ``lo_min <= low <= lo_max`` and ``hi_min <= high <= hi_max``. Values have even codes; an odd ``lo_max`` or
    ``hi_min`` is an end that the true value does not reach.
    """

    lo_min: Ints
    lo_max: Ints
    hi_min: Ints
    hi_max: Ints
    known: Mask

    @property
    def exact(self) -> bool:
        """Whether no end is only bracketed."""
        return bool((self.lo_min == self.lo_max).all() and (self.hi_min == self.hi_max).all())

    def select(self, chosen: Mask) -> Ranges:
        """The ranges of some files."""
        return Ranges(
            self.lo_min[chosen], self.lo_max[chosen], self.hi_min[chosen], self.hi_max[chosen], self.known[chosen]
        )


def key_ranges(bounds: ColumnBounds, part: SortField) -> Ranges:
    """Ranges of files on one column: null before or after all values, NaN above all other values.

    A file whose nulls are not counted, or that has neither bounds nor only nulls or NaN, is not known. NaN that a
    manifest does not count is not seen: most writers leave it out of the bounds.
    """
    lower, upper = decode(bounds.lower, bounds.iceberg_type), decode(bounds.upper, bounds.iceberg_type)
    (lo, hi, above, below), top = rank([lower, upper, *_brackets(bounds)])
    sane = (lo > 0) & (hi >= lo)
    lo_min, hi_max = 2 * lo, 2 * hi
    lo_max = np.where(bounds.lower_exact, lo_min, np.where(above > 0, 2 * above - 1, 2 * top + 1))
    hi_min = np.maximum(np.where(bounds.upper_exact, hi_max, 2 * below), lo_min)
    nan = 2 * top + 2
    only_nulls = (bounds.values >= 0) & (bounds.nulls == bounds.values)
    some_nan = (bounds.nans > 0) & ~only_nulls
    only_nan = some_nan & (bounds.nans == bounds.values - bounds.nulls)
    lo_min, lo_max = np.where(only_nan, nan, lo_min), np.where(only_nan, nan, lo_max)
    hi_min, hi_max = np.where(some_nan, nan, hi_min), np.where(some_nan, nan, hi_max)
    end = nan + 2
    if part.direction == "desc":
        lo_min, lo_max, hi_min, hi_max = end - hi_max, end - hi_min, end - lo_max, end - lo_min
    if part.nulls == "first":
        lo_min, lo_max = np.where(bounds.nulls > 0, 0, lo_min), np.where(bounds.nulls > 0, 0, lo_max)
        hi_min, hi_max = np.where(only_nulls, 0, hi_min), np.where(only_nulls, 0, hi_max)
    else:
        lo_min, lo_max = np.where(only_nulls, end, lo_min), np.where(only_nulls, end, lo_max)
        hi_min, hi_max = np.where(bounds.nulls > 0, end, hi_min), np.where(bounds.nulls > 0, end, hi_max)
    known = (bounds.nulls >= 0) & (sane | only_nulls | only_nan)
    return Ranges(lo_min, lo_max, hi_min, hi_max, known)


def _brackets(bounds: ColumnBounds) -> tuple[pa.Array, pa.Array]:
    """Per file what lies just above a cut lower bound, and what is surely not above the largest value; else null."""
    cut_low, cut_high = ~bounds.lower_exact, ~bounds.upper_exact
    nothing = pa.nulls(len(cut_low), decode(bounds.lower.slice(0, 0), bounds.iceberg_type).type)
    if not truncated(bounds.iceberg_type):
        return nothing, nothing
    if not cut_low.any() and not cut_high.any():
        return nothing, nothing
    lows = pc.if_else(pa.array(cut_low), bounds.lower, pa.scalar(None, pa.binary()))
    highs = pc.if_else(pa.array(cut_high), bounds.upper, pa.scalar(None, pa.binary()))
    return prefix_successors(lows), without_last_character(highs, bounds.iceberg_type == "string")
