"""Files of a Hive table as rows of a file list: counts and bounds from their footers, columns found by name.

Hive and Spark take a column for the one of that name in whatever case. Where a file has none it is null. What cannot
be said for sure (a timestamp of 96 bits, a type that differs) has no bounds.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    PrimitiveType,
    StringType,
    TimestampType,
    TimestamptzType,
)

from lakeopt.errors import DataFileError
from lakeopt.model.scan import FIELD_ID
from lakeopt.orc import footers as orc_footers
from lakeopt.parquet.footers import Resolve, read_footer
from lakeopt.tables.iceberg.commits.column_bounds import ordered, single_value

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from lakeopt.orc.footers import OrcFooter

#: Longest bound that is kept (bytes); a column with a longer one has none.
_LONGEST = 256
#: Writers known to keep whole values in footer statistics; others may cut them, at 64 bytes where they do.
_WHOLE_STATISTICS = ("parquet-cpp", "parquet-mr")
_CUT = 61

#: Layouts that are known again; files may each have their own, as pandas notes their number of rows.
_LAYOUTS = 16
#: Key-value by which pyarrow takes a file's types for others than its schema says.
_ARROW_SCHEMA = b"ARROW:schema"

_MICROSECONDS = {"milliseconds": (1000, 1), "microseconds": (1, 1), "nanoseconds": (1, 1000)}
_FITS: dict[type[PrimitiveType], tuple[str, ...]] = {
    BooleanType: ("bool",),
    IntegerType: ("int8", "int16", "int32", "uint8", "uint16"),
    LongType: ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"),
    FloatType: ("float",),
    DoubleType: ("double",),
    DateType: ("date32[day]",),
    StringType: ("string", "large_string"),
    BinaryType: ("binary",),
}


@dataclass(frozen=True, slots=True)
class FileRow:
    """What a footer says of one file. ``shape`` is its schema as text, ``problem`` why there is no footer."""

    record_count: int = 0
    column_sizes: Mapping[int, int] = field(default_factory=dict)
    value_counts: Mapping[int, int] = field(default_factory=dict)
    null_value_counts: Mapping[int, int] = field(default_factory=dict)
    lower_bounds: Mapping[int, bytes] = field(default_factory=dict)
    upper_bounds: Mapping[int, bytes] = field(default_factory=dict)
    split_offsets: tuple[int, ...] = ()
    shape: pa.Schema | None = None
    codec: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Held:
    """One of the table's columns as Parquet files of one schema hold it: in leaves ``first`` … ``last`` (without).

    ``plain``: it is not nested. ``ticks`` are the factor and divisor from the file's unit of time to microseconds;
    ``bounded`` says whether statistics are of the column's own values.
    """

    number: int
    kind: Any
    first: int
    last: int
    plain: bool
    bounded: bool
    ticks: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Layout:
    """What files of one schema have in common, found once for all of them."""

    schema: pq.ParquetSchema
    hint: bytes | None
    shape: pa.Schema
    columns: tuple[_Held, ...]


class FooterRows:
    """Reads footers of files of one format for one schema, that of the columns that files hold."""

    def __init__(self, schema: Schema, held: str, resolve: Resolve) -> None:
        self._held, self._resolve = held, resolve
        self._columns = {column.name.lower(): column for column in schema.fields}
        self._shapes: dict[str, pa.Schema] = {}
        self._layouts: tuple[_Layout, ...] = ()

    def __call__(self, location: str) -> FileRow:
        """What the footer of one file says. A damaged file is a row with a problem.

        :raises Unreachable: the storage does not answer.
        """
        try:
            if self._held == "orc":
                return self._orc(orc_footers.read_footer(location, self._resolve))
            if self._held == "parquet":
                return self._parquet(read_footer(location, self._resolve))
        except DataFileError as error:
            return FileRow(problem=str(error))
        return FileRow()

    def _shape(self, schema: pa.Schema) -> pa.Schema:
        return self._shapes.setdefault(str(schema), schema)

    def _layout(self, footer: pq.FileMetaData) -> _Layout:
        """The layout of the file's schema: a table's files have few, so that most are known."""
        schema, hint = footer.schema, (footer.metadata or {}).get(_ARROW_SCHEMA)
        for known in self._layouts:
            if known.hint == hint and known.schema.equals(schema):
                return known
        arrow, columns, leaf = schema.to_arrow_schema(), [], 0
        for part in arrow:
            column, first = self._columns.get(part.name.lower()), leaf
            leaf += _leaf_count(part.type)
            if column is not None:
                columns.append(_held_column(column.field_id, column.field_type, part.type, schema, range(first, leaf)))
        made = _Layout(schema, hint, self._shape(_bare(arrow)), tuple(columns))
        self._layouts = (made, *self._layouts[: _LAYOUTS - 1])
        return made

    def _parquet(self, footer: pq.FileMetaData) -> FileRow:
        layout = self._layout(footer)
        groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
        whole = str(footer.created_by).startswith(_WHOLE_STATISTICS)
        sizes, values, nulls, lower, upper = ({} for _ in range(5))  # type: ignore[var-annotated]
        for held in layout.columns:
            number = held.number
            chunks = [group.column(i) for group in groups for i in range(held.first, held.last)]
            sizes[number] = sum(chunk.total_compressed_size for chunk in chunks)
            if not held.plain:
                continue
            values[number] = footer.num_rows
            found = [(chunk.num_values, chunk.statistics if chunk.is_stats_set else None) for chunk in chunks]
            if (count := _null_count(found)) is not None:
                nulls[number] = count
            if held.bounded:
                _keep(number, _bounds(held, whole, found), held.kind, lower, upper)
        codec = groups[0].column(0).compression.lower() if groups and groups[0].num_columns else None
        offsets = tuple(sorted(_start(group.column(0)) for group in groups if group.num_columns))
        return FileRow(footer.num_rows, sizes, values, nulls, lower, upper, offsets, layout.shape, codec)

    def _orc(self, footer: OrcFooter) -> FileRow:
        values, nulls, lower, upper = ({} for _ in range(4))  # type: ignore[var-annotated]
        by_position = all(field.name == f"_col{i}" for i, field in enumerate(footer.schema))
        ordinal = list(self._columns.values())
        for position, (held, statistics) in enumerate(zip(footer.schema, footer.statistics, strict=True)):
            if by_position:
                column = ordinal[position] if position < len(ordinal) else None
            else:
                column = self._columns.get(held.name.lower())
            if column is None or statistics is None or pa.types.is_nested(held.type):
                continue
            number, kind = column.field_id, column.field_type
            values[number], nulls[number] = statistics.value_count, statistics.null_count
            ends = (statistics.lower, statistics.upper)
            if isinstance(kind, PrimitiveType) and None not in ends and _fits(kind, held.type):
                _keep(number, tuple(single_value(kind, _orc_raw(kind, end)) for end in ends), kind, lower, upper)
        codec = footer.codec.lower()
        return FileRow(
            footer.record_count, {}, values, nulls, lower, upper, (), self._shape(_bare(footer.schema)), codec
        )


def _orc_raw(kind: Any, end: Any) -> Any:
    if isinstance(kind, StringType):
        return str(end).encode("utf-8", "surrogatepass")
    if isinstance(kind, DecimalType):
        return int(end.scaleb(kind.scale))
    return end


def _held_column(number: int, kind: Any, stored: pa.DataType, schema: pq.ParquetSchema, leaves: range) -> _Held:
    plain = len(leaves) == 1 and not pa.types.is_nested(stored)
    if not plain:
        return _Held(number, kind, leaves.start, leaves.stop, False, False, (1, 1))
    described, ticks = schema.column(leaves.start), (1, 1)
    bounded = _fits(kind, stored) and described.physical_type != "INT96"
    if bounded and isinstance(kind, TimestampType | TimestamptzType):
        unit = json.loads(described.logical_type.to_json()).get("timeUnit")
        bounded, ticks = unit in _MICROSECONDS, _MICROSECONDS.get(unit, ticks)
    return _Held(number, kind, leaves.start, leaves.stop, True, bounded, ticks)


def _bounds(held: _Held, whole: bool, chunks: Iterable[tuple[int, Any]]) -> tuple[bytes | None, bytes | None]:
    """Smallest and largest value of a plain column, where all row groups say them: number of values, statistics."""
    kind, lows, highs = held.kind, [], []
    for count, statistics in chunks:
        if statistics is None or not statistics.has_min_max:
            if statistics is not None and statistics.has_null_count and statistics.null_count == count:
                continue
            return None, None
        low, high = statistics.min_raw, statistics.max_raw
        if not whole and isinstance(low, bytes) and max(len(low), len(high)) >= _CUT:
            return None, None
        lows.append(ordered(kind, low))
        highs.append(ordered(kind, high))
    if not lows or any(isinstance(end, float) and math.isnan(end) for end in (*lows, *highs)):
        return None, None
    low, high = min(lows), max(highs)
    multiply, divide = held.ticks
    if divide > 1 and (low % divide or high % divide):
        return None, None
    if multiply != divide:
        low, high = low * multiply // divide, high * multiply // divide
    if isinstance(low, float):  # a writer need not care for the sign of zero
        low, high = (-0.0 if low == 0 else low), (0.0 if high == 0 else high)
    try:
        return single_value(kind, low), single_value(kind, high)
    except struct.error:
        return None, None


def _keep(number: int, ends: Any, kind: Any, lower: dict[int, bytes], upper: dict[int, bytes]) -> None:
    """Take bounds that are known; a column of floating-point numbers gets no upper one, for it may hold NaN."""
    low, high = ends
    if low is None or high is None or max(len(low), len(high)) > _LONGEST:
        return
    lower[number] = low
    if not isinstance(kind, FloatType | DoubleType):
        upper[number] = high


def _fits(kind: Any, held: pa.DataType) -> bool:
    """Whether statistics of a file's type are those of the column's values."""
    if isinstance(kind, DecimalType):
        return bool(pa.types.is_decimal(held) and held.scale == kind.scale)
    if isinstance(kind, TimestampType | TimestamptzType):
        return bool(pa.types.is_timestamp(held))
    return str(held) in _FITS.get(type(kind), ())


def _null_count(chunks: Iterable[tuple[int, Any]]) -> int | None:
    total = 0
    for _, statistics in chunks:
        if statistics is None or not statistics.has_null_count:
            return None
        total += statistics.null_count
    return total


def _start(chunk: pq.ColumnChunkMetaData) -> int:
    dictionary, data = chunk.dictionary_page_offset, chunk.data_page_offset
    return int(dictionary if dictionary is not None and 0 < dictionary < data else data)


def _leaf_count(kind: pa.DataType) -> int:
    if not pa.types.is_nested(kind):
        return 1
    return sum(_leaf_count(kind.field(index).type) for index in range(kind.num_fields))


def _bare(schema: pa.Schema) -> pa.Schema:
    """Names and types without metadata, but for field ids."""
    kept = [
        part.with_metadata({FIELD_ID: ids} if (ids := (part.metadata or {}).get(FIELD_ID)) else None) for part in schema
    ]
    return pa.schema(kept)
