"""PV buckets: ranges of a skewed column (an event's name, say) that hold about equally much, however skewed it is.

Values are walked in order while their weight (rows times encoded bytes a row; PV is the row count of an event) is
added up, and a bucket ends at each step of total / buckets. A heavy value is spread over as many buckets as its
weight asks for, by ranges of a second key; light ones share a bucket, and are cut only where that keeps buckets even.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

#: A bucket may end at the border between two values where that moves its end by at most this share of a bucket.
SNAP = 0.04
#: Columns that are measured as second keys.
TRIED = 12


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a bucket begins: at the first row of a value, or after this share of its weight."""

    value: int
    share: float = 0.0


def cuts(weights: Sequence[float], buckets: int, *, spread: Sequence[bool] | None = None) -> list[Cut]:
    """Where the second and later buckets begin; fewer than ``buckets - 1`` where values cannot be spread.

    ``weights`` are of the values in ascending order, none below zero. ``spread`` says of each value whether it can be
    cut, that is whether its rows differ in the second key; all can by default.

    >>> cuts([1, 1, 6, 1, 1], 5)
    [Cut(value=2, share=0.0), Cut(value=2, share=0.3333333333333333), Cut(value=2, share=0.6666666666666666), \
Cut(value=3, share=0.0)]
    >>> cuts([1, 98, 1], 4, spread=[True, False, True])
    [Cut(value=1, share=0.0), Cut(value=2, share=0.0)]

    :raises ValueError: fewer than one bucket.
    """
    if buckets < 1:
        raise ValueError(f"{buckets} buckets are too few")
    ends = np.cumsum(np.asarray(weights, float))
    if not len(ends) or ends[-1] <= 0:
        return []
    step = float(ends[-1]) / buckets
    found: dict[Cut, None] = {}
    for number in range(1, buckets):
        found.setdefault(_cut(ends, step * number, SNAP * step, spread))
    return [cut for cut in found if cut.value < len(ends) and cut != Cut(0)]


def _cut(ends: np.ndarray, at: float, slack: float, spread: Sequence[bool] | None) -> Cut:
    """The cut nearest to this much weight that needs no value to be cut, else one inside a value."""
    value = min(int(np.searchsorted(ends, at, side="right")), len(ends) - 1)
    start, end = float(ends[value - 1]) if value else 0.0, float(ends[value])
    fixed = spread is not None and not spread[value]
    if fixed or min(at - start, end - at) <= slack:
        return Cut(value) if at - start <= end - at else Cut(value + 1)
    return Cut(value, (at - start) / (end - start))


def second_key(
    heaviest: Mapping[str, Sequence[int]],
    buckets: float,
    filtered: Sequence[str] = (),
    bytes_by: Callable[[str], float] | None = None,
) -> str | None:
    """The column that is to divide the rows of a heavy value; None where there is no other column.

    ``heaviest`` gives by column how many of the heaviest value's rows have each different value of that column, and
    ``buckets`` how many it fills. Of the columns that let it be divided evenly, one that queries filter (the first of
    ``filtered``), else the one in whose order rows take the fewest bytes, as ``bytes_by`` measures a column; it is
    asked of at most :data:`TRIED` columns, those of fewest values. Else the one that divides it best.

    >>> columns = {"os": [60, 40], "hour": [10] * 10, "id": [1] * 100}
    >>> second_key(columns, 0.3), second_key(columns, 0.3, bytes_by={"hour": 9.0, "id": 7.0}.__getitem__)
    ('hour', 'id')
    """
    shares = {name: max(counts, default=0) / max(1, sum(counts)) for name, counts in heaviest.items()}
    fine = [name for name in heaviest if shares[name] * buckets <= SNAP]
    asked = [name for name in filtered if name in fine]
    if asked:
        return asked[0]
    if fine:
        fewest = sorted(fine, key=lambda name: len(heaviest[name]))
        return fewest[0] if bytes_by is None or len(fine) == 1 else min(fewest[:TRIED], key=bytes_by)
    return min(heaviest, key=shares.__getitem__, default=None)


def evenness(weights: Sequence[float]) -> float:
    """The heaviest bucket relative to the mean.

    >>> evenness([1.0, 1.0, 4.0])
    2.0
    """
    return max(weights, default=0.0) * len(weights) / (sum(weights) or 1.0)
