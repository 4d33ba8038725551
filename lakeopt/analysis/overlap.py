"""How far the value ranges of files meet: depth and excess depth, per column or on a whole sort key.

Within one partition (of one spec), the *depth* of a file is the number of files whose closed ranges meet its own,
itself included; 1 is perfect for point lookups. The *excess* is the number of other files that overlap it by more
than a shared end point: on the first key column, f and g do so iff ``low(g) < high(f) and high(g) > low(f)``; files
that are the same single point there are compared on the next column. So a heavy value that fills k files is
perfectly laid out: excess 0. Everything is counted by binary search in sorted codes: O(n log n).

Where a range is only bracketed (cut bounds), a pair may or may not overlap. Both the pairs that can overlap and those
that must are counted; where the two differ for a file, its footer is asked, and without one it counts as unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.analysis.bounds import ColumnBounds, FileMetrics, truncation_width
from lakeopt.analysis.footer_facts import FooterReader, Footers
from lakeopt.analysis.ranges import Ranges, key_ranges
from lakeopt.analysis.single_values import comparable
from lakeopt.errors import UnknownName, UsageError
from lakeopt.model.plan import SortField
from lakeopt.model.scan import FIELD_ID
from lakeopt.model.table import ColumnOverlap
from lakeopt.parquet.footers import Resolve

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class KeyDepths:
    """Per file, in the order of the file list: depth and excess depth, -1 where the file's range is not known.

    Files of unknown range are not counted among the neighbours of the others. ``lows`` and ``highs`` are the ends of
    each file column by column of the key; :meth:`ends` makes numbers of them.
    """

    depth: Ints
    excess: Ints
    lows: Sequence[Ints]
    highs: Sequence[Ints]

    def ends(self) -> tuple[Ints, Ints]:
        """Numbers that compare within a partition as the low and high ends of whole keys do.

        Two files overlap by more than a shared end point iff each has its low end below the other's high end. They
        say nothing where the range is not known.
        """
        if len(self.lows) == 1:
            return self.lows[0], self.highs[0]
        count = len(self.depth)
        if not self.lows or not count:
            return np.zeros(count, np.int64), np.zeros(count, np.int64)
        pairs = np.concatenate([np.stack(self.lows, axis=1), np.stack(self.highs, axis=1)])
        numbers = np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
        return numbers[:count], numbers[count:]

    def ranges(self) -> list[tuple[int, int] | None]:
        """The :meth:`ends` of each file, None where its range is not known."""
        lows, highs = self.ends()
        pairs = zip(lows.tolist(), highs.tolist(), self.excess.tolist(), strict=True)
        return [(low, high) if excess >= 0 else None for low, high, excess in pairs]

    def deepest(self, files: pa.Table) -> int:
        """Most files that meet at one key of a partition, of those whose range is known.

        Files of one single value lie side by side: they count as one.
        """
        known = self.excess >= 0
        group = partition_groups(files)[known]
        low, high = (ends[known] for ends in self.ends())
        begin, end = np.where(low == high, 2 * low, 2 * low + 1), np.where(low == high, 2 * high, 2 * high - 1)
        first = np.unique(np.stack([group, low, high], axis=1), axis=0, return_index=True)[1]
        once = low != high
        once[first] = True
        stretch = 2 * group * (int(high.max(initial=0)) + 2)
        begins, ends = np.sort((stretch + begin)[once]), np.sort((stretch + end)[once])
        depth = np.searchsorted(begins, begins, "right") - np.searchsorted(ends, begins)
        return int(depth.max(initial=0))

    def summary(self, column: str) -> ColumnOverlap:
        """The figures of all files as one value."""
        met, over = self.depth[self.depth > 0], self.excess[self.excess >= 0]
        return ColumnOverlap(
            column,
            mean_depth=float(met.mean()) if len(met) else None,
            max_depth=int(met.max()) if len(met) else None,
            excess_depth=float(over.mean()) if len(over) else None,
            max_excess_depth=int(over.max()) if len(over) else None,
            unknown_files=int((self.excess < 0).sum()),
        )


def key_depths(
    files: pa.Table,
    key: Sequence[SortField],
    schema: pa.Schema,
    field_types: Mapping[str, str],
    *,
    footers: Footers | None = None,
    resolve: Resolve | None = None,
    properties: Mapping[str, str] | None = None,
    metrics: FileMetrics | None = None,
) -> KeyDepths:
    """Depth and excess depth of data files of any number of partitions on one sort key.

    ``footers`` is asked for the files whose bounds are absent or cut where it matters (ties first); ``resolve`` in
    its place reads every footer that is needed. ``properties`` are the table's: they say how short bounds are cut.
    ``metrics`` saves splitting the same ``files`` again.

    :raises UnknownName: a key column is not in the schema.
    :raises UsageError: a key column's type has no order.
    """
    columns = field_ids(schema, field_types, [part.name for part in key])
    if footers is None and resolve is not None:
        footers = FooterReader(resolve, columns)
    metrics = metrics or FileMetrics(files)
    # Footers are Parquet's: a file of another format is never asked.
    parquet = pc.equal(files["file_format"], "PARQUET")
    paths = pc.if_else(parquet, files["file_path"], pa.scalar(None, pa.string()))
    depth, excess = np.full(files.num_rows, -1, np.int64), np.zeros(files.num_rows, np.int64)
    members, group = np.arange(files.num_rows), partition_groups(files)
    lows: list[Ints] = []
    highs: list[Ints] = []
    point = np.ones(files.num_rows, np.bool_)
    for level, part in enumerate(key):
        field_id, kind = int(schema.field(part.name).metadata[FIELD_ID]), field_types[part.name]
        width = truncation_width(properties or {}, part.name)
        required = not schema.field(part.name).nullable
        bounds = metrics.column(field_id, kind, required=required, width=width).take(members)
        ranges, counts = _resolved(bounds, part, group, paths.take(pa.array(members)), field_id, footers)
        met = members[ranges.known]
        _add_ends(lows, highs, point, met, ranges.select(ranges.known))
        depth[met] = counts.depth if level == 0 else depth[met] - _sizes(group)[ranges.known] + counts.depth
        excess[met] += np.where(counts.uncertain, 0, counts.excess)
        lost = np.ones(len(members), np.bool_)
        lost[np.flatnonzero(ranges.known)[~counts.uncertain]] = False
        excess[members[lost]] = -1
        shared = (counts.same > 1) & ~counts.uncertain
        members = met[shared]
        if len(members) == 0:
            break
        group = _ids(group[ranges.known][shared], ranges.lo_min[ranges.known][shared])
    return KeyDepths(depth, excess, lows, highs)


def _add_ends(lows: list[Ints], highs: list[Ints], point: Mask, met: Ints, ranges: Ranges) -> None:
    """Add the ends of some files on the next key column; ``point`` says which files are single values so far.

    A range on an earlier column begins behind every file that is the single value of its low end, and ends before
    every file that is that of its high end.
    """
    low, high = np.where(point, 0, np.iinfo(np.int64).max), np.where(point, 0, -1)
    low[met], high[met] = ranges.lo_min, ranges.hi_max
    point[met] = ranges.lo_min == ranges.hi_max
    lows.append(low)
    highs.append(high)


def field_ids(schema: pa.Schema, field_types: Mapping[str, str], columns: Sequence[str]) -> dict[int, str]:
    """Iceberg type by field id of some top-level columns, as :class:`FooterReader` takes them.

    :raises UnknownName: a column is not in the schema.
    :raises UsageError: a column's type has no order.
    """
    for name in columns:
        if name not in field_types:
            raise UnknownName("column", name, field_types)
        if not comparable(field_types[name]):
            kind = field_types[name]
            raise UsageError(f"column {name!r} of type {kind} cannot be sorted by", hint="take a primitive column")
    return {int(schema.field(name).metadata[FIELD_ID]): field_types[name] for name in columns}


def partition_groups(files: pa.Table) -> Ints:
    """One number a file, equal for files of the same partition of the same partition spec."""
    partition = pc.dictionary_encode(files["partition"].combine_chunks())
    partition = partition.chunk(0) if isinstance(partition, pa.ChunkedArray) and partition.num_chunks else partition
    codes = np.asarray(partition.indices) if len(files) else np.zeros(0, np.int64)
    return _ids(np.asarray(files["spec_id"]).astype(np.int64), codes.astype(np.int64))


def _ids(first: Ints, second: Ints) -> Ints:
    """Dense ids of pairs of non-negative numbers."""
    width = int(second.max(initial=0)) + 1
    ids: Ints = np.unique(first * width + second, return_inverse=True)[1].astype(np.int64)
    return ids


def _sizes(group: Ints) -> Ints:
    """Number of members of each member's group."""
    sizes: Ints = np.bincount(group)[group] if len(group) else np.zeros(0, np.int64)
    return sizes


