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
        self._levels: list[tuple[_Values, Numbers]] = []
        counts = [len(arrays[0]) for arrays in files]
        state = np.zeros(sum(counts), np.int64)
        for place in range(len(self.fields)):
            keys = pa.concat_arrays([_comparable(arrays[place]) for arrays in files])
            values = _Values(keys)
            prefixes, state = np.unique(state * values.count + values.numbers(keys), return_inverse=True)
            self._levels.append((values, prefixes))
        order = np.argsort(state, kind="stable")
        self._files = np.repeat(np.arange(len(files)), counts)[order]
        self._starts = np.flatnonzero(np.diff(state[order], prepend=-1, append=-1))
        self._file_count = len(files)

    def applying(self, files: Collection[int]) -> Mask:
        """The delete files, by their place, that are among these."""
        mask = np.zeros(self._file_count, bool)
        mask[list(files)] = True
        return mask

    def rows(self, arrays: Sequence[pa.Array], length: int, applying: Mask) -> Numbers:
        """Places of the rows whose key one of the applying delete files names."""
        numbers = self._numbers(arrays, length)
        rows = np.flatnonzero(numbers >= 0)
        if not len(rows):
            return rows
        keys, of_row = np.unique(numbers[rows], return_inverse=True)
        starts = self._starts[keys]
        counts = self._starts[keys + 1] - starts
        ends = np.cumsum(counts)
        files = self._files[np.repeat(starts - ends + counts, counts) + np.arange(ends[-1])]
        named = np.logical_or.reduceat(applying[files], ends - counts)
        found: Numbers = rows[named[of_row]]
        return found

    def _numbers(self, arrays: Sequence[pa.Array], length: int) -> Numbers:
        """The number of each row's key, -1 where no delete file names it."""
        state = np.zeros(length, np.int64)
        for (values, prefixes), array in zip(self._levels, arrays, strict=True):
            if not len(prefixes):
                return np.full(length, -1, np.int64)
            here = values.numbers(_comparable(array))
            wanted = state * values.count + here
            at = np.searchsorted(prefixes, wanted).clip(max=len(prefixes) - 1)
            state = np.where((state >= 0) & (here >= 0) & (prefixes[at] == wanted), at, -1)
        return state


class _Values:
    """The distinct values of one column, null among them, numbered.

    Integers, and whatever is stored as one, are found in a sorted array: Arrow would build a table of all values anew
    for each batch of rows, which is done for other types alone.
    """

    def __init__(self, keys: pa.Array) -> None:
        self._distinct = keys.unique()
        self.count = max(1, len(self._distinct))
        integers = _integers(self._distinct.drop_null())
        self._sorted = None if integers is None else np.sort(integers)

    def numbers(self, array: pa.Array) -> Numbers:
        """The number of each value, -1 for one that is not among them."""
        integers = None if self._sorted is None else _integers(array.fill_null(0) if array.null_count else array)
        if self._sorted is None or integers is None:
            found: Numbers = pc.index_in(array, value_set=self._distinct).fill_null(-1).to_numpy().astype(np.int64)
            return found
        found = np.full(len(array), -1, np.int64)
        if len(self._sorted):
            at = np.searchsorted(self._sorted, integers).clip(max=len(self._sorted) - 1)
            found = np.where(self._sorted[at] == integers, at, -1)
        if array.null_count:
            found[array.is_null().to_numpy(zero_copy_only=False)] = (
                len(self._sorted) if self._distinct.null_count else -1
            )
        return found


def _integers(array: pa.Array) -> Numbers | None:
    """Values without nulls as 64-bit integers, where their type is one."""
    integers: Numbers | None = array.to_numpy().astype(np.int64) if pa.types.is_signed_integer(array.type) else None
    return integers


def _comparable(array: pa.Array) -> pa.Array:
    """Values of which equal ones are the same value: floats as bits, times as integers, no dictionary or extension."""
    array = storage(array)
    array = bits(array.dictionary_decode() if pa.types.is_dictionary(array.type) else array)
    if pa.types.is_temporal(array.type):
        return array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    return array
