"""Which of the measured orders a table should have, for what it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakeopt.layout.search import MIN_GAIN
from lakeopt.model.plan import Goal

#: Orders this close to the smallest are as good as it: which of them prunes best decides.
NEARLY_SMALLEST = 0.03


@dataclass(frozen=True, slots=True)
class Option:
    """One order's bytes relative to arrival order, and the share of pages that the queries read (None: no queries)."""

    bytes_ratio: float
    scanned_ratio: float | None = None

    @property
    def read_ratio(self) -> float:
        """Bytes that the queries read, relative to the whole table in arrival order."""
        return self.bytes_ratio * (1.0 if self.scanned_ratio is None else self.scanned_ratio)


def choose(options: Sequence[Option], arrival_scanned: float | None, goal: Goal) -> int | None:
    """Index of the best option, or None where none gains 2 % and the table is better left alone.

    ``storage`` takes the smallest, ``reads`` the one of which the queries read fewest bytes, ``balanced`` among
    those within 3 % of the smallest (arrival order included) the one that prunes best.

    >>> smallest, prunes = Option(0.70, scanned_ratio=0.99), Option(0.72, scanned_ratio=0.01)
    >>> [choose([smallest, prunes], 1.0, goal) for goal in ("storage", "balanced", "reads")]
    [0, 1, 1]
    >>> choose([Option(0.985)], None, "storage") is None
    True
    """
    arrival = Option(1.0, arrival_scanned)
    limit = min([1.0, *(option.bytes_ratio for option in options)]) * (1 + NEARLY_SMALLEST)

    def rank(number: int) -> tuple[float, ...]:
        option = options[number]
        if goal == "storage":
            return (option.bytes_ratio,)
        if goal == "reads":
            return (option.read_ratio, option.bytes_ratio)
        scanned = 1.0 if option.scanned_ratio is None else option.scanned_ratio
        return (option.bytes_ratio > limit, scanned, option.bytes_ratio)

    best = min(range(len(options)), key=rank, default=None)
    if best is None:
        return None
    found = options[best]
    smaller = found.bytes_ratio <= 1 - MIN_GAIN
    fewer = found.read_ratio <= arrival.read_ratio * (1 - MIN_GAIN)
    gains = {"storage": smaller, "reads": fewer, "balanced": smaller or fewer}[goal]
    return best if gains else None
