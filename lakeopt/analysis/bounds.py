"""Column bounds of files as Iceberg's manifests hold them, decoded to comparable codes.

Bounds are in the single-value binary form of the Iceberg spec (appendix D). Strings and binaries are usually cut
to their first characters (metrics mode ``truncate``): the lower bound is then a prefix of the smallest value, the
upper one a prefix of the largest, raised by one. Such a bound only brackets the true end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.analysis.single_values import characters, kind_of, truncated

if TYPE_CHECKING:
    from lakeopt.analysis.footer_facts import ColumnRange

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: Characters that Iceberg keeps of a string or binary bound where the table does not say otherwise.
DEFAULT_TRUNCATION = 16


def truncation_width(properties: Mapping[str, str], column: str) -> int:
    """Characters that are surely kept of a column's bounds: bounds shorter than this are exact.

    The property may have been wider or ``full`` when a file was written; it is never taken as more than the default.

    >>> truncation_width({"write.metadata.metrics.column.name": "truncate(4)"}, "name"), truncation_width({}, "name")
    (4, 16)
    """
    prefix = "write.metadata.metrics."
    mode = properties.get(f"{prefix}column.{column}", properties.get(f"{prefix}default", ""))
    match = re.fullmatch(r"truncate\((\d+)\)", mode.strip().lower())
    return min(int(match[1]), DEFAULT_TRUNCATION) if match else DEFAULT_TRUNCATION


@dataclass(frozen=True, slots=True)
class ColumnBounds:
    """Bounds and counts of one column, one entry a file. Absent bounds are null, absent counts -1.

    ``lower_exact`` and ``upper_exact`` say where a bound is the true smallest or largest value, not a bracket of it.
    """

    iceberg_type: str
    lower: pa.BinaryArray
    upper: pa.BinaryArray
    lower_exact: Mask
    upper_exact: Mask
    nulls: Ints
    nans: Ints
    values: Ints

    def with_exact(self, known: Mapping[int, ColumnRange]) -> ColumnBounds:
        """The same bounds, with those of some files (by position) replaced by what their footers say."""
        if not known:
            return self
        at = np.fromiter(known, np.int64, len(known))
        position = np.arange(len(self.nulls), dtype=np.int64)
        position[at] = len(self.nulls) + np.arange(len(at))

        def patched(old: pa.BinaryArray, new: list[bytes | None]) -> pa.BinaryArray:
            return pa.concat_arrays([old, pa.array(new, pa.binary())]).take(pa.array(position))

        def counted(old: Ints, new: list[int]) -> Ints:
            return np.concatenate([old, np.array(new, np.int64)])[position]

        exact = np.zeros(len(self.nulls), np.bool_)
        exact[at] = True
        ranges = list(known.values())
        return ColumnBounds(
            self.iceberg_type,
            patched(self.lower, [r.lower for r in ranges]),
            patched(self.upper, [r.upper for r in ranges]),
            self.lower_exact | exact,
            self.upper_exact | exact,
            counted(self.nulls, [r.nulls for r in ranges]),
            self.nans,  # Parquet footers do not count NaN
            counted(self.values, [r.values for r in ranges]),
        )

    def take(self, at: Ints) -> ColumnBounds:
        """The bounds of some files, by position."""
        rows = pa.array(at)
        return ColumnBounds(
            self.iceberg_type,
            self.lower.take(rows),
            self.upper.take(rows),
            self.lower_exact[at],
            self.upper_exact[at],
            self.nulls[at],
            self.nans[at],
            self.values[at],
        )


class FileMetrics:
    """The per-column maps of a file list, split once so that each column costs only its own entries."""

    def __init__(self, files: pa.Table) -> None:
        self.count = files.num_rows
        self._maps = {
            name: _split(files[name])
            for name in ("lower_bounds", "upper_bounds", "null_value_counts", "nan_value_counts", "value_counts")
        }

    def column(
        self, field_id: int, iceberg_type: str, *, required: bool = False, width: int = DEFAULT_TRUNCATION
    ) -> ColumnBounds:
        """Bounds of one top-level column; ``width`` is its :func:`truncation_width`."""
        lower, upper = self._binary("lower_bounds", field_id), self._binary("upper_bounds", field_id)
        nulls = self._counts("null_value_counts", field_id)
        bounded = np.asarray(lower.is_valid()) & np.asarray(upper.is_valid())
        if required:
            nulls = np.where(bounded & (nulls < 0), 0, nulls)
        lower_exact, upper_exact = bounded, bounded
        if truncated(iceberg_type):
            text = kind_of(iceberg_type) == "string"
            same = bounded & np.asarray(pc.fill_null(pc.equal(lower, upper), False))
            # A carry at a 0xff byte shortens a raised binary bound: up to three such bytes are allowed for.
            lower_exact = same | bounded & (characters(lower, text) < width)
            upper_exact = same | bounded & (characters(upper, text) < (width if text else width - 3))
        nans = self._counts("nan_value_counts", field_id)
        values = self._counts("value_counts", field_id)
        return ColumnBounds(iceberg_type, lower, upper, lower_exact, upper_exact, nulls, nans, values)

    def _counts(self, name: str, field_id: int) -> Ints:
        rows, items = self._entries(name, field_id)
        counts = np.full(self.count, -1, np.int64)
        counts[rows] = np.asarray(items.fill_null(-1))
        return counts

    def _binary(self, name: str, field_id: int) -> pa.BinaryArray:
        rows, items = self._entries(name, field_id)
        at = np.full(self.count, -1, np.int64)
        at[rows] = np.arange(len(rows))
        return items.take(pa.array(at, mask=at < 0))

    def _entries(self, name: str, field_id: int) -> tuple[Ints, Any]:
        parents, keys, items = self._maps[name]
        begin, end = np.searchsorted(keys, [field_id, field_id + 1])
        return parents[begin:end], items.slice(begin, end - begin)


def _split(column: pa.ChunkedArray) -> tuple[Ints, npt.NDArray[np.int32], Any]:
    """Row number, key and item of each entry of a map column, in order of the keys."""
    maps = column.combine_chunks()
    lists = pc.cast(maps, pa.list_(pa.struct([maps.type.key_field, maps.type.item_field])))
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0))
    entries = pc.list_flatten(lists)
    keys = np.asarray(entries.field(0))
    order = np.argsort(keys, kind="stable")
    parents = np.repeat(np.arange(len(maps), dtype=np.int64), lengths)
    return parents[order], keys[order], entries.field(1).take(pa.array(order))
