"""Whether rows really lie in a sort key's order, by the Iceberg spec's comparison, checked while they pass.

NaN is equal to itself and above infinity, -0.0 is below 0.0, strings compare by code points (UTF-8 bytes),
UUID, fixed and binary by unsigned bytes, false is below true, and nulls come first or last as the key says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.errors import UnknownName, UsageError
from lakeopt.model.scan import LeadingKey

SortKey = Sequence[tuple[str, bool, bool]]


class OrderCheck:
    """Watches batches go by; :attr:`ok` stays true as long as all rows so far are in order.

    >>> check = OrderCheck(pa.schema([("x", pa.int32())]), [("x", True, True)])
    >>> check.update(pa.record_batch({"x": pa.array([None, 1, 1], pa.int32())}))
    True
    >>> check.update(pa.record_batch({"x": pa.array([0], pa.int32())}))
    False
    """

    def __init__(self, schema: pa.Schema, sort: SortKey, leading: LeadingKey | None = None) -> None:
        """With ``leading``, rows are to be ordered by its number first."""
        for name, _, _ in sort:
            if name not in schema.names:
                raise UnknownName("column", name, schema.names)
            if pa.types.is_nested(schema.field(name).type):
                raise UsageError(f"column {name!r} cannot be sorted by: its type is {schema.field(name).type}")
        self.sort = tuple((schema.get_field_index(name), up, first) for name, up, first in sort)
        self._leading = leading
        if leading is not None:
            self.sort = ((len(schema), True, True), *self.sort)
        self.ok = True
        self.last: pa.RecordBatch | None = None

    def update(self, batch: pa.RecordBatch) -> bool:
        """Look at the next rows; whether everything so far, the step from the last batch included, is in order."""
        if batch.num_rows and self.ok and self.sort:
            if self._leading is not None:
                batch = batch.append_column("", leading_numbers(batch, self._leading))
            self.ok = (self.last is None or self._step(batch)) and self._within(batch)
            self.last = batch.slice(batch.num_rows - 1)
        return self.ok

    def _step(self, batch: pa.RecordBatch) -> bool:
        assert self.last is not None
        pairs = [[_plain(self.last.column(i)), _plain(batch.column(i).slice(0, 1))] for i, _, _ in self.sort]
        return _in_order([pa.concat_arrays(pair) for pair in pairs], self.sort)

    def _within(self, batch: pa.RecordBatch) -> bool:
        return _in_order([batch.column(i) for i, _, _ in self.sort], self.sort)


def leading_numbers(batch: pa.RecordBatch, leading: LeadingKey) -> pa.Array:
    """The number of each row of a batch."""
    return leading([_plain(batch.column(name)) for name in leading.columns])


def differing(batch: pa.RecordBatch, before: pa.RecordBatch | None) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Of each row, whether it differs from the one before it; ``before`` holds the row before the first, if any.

    Nulls are equal, NaN are equal, -0.0 and 0.0 are not.

    >>> differing(pa.record_batch({"x": [1, 1, None, None]}), None).tolist()
    [True, False, True, False]
    """
    changed = np.zeros(batch.num_rows, bool)
    changed[0] = before is None
    for position, column in enumerate(batch.columns):
        changed[1:] |= ~_compare(column, True, True)[1]
        if before is not None:
            pair = pa.concat_arrays([_plain(before.column(position)), _plain(column.slice(0, 1))])
            changed[0] |= not _compare(pair, True, True)[1][0]
    return changed


def _plain(column: pa.Array) -> pa.Array:
    """Two batches may have two dictionaries, so their codes do not compare."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _in_order(columns: Sequence[pa.Array], sort: Sequence[tuple[int, bool, bool]]) -> bool:
    """Whether no row is above its successor; each further column is looked at only where all before it tie."""
    tied: np.ndarray[Any, np.dtype[np.bool_]] | None = None
    for column, (_, ascending, nulls_first) in zip(columns, sort, strict=True):
        above, equal = _compare(column, ascending, nulls_first)
        if bool((above if tied is None else above & tied).any()):
            return False
        tied = equal if tied is None else tied & equal
        if not tied.any():
            return True
    return True


def _compare(column: pa.Array, ascending: bool, nulls_first: bool) -> tuple[np.ndarray, np.ndarray]:
    """For each pair of neighbours: the first is above the second in this direction; both are equal."""
    above, equal = _compare_values(_comparable(column))
    if not ascending:
        above = ~above & ~equal
    if column.null_count:
        null = column.is_null().to_numpy(zero_copy_only=False)
        left, right = null[:-1], null[1:]
        above = np.where(left | right, (right & ~left) if nulls_first else (left & ~right), above)
        equal = np.where(left | right, left & right, equal)
    return above, equal


def _compare_values(values: Any) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(values, np.ndarray):
        return values[:-1] > values[1:], values[:-1] == values[1:]
    left, right = values.slice(0, len(values) - 1), values.slice(1)
    return tuple(
        compare(left, right).fill_null(False).to_numpy(zero_copy_only=False) for compare in (pc.greater, pc.equal)
    )


def _comparable(column: pa.Array) -> Any:
    """Values whose plain comparison is the spec's: integers as numpy, the rest as Arrow. Null slots hold anything."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column, kind = column.storage, column.type.storage_type
    if pa.types.is_dictionary(kind):
        ranks = pc.rank(column.dictionary, tiebreaker="dense")
        return ranks.take(column.indices).fill_null(0).to_numpy(zero_copy_only=False)
    if pa.types.is_floating(kind):
        return _float_ranks(column)
    if pa.types.is_boolean(kind):
        return column.cast(pa.uint8()).fill_null(0).to_numpy(zero_copy_only=False)
    if pa.types.is_temporal(kind):
        kind = pa.int32() if kind.bit_width == 32 else pa.int64()
        column = column.view(kind)
    if pa.types.is_integer(kind):
        return column.fill_null(0).to_numpy(zero_copy_only=False)
    return column


def _float_ranks(column: pa.Array) -> np.ndarray:
    """Integers in the order of the floats: the sign-magnitude bits as two's complement, every NaN on top."""
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    whole = np.int32 if values.dtype == np.float32 else np.int64
    bits = values.view(whole)
    ranks: np.ndarray = np.where(bits < 0, bits ^ np.iinfo(whole).max, bits)
    ranks[np.isnan(values)] = np.iinfo(whole).max
    return ranks