@dataclass(frozen=True, slots=True)
class _Counts:
    """Per file of known range. ``same`` counts the files that are the same single point, itself included."""

    depth: Ints
    excess: Ints
    uncertain: Mask
    same: Ints


def _resolved(
    bounds: ColumnBounds,
    part: SortField,
    group: Ints,
    paths: pa.ChunkedArray,
    field_id: int,
    footers: Footers | None,
) -> tuple[Ranges, _Counts]:
    """Ranges and counts on one column; footers are asked until they settle every doubt or give no more."""
    asked = np.asarray(paths.is_null())
    while True:
        ranges = key_ranges(bounds, part)
        counts = _count(group[ranges.known], ranges.select(ranges.known))
        doubtful = ~ranges.known
        doubtful[np.flatnonzero(ranges.known)[counts.uncertain]] = True
        wanted = np.flatnonzero(doubtful & ~asked)
        if footers is None or len(wanted) == 0:
            return ranges, counts
        # Ties first, and neighbours together: one footer alone settles nothing.
        wanted = wanted[np.lexsort((ranges.lo_min[wanted], group[wanted], ~ranges.known[wanted]))]
        asked[wanted] = True
        names = paths.take(pa.array(wanted)).to_pylist()
        facts = footers(names)
        found = {
            int(at): facts[name].ranges[field_id]
            for at, name in zip(wanted, names, strict=True)
            if name in facts and field_id in facts[name].ranges
        }
        if not found:
            return ranges, counts
        bounds = bounds.with_exact(found)


