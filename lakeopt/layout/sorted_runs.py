"""Which files of a partition are rewritten together, chosen by how their key ranges overlap, never by size alone.

Files that lie in a layout form *sorted runs*, whose files do not overlap; the *depth* at a key is the number of runs
that meet it. Files that do not lie in the layout are rewritten whatever their size: together with the sorted files
that they overlap where these are no more bytes than they are themselves, else as a run beside the others. Only where
more than ``max_depth`` runs meet are runs merged, small ones first, and a larger one only as soon as what is to be
merged with it is as large (as in an LSM tree), so that each byte is written O(log n) times while a table grows.

The choice foresees what a second run would see: a group becomes files that do not overlap, within the range of what
it is made of, of which at most one is small. It goes on until that would find nothing to do.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lakeopt.errors import UsageError
from lakeopt.model.plan import MAX_DEPTH

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: A sorted file below this share of the target is small: a writer that cuts at row groups makes none but the last.
SMALL_SHARE = 0.5
#: So many small files may lie in a layout, or one for each eight others if these are more.
MAX_SMALL, OTHERS_A_SMALL = 4, 8


@dataclass(frozen=True, slots=True)
class KeyedFile:
    """A data file as the choice looks at it.

    ``range`` is its lowest and highest key as numbers: files overlap iff each begins before the other ends. None:
    not known. ``run`` tells what it was written with where ranges do not: files of one run do not overlap.
    """

    bytes: int
    range: tuple[int, int] | None
    in_layout: bool
    run: int
    under_deletes: bool = False


def file_groups(
    files: Sequence[KeyedFile], *, target_file_bytes: int, max_depth: int = MAX_DEPTH, merge_small: bool = True
) -> list[tuple[int, ...]]:
    """Positions of the files of each group to rewrite, so that a second run finds nothing to do.

    >>> sorted_file = KeyedFile(100, (0, 10), True, 1)
    >>> new = KeyedFile(2, (3, 5), False, 2)
    >>> file_groups([sorted_file, new], target_file_bytes=100), file_groups([sorted_file], target_file_bytes=100)
    ([(1,)], [])
    """
    if max_depth < 1:
        raise UsageError("at least one sorted file may meet a key", hint="--max-depth takes a number from 1 on")
    known = all(file.range is not None for file in files if file.in_layout)
    pile = _Pile(files, target_file_bytes, known=known, merge_small=merge_small)
    _take_new(pile)
    for row in np.flatnonzero(pile.alive & pile.under_deletes & ~pile.rewritten):
        pile.merge(np.array([row]))
    while _merge_deep(pile, max_depth) or _merge_small(pile):
        pass
    groups = [pile.members[row] for row in np.flatnonzero(pile.alive & pile.rewritten)]
    if not known and len(groups) > 1:  # files of one commit count as one run: two groups would pass for one
        groups = [tuple(row for group in groups for row in group)]
    return sorted(tuple(sorted(group)) for group in groups)


class _Pile:
    """Files (or whole runs, where ranges are not known) and the groups that are made of them; one row each."""

    def __init__(self, files: Sequence[KeyedFile], target: int, *, known: bool, merge_small: bool) -> None:
        ranges = [file.range for file in files if file.range is not None]
        whole = (min((low for low, _ in ranges), default=0) - 1, max((high for _, high in ranges), default=0) + 1)
        self.members = _rows(files, known=known)
        first = [files[rows[0]] for rows in self.members]
        spans = [file.range if file.range is not None and (known or not file.in_layout) else whole for file in first]
        room = 3 * len(self.members) + 1
        self._merge_small = merge_small
        self.count = len(self.members)
        self.low, self.high = (_padded([span[end] for span in spans], room) for end in (0, 1))
        self.bytes = _padded([sum(files[row].bytes for row in rows) for rows in self.members], room)
        smalls = [sum(files[row].bytes < SMALL_SHARE * target for row in rows) for rows in self.members]
        self.files = _padded([len(rows) for rows in self.members], room)
        self.small = _padded(smalls if merge_small else [0] * self.count, room)
        self.in_layout = _padded([file.in_layout for file in first], room).astype(np.bool_)
        deleted = [any(files[row].under_deletes for row in rows) for rows in self.members]
        self.under_deletes = _padded(deleted, room).astype(np.bool_)
        self.rewritten = np.zeros(room, np.bool_)
        self.alive = np.arange(room) < self.count
        self.chain = self._chains([file.run for file in first])

    def _chains(self, runs: Sequence[int]) -> Ints:
        """One number a row, different for rows that overlap: as few as the depth, those of a run alike if they can."""
        chain = np.arange(len(self.low), dtype=np.int64)
        of_run: dict[int, int] = {}
        ends: dict[int, int] = {}
        free: list[tuple[int, int]] = []
        rows = np.flatnonzero(self.alive & self.in_layout)
        for row in rows[np.lexsort((self.high[rows], self.low[rows]))].tolist():
            low, high = int(self.low[row]), int(self.high[row])
            own = of_run.get(runs[row])
            if own is None or ends[own] > low:
                while free and ends[free[0][1]] != free[0][0]:
                    heapq.heappop(free)
                own = free[0][1] if free and free[0][0] <= low else row
            of_run[runs[row]], ends[own] = own, high
            heapq.heappush(free, (high, own))
            chain[row] = own
        return chain

    def merge(self, chosen: Ints) -> int:
        """Make one group of some rows; its row. Of what it will become, one file may be small."""
        row = self.count
        self.count += 1
        self.low[row], self.high[row] = self.low[chosen].min(), self.high[chosen].max()
        self.bytes[row] = self.bytes[chosen].sum()
        self.small[row] = int(self._merge_small)
        self.rewritten[row] = self.in_layout[row] = True
        self.members.append(tuple(file for part in chosen.tolist() for file in self.members[part]))
        self.alive[chosen] = False
        self.alive[row] = True
        return row

    def overlapping(self, low: int, high: int) -> Mask:
        """Rows that overlap a range by more than a shared end point."""
        return self.alive & (self.low < high) & (self.high > low)


def _rows(files: Sequence[KeyedFile], *, known: bool) -> list[tuple[int, ...]]:
    """Files of each row of the pile: each by itself, or the sorted ones by run."""
    if known:
        return [(row,) for row in range(len(files))]
    runs: dict[int, list[int]] = {}
    for row, file in enumerate(files):
        if file.in_layout:
            runs.setdefault(file.run, []).append(row)
    return [tuple(rows) for rows in runs.values()] + [(row,) for row, file in enumerate(files) if not file.in_layout]


def _padded(values: Sequence[int], room: int) -> Ints:
    return np.array([*values, *[0] * (room - len(values))], np.int64)


def _take_new(pile: _Pile) -> None:
    """Make groups of the files that do not lie in the layout, with what they overlap where that pays."""
    new = np.flatnonzero(pile.alive & ~pile.in_layout)
    held = np.flatnonzero(pile.alive & pile.in_layout)
    held = held[np.argsort(pile.low[held], kind="stable")]
    lows, highs, reach = pile.low[held], np.sort(pile.high[held]), np.maximum.accumulate(pile.high[held])
    owner = np.arange(len(pile.low))  # what a row was merged into
    together: list[list[int]] = []
    end = 0
    for row in new[np.lexsort((pile.high[new], pile.low[new]))].tolist():
        low = int(pile.low[row])
        # Nothing sorted lies in the gap: what is written across it overlaps nothing more.
        gap = low > end and np.searchsorted(lows, low) > np.searchsorted(highs, end, "right")
        if not together or gap:
            together.append([])
            end = low
        together[-1].append(row)
        end = max(end, int(pile.high[row]))
    for rows in together:
        chosen = np.array(rows)
        low, high = int(pile.low[chosen].min()), int(pile.high[chosen].max())
        met = held[np.searchsorted(reach, low, "right") : np.searchsorted(lows, high)]
        while not pile.alive[met].all():
            met = np.unique(owner[met])
        met = met[(pile.low[met] < high) & (pile.high[met] > low)]
        if pile.bytes[met].sum() <= pile.bytes[chosen].sum():
            chosen = np.concatenate([chosen, met])
        owner[chosen] = pile.merge(chosen)


def _merge_deep(pile: _Pile, max_depth: int) -> bool:
    """Merge where more runs meet than may, once from the lowest key to the highest; False where that is nowhere."""
    rows = np.flatnonzero(pile.alive)
    begins, ends = (np.sort(edges) for edges in _edges(pile, rows))
    depth = np.searchsorted(begins, begins, "right") - np.searchsorted(ends, begins)
    deep = np.unique(begins[depth > max_depth])
    done = int(begins.min(initial=0)) - 1
    for at in deep.tolist():
        if at <= done:
            continue
        begin, end = _edges(pile, rows := np.flatnonzero(pile.alive), once=False)
        met = rows[(begin <= at) & (end >= at)]
        if len(np.unique(pile.chain[met])) > max_depth:
            done = 2 * int(pile.high[pile.merge(_size_tiered(pile, met, max_depth))])
    return bool(len(deep))


def _edges(pile: _Pile, rows: Ints, *, once: bool = True) -> tuple[Ints, Ints]:
    """First and last place of some rows: a range lies behind its low and before its high end, a single value at both.

    Files of the same single value lie side by side: with ``once`` they count as one.
    """
    low, high = pile.low[rows], pile.high[rows]
    point = low == high
    kept = np.ones(len(rows), np.bool_)
    if once:
        at = np.flatnonzero(point)
        kept[at] = False
        kept[at[np.unique(low[at], return_index=True)[1]]] = True
    return np.where(point, 2 * low, 2 * low + 1)[kept], np.where(point, 2 * high, 2 * high - 1)[kept]


def _size_tiered(pile: _Pile, met: Ints, max_depth: int) -> Ints:
    """Of the runs that meet at a key: the smallest until few enough are left, and all that are no larger than these.

    Of a run only the part counts, and is taken, that overlaps what it is merged with.
    """
    near = pile.overlapping(int(pile.low[met].min()), int(pile.high[met].max()))
    near[met] = True
    weights = np.bincount(pile.chain[near], pile.bytes[near])
    chains = np.unique(pile.chain[met])
    chains = chains[np.argsort(weights[chains], kind="stable")]
    taken, total = 0, 0.0
    for weight in weights[chains].tolist():
        if len(chains) - taken < max_depth and weight > total:
            break
        taken, total = taken + 1, total + weight
    return _closure(pile, met[np.isin(pile.chain[met], chains[:taken])], chains[:taken])


def _closure(pile: _Pile, chosen: Ints, chains: Ints) -> Ints:
    """Rows, and whatever of these runs they overlap."""
    while True:
        near = np.flatnonzero(pile.overlapping(int(pile.low[chosen].min()), int(pile.high[chosen].max())))
        inside = np.union1d(chosen, near[np.isin(pile.chain[near], chains)])
        if len(inside) == len(chosen):
            return chosen
        chosen = inside


def _merge_small(pile: _Pile) -> bool:
    """Merge small files with their neighbours, those next to each other first; False where they are few enough."""
    kept = pile.alive & ~pile.rewritten
    others = int(pile.files[kept].sum() - pile.small[kept].sum())
    surplus = int(pile.small[pile.alive].sum()) - max(MAX_SMALL, others // OTHERS_A_SMALL)
    if surplus <= 0:
        return False
    rows = np.flatnonzero(pile.alive & (pile.small > 0))
    rows = rows[np.lexsort((pile.high[rows], pile.low[rows]))]
    alone = np.flatnonzero(pile.small[rows] > 1)
    if len(alone):  # a run that was cut too small
        pile.merge(rows[alone[:1]])
        return True
    high, size = np.maximum.accumulate(pile.high[rows]), pile.bytes[rows]
    large = np.flatnonzero(pile.alive & (pile.small == 0))
    large = large[np.argsort(pile.low[large], kind="stable")]
    held = np.concatenate([[0], np.cumsum(pile.bytes[large])])
    first, last = (np.searchsorted(pile.low[large], ends) for ends in (high[:-1], pile.low[rows][1:]))
    between = np.maximum(0, held[np.maximum(first, last)] - held[first])
    used = np.zeros(len(rows), np.bool_)
    for seed in np.lexsort((size[:-1] + size[1:], between)).tolist():
        if surplus <= 0 or used[seed] or used[seed + 1]:
            continue
        start, stop = _window(size, between, used, seed)
        used[start:stop] = True
        surplus -= stop - start - 1
        takes_all = between[seed] <= size[start:stop].sum()  # else what is written lies beside what is between
        inside = large[first[seed] : last[seed]] if takes_all else large[:0]
        pile.merge(np.concatenate([rows[start:stop], inside]))
    return True


def _window(size: Ints, between: Ints, used: Mask, first: int) -> tuple[int, int]:
    """A pair of neighbours, and those beside it that nothing lies between and that are no larger than all so far."""
    start, stop, total = first, first + 2, int(size[first] + size[first + 1])
    while True:
        before = start > 0 and between[start - 1] == 0 and size[start - 1] <= total and not used[start - 1]
        behind = stop < len(size) and between[stop - 1] == 0 and size[stop] <= total and not used[stop]
        if before and not (behind and size[stop] < size[start - 1]):
            start -= 1
            total += int(size[start])
        elif behind:
            total += int(size[stop])
            stop += 1
        else:
            return start, stop
