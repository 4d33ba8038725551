"""What ``inspect`` keeps of a Parquet footer: row groups, codecs, page index, and the exact range of some columns."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakeopt.errors import LakeoptError
from lakeopt.model.scan import FIELD_ID
from lakeopt.parquet.footers import Resolve, read_footer

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

#: Writers known to keep whole values in footer statistics. Others may cut them, at 64 bytes where they do, and mark
#: that in a flag that pyarrow does not show.
_WHOLE_STATISTICS = ("parquet-cpp", "parquet-mr")
_CUT_STATISTICS = 61  # 64 bytes less what a cut at a whole UTF-8 character may take away

#: Files read at a time: the wait is on storage.
_READERS = 8


@dataclass(frozen=True, slots=True)
class ColumnRange:
    """Smallest and largest value of one column of one file, in Iceberg's single-value binary form, and its counts.

    Both are None where every value is null.
    """

    lower: bytes | None
    upper: bytes | None
    nulls: int
    values: int


@dataclass(frozen=True, slots=True)
class FooterFacts:
    """One footer. ``row_group_bytes`` is compressed; ``ranges`` holds the asked columns whose range is surely known."""

    row_group_rows: tuple[int, ...]
    row_group_bytes: tuple[int, ...]
    codecs: frozenset[str]
    page_index: bool
    field_ids: bool
    ranges: Mapping[int, ColumnRange] = field(default_factory=dict)


#: Reads the footers of the files it is asked for, as far as it can; what it leaves out stays unknown.
Footers = Callable[[Sequence[str]], Mapping[str, FooterFacts]]


class FooterReader:
    """Reads footers, each at most once and at most ``limit`` in all (None: no limit); keeps facts, not footers.

    ``columns`` maps the field id of each column whose exact range may be asked for to its Iceberg type. Files that
    are missing or damaged are listed in ``failed`` with the reason. ``names`` (:func:`ids_by_name`) serves files
    without field ids, as Hive's are.
    """

    def __init__(
        self,
        resolve: Resolve,
        columns: Mapping[int, str],
        limit: int | None = None,
        names: Mapping[str, int] | None = None,
    ) -> None:
        self._resolve, self._columns, self.limit, self._names = resolve, columns, limit, names or {}
        self.facts: dict[str, FooterFacts] = {}
        self.failed: dict[str, str] = {}

    @property
    def read(self) -> int:
        """Footers read or tried so far."""
        return len(self.facts) + len(self.failed)

    def __call__(self, paths: Sequence[str]) -> Mapping[str, FooterFacts]:
        """Facts of these files, first come first served within the limit."""
        new = [p for p in dict.fromkeys(paths) if p not in self.facts and p not in self.failed]
        new = new if self.limit is None else new[: max(0, self.limit - self.read)]
        if new:
            with ThreadPoolExecutor(max_workers=_READERS) as pool:
                for path, outcome in zip(new, pool.map(self._try, new), strict=True):
                    if isinstance(outcome, FooterFacts):
                        self.facts[path] = outcome
                    else:
                        self.failed[path] = outcome
        return self.noted(paths)

    def noted(self, paths: Sequence[str]) -> Mapping[str, FooterFacts]:
        """Facts of those of these files whose footers were read before."""
        return {path: self.facts[path] for path in paths if path in self.facts}

    def _try(self, path: str) -> FooterFacts | str:
        try:
            return footer_facts(read_footer(path, self._resolve), self._columns, self._names)
        except LakeoptError as error:
            return str(error)


def ids_by_name(schema: pa.Schema) -> dict[str, int]:
    """Field ids of top-level columns by their names in lower case, by which Hive and Spark find a file's columns."""
    return {part.name.lower(): int(part.metadata[FIELD_ID]) for part in schema if FIELD_ID in (part.metadata or {})}


def footer_facts(
    footer: pq.FileMetaData, columns: Mapping[int, str], names: Mapping[str, int] | None = None
) -> FooterFacts:
    """Facts of one footer, with the ranges of ``columns`` (field id -> Iceberg type)."""
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    chunks = [group.column(index) for group in groups[:1] for index in range(group.num_columns)]
    leaves = _leaves(footer.schema.to_arrow_schema(), names or {})
    ranges = {}
    if leaves is not None:
        found = {i: _column_range(footer, groups, leaves.get(i), kind) for i, kind in columns.items()}
        ranges = {field_id: exact for field_id, exact in found.items() if exact is not None}
    return FooterFacts(
        tuple(group.num_rows for group in groups),
        tuple(sum(group.column(i).total_compressed_size for i in range(group.num_columns)) for group in groups),
        frozenset(chunk.compression.lower() for chunk in chunks),
        all(chunk.has_column_index and chunk.has_offset_index for chunk in chunks),
        leaves is not None,
        ranges,
    )


