"""Ranks of text and bytes of which nearly every value is different, without a dictionary of all of them.

Seven bytes at a time are sorted as integers, and only rows that still tie look at the next seven. Many values are
ranked in two halves at once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_STEP = 7
#: So many values are worth a thread more; so many are looked at to find their middle.
_MANY, _SAMPLED = 100_000, 1_024

Numbers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


def text_ranks(values: pa.Array) -> tuple[Numbers, int]:
    """Dense ranks by unsigned bytes of a string or binary array without nulls, and how many values differ.

    >>> ranks, different = text_ranks(pa.array(["b", "", "ab", "b"]))
    >>> ranks.tolist(), different
    ([2, 0, 1, 2], 3)
    """
    count = len(values)
    if not count:
        return np.zeros(0, np.int64), 0
    text, taken = _Text(values), _common_prefix(values)
    # Of each row the first place that is left to it: all rows of a tie have the same.
    place = np.zeros(count, np.int64)
    words = text.words(np.arange(count), taken)
    below = words < np.median(words[:: max(1, count // _SAMPLED)])
    place[~below] = np.count_nonzero(below)
    halves = [np.flatnonzero(below), np.flatnonzero(~below)]
    with ThreadPoolExecutor(len(halves) if count >= _MANY else 1) as pool:
        list(pool.map(lambda half: _place(text, place, half, words[half], taken), halves))
    begins = np.zeros(count, bool)
    begins[place] = True
    ranks = np.cumsum(begins) - 1
    return ranks[place], int(ranks[-1]) + 1


def _place(text: _Text, place: Numbers, tied: Numbers, words: Words, taken: int) -> None:
    """Give rows that tie in all bytes before ``taken`` their places, by these words of theirs and those behind."""
    while len(tied):
        order = _by_place_and_word(place[tied], words)
        tied, words = tied[order], words[order]
        places = place[tied]
        new_tie = np.concatenate([[True], places[1:] != places[:-1]])
        starts = new_tie | np.concatenate([[True], words[1:] != words[:-1]])
        sizes = np.diff(np.append(np.flatnonzero(starts), len(tied)))
        offsets = np.flatnonzero(starts) - np.flatnonzero(new_tie)[np.cumsum(new_tie)[starts] - 1]
        place[tied] = places + np.repeat(offsets, sizes)
        taken += _STEP
        tied = tied[np.repeat(sizes > 1, sizes)]
        tied = tied[text.lengths[tied] > taken]
        words = text.words(tied, taken)


def _by_place_and_word(places: Numbers, words: Words) -> Numbers:
    """Order by place, then word. Place and rank of the word are packed, since sorting integers is fastest."""
    by_word: Numbers = np.argsort(words)
    if places[0] == places[-1] and (places == places[0]).all():
        return by_word
    bits = np.uint64(max(1, int(len(words) - 1).bit_length()))
    packed = places[by_word].astype(np.uint64) << bits
    packed |= np.arange(len(words), dtype=np.uint64)
    packed.sort()
    packed &= (np.uint64(1) << bits) - np.uint64(1)
    return by_word[packed.astype(np.int64)]


def _common_prefix(values: pa.Array) -> int:
    """Bytes that all values begin with."""
    bounds = pc.min_max(values)
    low, high = (bounds[end].cast(pa.large_binary()).as_py() for end in ("min", "max"))
    return next((n for n, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low))


class _Text:
    """The bytes of an array, read as integers."""

    def __init__(self, values: pa.Array) -> None:
        wide = pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type)
        _, offsets, data = values.buffers()
        ends = np.frombuffer(offsets, np.int64 if wide else np.int32)
        ends = ends[values.offset : values.offset + len(values) + 1].astype(np.int64)
        self._starts, self.lengths = ends[:-1], np.diff(ends)
        held = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
        held = held if len(held) >= 8 else np.concatenate([held, np.zeros(8, np.uint8)])
        #: The eight bytes at each place, big-endian: they overlap.
        self._at = np.ndarray((len(held) - 7,), ">u8", held, strides=(1,))

    def words(self, rows: Numbers, skip: int) -> Words:
        """Seven bytes behind the first ``skip`` of each row and, last, how many there were: all that compares."""
        starts, left = self._starts[rows] + skip, np.clip(self.lengths[rows] - skip, 0, _STEP + 1)
        reached = np.minimum(starts, len(self._at) - 1)
        words: Words = self._at[reached].astype(np.uint64)
        beyond = starts > reached
        words[beyond] <<= (8 * np.minimum(starts[beyond] - reached[beyond], 7)).astype(np.uint64)
        dropped = (8 * (8 - np.minimum(left, _STEP))).astype(np.uint64)
        # A shift by 64 bits is none at all to the processor.
        words >>= np.minimum(dropped, 63)
        words <<= np.minimum(dropped, 63)
        words[left == 0] = 0
        words |= left.astype(np.uint64)
        return words
