"""Functions that executors call on Arrow arrays, as Spark hands them over."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from lakeopt.keys.row_ranges import RowRanges
from lakeopt.model.scan import LeadingKey


@dataclass(frozen=True)
class LeadingNumbers:
    """The leading number of each row; ``kinds`` are the types of the key's columns in the table."""

    key: LeadingKey
    kinds: tuple[pa.DataType, ...]

    def __call__(self, *values: pa.Array) -> pa.Array:
        """One int64 a row."""
        stored = [as_stored(array, kind) for array, kind in zip(values, self.kinds, strict=True)]
        return self.key(stored).cast(pa.int64())


@dataclass(frozen=True)
class RangeNumbers:
    """The range that each row is in."""

    ranges: RowRanges

    def __call__(self, *values: pa.Array) -> pa.Array:
        """One int32 a row."""
        return pa.array(self.ranges([_flat(array) for array in values]), pa.int32())


def as_stored(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """The values in the storage type that the table has them in; Spark has uuid as text.

    >>> as_stored(pa.array(["00000000-0000-0000-0000-00000000000a"]), pa.uuid())[0].as_py()[-1]
    10
    """
    values = _flat(values)
    stored = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    if pa.types.is_fixed_size_binary(stored) and not pa.types.is_binary(values.type):
        return pa.array([None if text is None else uuid.UUID(text).bytes for text in values.to_pylist()], stored)
    return values if values.type == stored else values.cast(stored)


def _flat(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def concatenated(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> list[pa.Array]:
    """The columns of these batches."""
    return [_flat(column) for column in pa.Table.from_batches(batches, schema).columns]
