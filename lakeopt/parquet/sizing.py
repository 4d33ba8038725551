"""Where to cut a stream of rows into row groups and files, so that files have their target size on disk.

Row groups are encoded by several threads at once, so a cut has to be decided before the sizes of the latest row
groups are known: what is not known yet is estimated by the rate (bytes a row) of what was encoded last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: A file that is over its target by less than this share is better than a small file beside it.
SPREAD = 0.08
#: What is left of a file below this share of its goal is not worth a row group.
FULL = 0.03


@dataclass(slots=True)
class Sizing:
    """The cuts of one stream. ``expected_rows`` (a hint, 0 if unknown) lets the last files share what is left.

    With ``block_rows`` the stream is ordered in blocks of so many rows only, and row groups end where blocks do: one
    that held the end of a block and the beginning of the next would be larger than either.

    >>> sizing = Sizing(target_bytes=1000, expected_rows=2100)
    >>> sizing.encoded(100, 100)
    >>> [sizing.cut(600) for _ in range(4)]
    [(0, 525), (0, 525), (1, 525), (1, 525)]
    >>> sizing = Sizing(target_bytes=9000, expected_rows=1500, block_rows=600)
    >>> sizing.encoded(100, 100)
    >>> [sizing.cut(1000) for _ in range(3)]
    [(0, 600), (0, 600), (0, 300)]
    """

    target_bytes: int
    expected_rows: int = 0
    block_rows: int | None = None
    rate: float | None = None
    file: int = 0
    goal: float = 0.0
    cut_rows: int = 0
    file_rows: int = 0
    known_rows: int = 0
    known_bytes: int = 0
    ended: bool = False

    def rows_wanted(self, limit: int) -> int:
        """Rows of the next row group, at most ``limit`` and a little."""
        if self.rate is None:
            return limit
        if self.goal == 0.0 or self.ended or self._room() < FULL * self.goal / self.rate:
            self._next_file()
        if self.block_rows is not None:
            return self._whole_blocks(self.block_rows, limit)
        room, left = self._room(), self.expected_rows - self.cut_rows
        rows = left if 0 < left <= room * (1 + SPREAD) else room
        return max(1, math.ceil(rows / max(1, math.ceil(rows / limit - FULL))))

    def _whole_blocks(self, block: int, limit: int) -> int:
        """Rows up to the end of a block, of several where a row group takes them, or an equal part of one."""
        left = -self.cut_rows % block
        if not left:
            if self.file_rows and self._room() < min(block, limit) / 2:
                self._next_file()
            left = block * max(1, min(limit // block, round(self._room() / block)))
        if self.expected_rows > self.cut_rows:
            left = min(left, self.expected_rows - self.cut_rows)
        return math.ceil(left / max(1, math.ceil(left / limit - FULL)))

    def cut(self, limit: int, available: int | None = None) -> tuple[int, int]:
        """Take the next row group: the number of its file and its rows."""
        rows = self.rows_wanted(limit)
        rows = rows if available is None else min(rows, available)
        self.cut_rows += rows
        self.file_rows += rows
        return self.file, rows

    def end_file(self) -> None:
        """What was cut so far ends a file; how many rows are to come is not known."""
        self.ended, self.expected_rows = self.cut_rows > 0, 0

    def encoded(self, rows: int, size: int, file: int | None = None) -> None:
        """Learn the size of an encoded row group; ``file`` if it is part of a file and not a trial."""
        self.rate = max(size / rows, 1e-9)
        if file == self.file:
            self.known_rows += rows
            self.known_bytes += size

    def _room(self) -> float:
        """Rows that the file under way still takes."""
        assert self.rate is not None
        return (self.goal - self.known_bytes) / self.rate - (self.file_rows - self.known_rows)

    def _next_file(self) -> None:
        if self.goal:
            self.file += 1
        self.ended = False
        self.file_rows = self.known_rows = self.known_bytes = 0
        assert self.rate is not None
        left = (self.expected_rows - self.cut_rows) * self.rate
        whole = math.floor(left / self.target_bytes)
        spread = whole >= 1 and left / whole <= self.target_bytes * (1 + SPREAD)
        self.goal = left / whole if spread else float(self.target_bytes)


def packed(sizes: Sequence[int], target_bytes: int) -> list[tuple[int, int]]:
    """Where to cut a run of parts that stay whole into files of about the target size: (first, behind the last).

    A file ends at the part that brings it nearest to its goal, at most a little above the target. Of parts below a
    third of the target no file but the last has less than three quarters of it; of larger ones it may.

    >>> packed([30, 30, 30, 30, 30], 100), packed([], 100)
    ([(0, 3), (3, 5)], [])
    """
    cuts: list[tuple[int, int]] = []
    start, held, left = 0, 0, sum(sizes)
    goal = _goal(left, target_bytes)
    for place, size in enumerate(sizes):
        if place > start and (held + size / 2 > goal or held + size > target_bytes * (1 + SPREAD)):
            cuts.append((start, place))
            start, held, goal = place, 0, _goal(left, target_bytes)
        held += size
        left -= size
    return [*cuts, (start, len(sizes))] if sizes else []


def _goal(left: int, target_bytes: int) -> float:
    """Bytes of the next file: what is left, in equal parts, where that is hardly above the target."""
    whole = left // target_bytes
    return left / whole if whole and left / whole <= target_bytes * (1 + SPREAD) else float(target_bytes)
