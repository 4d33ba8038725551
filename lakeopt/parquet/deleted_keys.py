"""Keys that equality-delete files name, numbered once, so that the rows of many batches are looked up cheaply."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.parquet.values import bits, storage

Numbers = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


class DeletedKeys:
    """The keys of all delete files that compare the same columns: a null equals a null, NaN equals NaN.

    Columns are folded one by one: a number stands for the values of the columns so far, so that a row is looked up
    as one integer however many columns there are. Memory: the distinct values, and 24 bytes a deleted key.
    """

    def __init__(self, fields: Sequence[pa.Field], files: Sequence[Sequence[pa.Array]]) -> None:
        """``files`` has one item a delete file: an array for each field, in the field's type."""
        self.fields = tuple(fields)
        self._levels: list[tuple[pa.Array, Numbers]] = []
        counts = [len(arrays[0]) for arrays in files]
        state = np.zeros(sum(counts), np.int64)
        for place in range(len(self.fields)):
            key = pa.concat_arrays([comparable(arrays[place]) for arrays in files])
            distinct = key.unique()
            here = pc.index_in(key, value_set=distinct).to_numpy().astype(np.int64)
            prefixes, state = np.unique(state * max(1, len(distinct)) + here, return_inverse=True)
            self._levels.append((distinct, prefixes))
        order = np.argsort(state, kind="stable")
        self._files = np.repeat(np.arange(len(files)), counts)[order]
        self._starts = np.flatnonzero(np.diff(state[order], prepend=-1))
        self._file_count = len(files)

    def named_by(self, files: Collection[int]) -> Mask:
        """Of all keys in order of their numbers, those that one of these delete files names."""
        applies = np.zeros(self._file_count, bool)
        applies[list(files)] = True
        if not len(self._files):
            return np.zeros(0, bool)
        found: Mask = np.logical_or.reduceat(applies[self._files], self._starts)
        return found

    def numbers(self, arrays: Sequence[pa.Array], length: int) -> Numbers:
        """The number of each row's key, -1 where no delete file names it."""
        state = np.zeros(length, np.int64)
        for (distinct, prefixes), array in zip(self._levels, arrays, strict=True):
            if not len(prefixes):
                return np.full(length, -1, np.int64)
            here = pc.index_in(comparable(array), value_set=distinct).fill_null(-1).to_numpy().astype(np.int64)
            wanted = state * len(distinct) + here
            at = np.searchsorted(prefixes, wanted).clip(max=len(prefixes) - 1)
            state = np.where((state >= 0) & (here >= 0) & (prefixes[at] == wanted), at, -1)
        return state


def comparable(array: pa.Array) -> pa.Array:
    """Values of which equal ones are the same value: floats as bits, no dictionaries, no extension types."""
    array = storage(array)
    return bits(array.dictionary_decode() if pa.types.is_dictionary(array.type) else array)