def _count(group: Ints, ranges: Ranges) -> _Counts:
    """Neighbours of every file among files of known range, group by group."""
    lo, hi = ranges.lo_min, ranges.hi_max
    total, point = _sizes(group), lo == hi
    same = np.zeros(len(group), np.int64)
    same[point] = _sizes(_ids(group[point], lo[point]))
    lows, highs = _Ordered(group, lo), _Ordered(group, hi)
    left, right = highs.at_most(lo), total - lows.at_most(hi - 1)
    # A file is no neighbour of itself; files at the same point stand on the left and on the right of each other.
    excess = total - left - right + np.where(point, same, -1)
    depth = lows.at_most(hi) - highs.at_most(lo - 1)
    if ranges.exact:
        return _Counts(depth, excess, np.zeros(len(group), np.bool_), same)
    surely_left = _Ordered(group, ranges.hi_min).at_most(ranges.lo_max)
    surely_right = total - _Ordered(group, ranges.lo_max).at_most(ranges.hi_min - 1)
    itself = 2 * (point.astype(np.int64) - (ranges.hi_min <= ranges.lo_max))
    uncertain = surely_left + surely_right + itself > left + right
    return _Counts(depth, excess, uncertain, same)


class _Ordered:
    """One code a file, sorted within the file's group."""

    def __init__(self, group: Ints, codes: Ints) -> None:
        # One array serves all groups: every code lies in its group's own stretch of numbers, with room for -1.
        self._stretch, self._width = group, int(codes.max(initial=0)) + 2
        self._codes = np.sort(group * self._width + codes + 1)
        self._begins = np.cumsum(np.bincount(group))[group] - _sizes(group) if len(group) else group

    def at_most(self, limits: Ints) -> Ints:
        """For each file, how many files of its group have a code at most the file's own limit (>= -1)."""
        within = np.minimum(limits, self._width - 2) + 1
        found: Ints = np.searchsorted(self._codes, self._stretch * self._width + within, "right") - self._begins
        return found
