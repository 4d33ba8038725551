"""How many rows a row group should hold: few are read more selectively, many take fewer bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lakeopt.model.plan import Goal

#: Bytes that a goal may give for selectivity, relative to the smallest. What ``balanced`` may lose in all is mostly
#: its order's.
TOLERANCE: Mapping[Goal, float] = {"storage": 0.0, "balanced": 0.01, "reads": 0.10}
#: Rows of the smallest row groups: smaller ones cost every reader more than they save, and cannot be copied later.
FEWEST_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Run:
    """Queries that ask for rows which lie together in the order: their weight, and the rows that each asks for."""

    weight: float
    rows: float


def rows_read(run_rows: float, block_rows: int, rows: int) -> float:
    """Rows of all blocks that a run of consecutive rows touches, on average over where it begins.

    >>> rows_read(1, 100, 10_000), rows_read(10_000, 100, 10_000)
    (100.0, 10000.0)
    """
    return float(min(rows, max(1.0, run_rows) + block_rows - 1))


def sizes(most: int, fewest: int = FEWEST_ROWS) -> list[int]:
    """Rows of a row group that are worth measuring: the most that it may hold, and halves of that.

    >>> sizes(1_048_576), sizes(1_000)
    ([1048576, 524288, 262144, 131072, 65536], [1000])
    """
    return [most, *(most >> halved for halved in range(1, 64) if most >> halved >= fewest)]


def block_rows(stored: Mapping[int, int], runs: Sequence[Run], rows: int, tolerance: float) -> int:
    """Rows of a block, out of those that were measured: ``stored`` gives the bytes of all rows by rows of a block.

    Of the sizes that take no more than ``tolerance`` (a goal's :data:`TOLERANCE`) above the smallest, the one that
    the queries read the fewest bytes with; of equal ones the largest. Without queries that takes the fewest bytes.

    >>> block_rows({1_000: 1_050, 100_000: 1_000}, [Run(1.0, 500)], 1_000_000, 0.1)
    1000
    >>> block_rows({1_000: 1_050, 100_000: 1_000}, [Run(1.0, 500)], 1_000_000, 0.03)
    100000
    """
    smallest = min(stored.values())
    most = smallest * (1 + (tolerance if runs else 0.0))
    eligible = [size for size in stored if stored[size] <= most]

    def read(size: int) -> float:
        share = sum(run.weight * rows_read(run.rows, size, rows) for run in runs) / max(1, rows)
        return share * stored[size]

    return min(eligible, key=lambda size: (read(size), stored[size], -size))