def _leaves(schema: pa.Schema, names: Mapping[str, int]) -> dict[int, int] | None:
    """Leaf column of each top-level primitive field by field id; None where nothing tells the columns apart."""
    found: dict[int, int] = {}
    identified, leaf = False, 0
    for top in schema:
        if names:
            identified = True
            if top.name.lower() in names and top.type.num_fields == 0:
                found[names[top.name.lower()]] = leaf
        elif FIELD_ID in (top.metadata or {}):
            identified = True
            if top.type.num_fields == 0:
                found[int(top.metadata[FIELD_ID])] = leaf
        leaf += _leaf_count(top.type)
    return found if identified or len(schema) == 0 else None


def _leaf_count(kind: pa.DataType) -> int:
    import pyarrow as pa

    if not pa.types.is_nested(kind):
        return 1
    return sum(_leaf_count(kind.field(index).type) for index in range(kind.num_fields))


def _column_range(
    footer: pq.FileMetaData, groups: Iterable[pq.RowGroupMetaData], leaf: int | None, iceberg_type: str
) -> ColumnRange | None:
    """Range of one column over all row groups; None where a statistic is absent, cut short, or silent about NaN."""
    if leaf is None:  # the column was added to the table after this file was written
        return ColumnRange(None, None, footer.num_rows, footer.num_rows)
    whole = str(footer.created_by).startswith(_WHOLE_STATISTICS)
    encode = _encoder(footer.schema.column(leaf), iceberg_type)
    ends: list[Any] = []
    nulls = 0
    for group in groups:
        statistics = group.column(leaf).statistics if group.column(leaf).is_stats_set else None
        if statistics is None or not statistics.has_null_count:
            return None
        nulls += statistics.null_count
        if statistics.null_count == group.num_rows:
            continue
        if not statistics.has_min_max:
            return None
        low, high = statistics.min_raw, statistics.max_raw
        if not whole and isinstance(low, bytes) and max(len(low), len(high)) >= _CUT_STATISTICS:
            return None
        ends += [_comparable(low, iceberg_type), _comparable(high, iceberg_type)]
    if not ends:
        return ColumnRange(None, None, nulls, footer.num_rows)
    if iceberg_type in ("float", "double"):  # NaN is left out of Parquet's statistics, and not counted
        return None
    return ColumnRange(encode(min(ends)), encode(max(ends)), nulls, footer.num_rows)


def _comparable(raw: Any, iceberg_type: str) -> Any:
    """A raw statistic so that values of several row groups compare: decimals in bytes become integers."""
    if isinstance(raw, bytes) and iceberg_type.startswith("decimal"):
        return int.from_bytes(raw, "big", signed=True)
    return raw


def _encoder(column: pq.ColumnSchema, iceberg_type: str) -> Callable[[Any], bytes]:
    """How a statistic of this column is written as an Iceberg single value."""
    if iceberg_type.startswith("decimal"):
        return lambda value: value.to_bytes((value + (value < 0)).bit_length() // 8 + 1, "big", signed=True)
    if iceberg_type == "boolean":
        return lambda value: bytes([bool(value)])
    if column.physical_type not in ("INT32", "INT64"):
        return bytes
    multiply, divide = _ticks(column, iceberg_type)
    return lambda value: struct.pack("<q", value * multiply // divide)


def _ticks(column: pq.ColumnSchema, iceberg_type: str) -> tuple[int, int]:
    """Factor and divisor from the file's unit of time to Iceberg's (microseconds, or nanoseconds by name)."""
    per_second = {"milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
    logical = json.loads(column.logical_type.to_json())
    if iceberg_type.startswith("time") and logical.get("timeUnit") in per_second:
        return 10**9 if iceberg_type.endswith("_ns") else 10**6, per_second[logical["timeUnit"]]
    if iceberg_type.startswith("timestamp") and logical.get("Type") == "Date":
        return 86_400 * (10**9 if iceberg_type.endswith("_ns") else 10**6), 1
    return 1, 1
