"""How many rows a row group or a page should hold: few are read more selectively, many take fewer bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lakeopt.model.plan import Goal

#: Bytes that a goal may give for selectivity, relative to the smallest.
TOLERANCE: Mapping[Goal, float] = {"storage": 0.0, "balanced": 0.03, "reads": 0.10}


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


def block_rows(stored: Mapping[int, int], runs: Sequence[Run], rows: int, goal: Goal) -> int:
    """Rows of a block, out of those that were measured: ``stored`` gives the bytes of all rows by rows of a block.

    Of the sizes that take no more than the goal's tolerance above the smallest, the one that the queries read the
    fewest bytes with; of equal ones the largest. Without queries that takes the fewest bytes.

    >>> block_rows({1_000: 1_050, 100_000: 1_000}, [Run(1.0, 500)], 1_000_000, "reads")
    1000
    >>> block_rows({1_000: 1_050, 100_000: 1_000}, [Run(1.0, 500)], 1_000_000, "balanced")
    100000
    """
    smallest = min(stored.values())
    most = smallest * (1 + (TOLERANCE[goal] if runs else 0.0))
    eligible = [size for size in stored if stored[size] <= most]

    def read(size: int) -> float:
        share = sum(run.weight * rows_read(run.rows, size, rows) for run in runs) / max(1, rows)
        return share * stored[size]

    return min(eligible, key=lambda size: (read(size), stored[size], -size))
