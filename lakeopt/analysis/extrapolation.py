"""From the encoded bytes of windows to those of a whole table: a dictionary is paid once a row group, not by row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lakeopt.analysis.encoded_size import EncodedColumn
from lakeopt.analysis.rank_codes import RankCodes


@dataclass(frozen=True, slots=True)
class Extent:
    """A table of so many rows in so many row groups."""

    rows: int
    row_groups: int

    @property
    def group_rows(self) -> float:
        """Mean rows of a row group."""
        return self.rows / max(1, self.row_groups)


class ColumnExtent:
    """How many different values of a column a row group holds, whatever the order."""

    def __init__(self, column: RankCodes, extent: Extent) -> None:
        self._column, self._extent = column, extent

    @cached_property
    def at_random(self) -> float:
        """Different values in a row group of shuffled rows, on average: no order needs more."""
        if self._extent.row_groups <= 1:
            return self._column.cardinality
        elsewhere = np.log1p(-1 / self._extent.row_groups)
        return float(-np.expm1(np.bincount(self._column.codes) * elsewhere).sum())

    @cached_property
    def on_arrival(self) -> float:
        """Different values in a row group of arrival order, on average; blocks of such size hold the same rows."""
        length = max(1, round(self._extent.group_rows))
        codes = self._column.codes
        held = [distinct(codes[start : start + length]) for start in range(0, len(codes), length)]
        return float(np.mean(held)) if held else 0.0

    def extrapolated(self, size: EncodedColumn, codes: npt.NDArray[np.unsignedinteger], arrival: bool) -> float:
        """Bytes of the whole column, from those of some rows with these codes.

        ``arrival``: row groups hold the rows that they hold in arrival order.
        """
        rows, extent = len(codes), self._extent
        grown = extent.rows / max(1, rows)
        if not size.dictionary:
            return size.bytes * grown
        seen = distinct(codes)
        if extent.row_groups <= 1:
            held: float = self._column.cardinality
        else:
            held = min(self.at_random, seen * max(1.0, extent.group_rows / rows))
            held = max(1.0, min(held, self.on_arrival) if arrival else held)
        indices = size.bytes - size.dictionary
        # References into a larger dictionary are wider, as far as they are packed and not runs.
        narrow, wide = (max(1, (round(count) - 1).bit_length()) for count in (seen, held))
        packed = min(1.0, indices / max(1.0, rows * narrow / 8))
        widened = indices * (1 + (wide / narrow - 1) * packed)
        return widened * grown + size.dictionary * held / seen * extent.row_groups


def distinct(codes: npt.NDArray[np.unsignedinteger]) -> int:
    """Number of different codes."""
    if not len(codes):
        return 0
    if int(codes.max()) > 8 * len(codes):
        return len(np.unique(codes))
    return int(np.count_nonzero(np.bincount(codes)))
