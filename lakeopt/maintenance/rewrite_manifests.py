"""Which manifests to write anew, so that each is of a good size and few speak of one partition."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from lakeopt.model.manifests import ManifestFacts, ManifestGroup

#: A manifest is well sized between these shares of the target: below, two can be one; above, one should be two.
SMALL, LARGE = 0.33, 1.6
#: How far from an even share (as a part of it) a cut may move so that it falls between two partitions.
PLAY = 0.1
#: Manifests that overlap are only written anew where that takes this share of the work off a partition's reader.
WORTH = 0.1

WELL = "well sized, and apart from its neighbours"
ALONE = "alone of its kind: nothing to join it with"
NO_GAIN = "written anew they would prune no better"


@dataclass(frozen=True, slots=True)
class Decision:
    """Groups to write anew, and how many manifests stay for which reason."""

    groups: tuple[ManifestGroup, ...]
    left_alone: Counter[str]


def decide(manifests: Iterable[ManifestFacts], target_bytes: int) -> Decision:
    """Group manifests that are too small, too large, or overlap in their partitions.

    Manifests that are well sized and apart from others stay, and nothing is joined across them, so that what comes
    of a regrouping is left alone the next time.
    """
    groups: list[ManifestGroup] = []
    left: Counter[str] = Counter()
    ordered = sorted(manifests, key=_kind)
    for _, alike in groupby(ordered, _kind):
        for run, chosen in _runs(list(alike), target_bytes):
            reason = _reason(run, target_bytes) if chosen else WELL
            if reason:
                left[reason] += len(run)
            else:
                groups.append(_group(run, target_bytes))
    return Decision(tuple(groups), left)


def cuts(ranks: np.ndarray, sizes: np.ndarray, target_bytes: int) -> list[int]:
    """Where each new manifest ends among entries in the order of their partitions; the last is their number.

    Shares are even, and end between two partitions where such a place is near.

    >>> cuts(np.repeat([0, 1], [19, 21]), np.full(40, 10.0), 200)
    [19, 40]
    """
    ends = np.cumsum(sizes)
    total = float(ends[-1])
    parts = _parts(total, target_bytes)
    edges = np.flatnonzero(np.diff(ranks)) + 1
    found: list[int] = []
    for number in range(1, parts):
        goal = total * number / parts
        at = int(np.searchsorted(ends, goal)) + 1
        if len(edges):
            near = int(edges[np.abs(ends[edges - 1] - goal).argmin()])
            if abs(ends[near - 1] - goal) <= PLAY * total / parts:
                at = near
        if at > (found[-1] if found else 0):
            found.append(at)
    return [*(at for at in found if at < len(ranks)), len(ranks)]


def shares(manifests: Sequence[ManifestFacts], target_bytes: int) -> list[np.ndarray]:
    """Which entries, counted over all these manifests, make each new manifest, in order."""
    order, ranks, sizes = in_order(manifests)
    return np.split(order, cuts(ranks, sizes, target_bytes)[:-1])


def in_order(manifests: Sequence[ManifestFacts]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entries of manifests, one after the other, put in the order of their partitions.

    The order itself (stable), and rank and size of each entry in it.
    """
    ranks = np.concatenate([one.ranks for one in manifests])
    sizes = np.concatenate([np.full(len(one.ranks), one.bytes / max(1, len(one.ranks))) for one in manifests])
    order = np.argsort(ranks, kind="stable")
    return order, ranks[order], sizes[order]


def _kind(one: ManifestFacts) -> tuple[str, int, str]:
    return one.content, one.spec_id, one.form


def _first(one: ManifestFacts) -> int:
    return int(one.ranks.min())


def _last(one: ManifestFacts) -> int:
    return int(one.ranks.max())


def _runs(alike: Sequence[ManifestFacts], target: int) -> Iterator[tuple[list[ManifestFacts], bool]]:
    """Neighbours that are to be written anew together, and those that stay, in the order of partitions."""
    ordered = sorted(alike, key=lambda one: (_first(one), _last(one), _is_sized(one, target)))
    flags = [len(some) > 1 or not _is_sized(some[0], target) for some in _overlapping(ordered) for _ in some]
    for chosen, pairs in groupby(zip(ordered, flags, strict=True), lambda pair: pair[1]):
        yield [one for one, _ in pairs], chosen


def _overlapping(ordered: Sequence[ManifestFacts]) -> Iterator[list[ManifestFacts]]:
    """Manifests whose ranges of partitions hang together; to share an end is not to overlap."""
    some: list[ManifestFacts] = []
    reach = -1
    for one in ordered:
        if some and _first(one) >= reach:
            yield some
            some = []
        some.append(one)
        reach = max(reach, _last(one)) if len(some) > 1 else _last(one)
    if some:
        yield some


def _is_sized(one: ManifestFacts, target: int) -> bool:
    return SMALL * target <= one.bytes <= LARGE * target


def _parts(total: float, target: int) -> int:
    return max(1, math.ceil(total / target))


def _reason(run: Sequence[ManifestFacts], target: int) -> str | None:
    """Why these are better left alone; None if they are not."""
    if any(one.bytes > LARGE * target and len(one.ranks) > 1 for one in run):
        return None
    if len(run) == 1:
        return ALONE
    _, ranks, sizes = in_order(run)
    ends = cuts(ranks, sizes, target)
    if len(ends) < len(run):
        return None
    before = sum(_last(one) - _first(one) + 1 for one in run)
    after = sum(int(ranks[end - 1] - ranks[begin]) + 1 for begin, end in zip([0, *ends], ends, strict=False))
    return None if after <= (1 - WORTH) * before else NO_GAIN


def _group(run: Sequence[ManifestFacts], target: int) -> ManifestGroup:
    _, ranks, sizes = in_order(run)
    return ManifestGroup(
        content=run[0].content,
        spec_id=run[0].spec_id,
        manifests=tuple(one.path for one in run),
        entries=len(ranks),
        bytes=sum(one.bytes for one in run),
        into=len(cuts(ranks, sizes, target)),
    )
