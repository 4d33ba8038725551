"""Which columns get Bloom filters: those that queries ask for single values, where the order does not help them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lakeopt.model.plan import Goal

#: Absent values that a filter takes for present, as it is written.
FALSE_POSITIVES = 0.01
#: Row groups, as a share of all, that a filter must leave out of a lookup to be worth it.
MIN_SAVING = 0.2
#: Bytes of all filters of a row group, relative to those of its rows, that a goal may give for them.
MAX_BYTES: Mapping[Goal, float] = {"storage": 0.0, "balanced": 0.01, "reads": 0.05}


@dataclass(frozen=True, slots=True)
class Lookup:
    """Queries that ask one column for single values (``=``, ``IN``), and what they meet in the order chosen.

    ``weight`` is theirs among all queries, ``touched`` the share of row groups whose bounds admit the values,
    ``holding`` the share that holds one, ``distinct`` the number of different values in a row group.
    """

    column: str
    weight: float
    touched: float
    holding: float
    distinct: int

    @property
    def saving(self) -> float:
        """Share of row groups that a filter leaves out where bounds do not."""
        return (self.touched - self.holding) * (1 - FALSE_POSITIVES)


def filter_bytes(distinct: int) -> int:
    """Bytes of a split-block filter for so many values (Parquet's ``BloomFilter.md``): a power of two, 32 at least.

    >>> filter_bytes(1), filter_bytes(1_000_000)
    (32, 2097152)
    """
    needed = -max(1, distinct) / math.log(1 - FALSE_POSITIVES ** (1 / 8))
    return max(32, 1 << math.ceil(math.log2(needed)))


def merged(lookups: Iterable[Lookup]) -> list[Lookup]:
    """One lookup a column: weights added, shares averaged by them.

    >>> merged([Lookup("a", 1, 1.0, 0.0, 9), Lookup("a", 3, 0.6, 0.0, 9)])
    [Lookup(column='a', weight=4, touched=0.7, holding=0.0, distinct=9)]
    """
    by_column: dict[str, list[Lookup]] = {}
    for lookup in lookups:
        by_column.setdefault(lookup.column, []).append(lookup)
    found = []
    for column, held in by_column.items():
        weight = sum(one.weight for one in held)
        touched, holding = (
            sum(one.weight * share for one, share in zip(held, shares, strict=True)) / weight
            for shares in ([one.touched for one in held], [one.holding for one in held])
        )
        found.append(Lookup(column, weight, touched, holding, max(one.distinct for one in held)))
    return found


def bloom_filters(lookups: Iterable[Lookup], *, most_bytes: float) -> dict[str, int]:
    """Different values that a filter is sized for, by column.

    The most useful come first, for as long as those of a row group together stay below ``most_bytes``.
    """
    left = most_bytes
    chosen: dict[str, int] = {}
    for lookup in sorted(lookups, key=lambda lookup: (-lookup.weight * lookup.saving, lookup.column)):
        size = filter_bytes(lookup.distinct)
        if lookup.saving >= MIN_SAVING and size <= left and lookup.column not in chosen:
            chosen[lookup.column] = lookup.distinct
            left -= size
    return chosen
