"""The manifest entry of a new data file, with statistics that are true of what its footer says was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyiceberg.io.pyarrow import MetricModeTypes, StatisticsCollector, compute_statistics_plan
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.typedef import Record
from pyiceberg.types import DoubleType, FloatType, PrimitiveType

from lakeopt.errors import DataFileError
from lakeopt.model.scan import FIELD_ID
from lakeopt.tables.iceberg.commits.column_bounds import ordered, single_value, truncated

if TYPE_CHECKING:
    import pyarrow.parquet as pq
    from pyiceberg.schema import Schema


@dataclass
class _Column:
    """Statistics of one column over the row groups of a file."""

    values: int = 0
    nulls: int | None = 0
    lower: Any = None
    upper: Any = None
    bounded: bool = True

    def add(self, chunk: pq.ColumnChunkMetaData, kind: PrimitiveType) -> None:
        """Take one row group in. One that has values and no range leaves the whole file without bounds."""
        self.values += chunk.num_values
        statistics = chunk.statistics if chunk.is_stats_set else None
        nulls = statistics.null_count if statistics is not None and statistics.has_null_count else None
        self.nulls = None if nulls is None or self.nulls is None else self.nulls + nulls
        if statistics is not None and statistics.has_min_max:
            low, high = _outermost(ordered(kind, statistics.min_raw), ordered(kind, statistics.max_raw))
            self.bounded = self.bounded and low == low and high == high  # some writers put NaN there
            self.lower = low if self.lower is None else min(self.lower, low)
            self.upper = high if self.upper is None else max(self.upper, high)
        elif nulls is None or nulls < chunk.num_values:
            self.bounded = False


def _outermost(low: Any, high: Any) -> tuple[Any, Any]:
    """Bounds that hold where a writer took no care of the sign of zero (Parquet format, ``ColumnOrder``).

    >>> _outermost(0.0, -0.0), _outermost(0, 5)
    ((-0.0, 0.0), (0, 5))
    """
    return (
        -0.0 if isinstance(low, float) and low == 0 else low,
        0.0 if isinstance(high, float) and high == 0 else high,
    )


@dataclass(frozen=True)
class FileStatistics:
    """What a manifest says about the columns of one data file, by field id."""

    column_sizes: dict[int, int] = field(default_factory=dict)
    value_counts: dict[int, int] = field(default_factory=dict)
    null_value_counts: dict[int, int] = field(default_factory=dict)
    nan_value_counts: dict[int, int] = field(default_factory=dict)
    lower_bounds: dict[int, bytes] = field(default_factory=dict)
    upper_bounds: dict[int, bytes] = field(default_factory=dict)


def new_data_file(
    row: Mapping[str, Any],
    footer: pq.FileMetaData,
    *,
    schema: Schema,
    properties: Mapping[str, str],
    spec_id: int,
    partition: Record,
    sort_order_id: int | None,
) -> DataFile:
    """The data file of one row of a staged list.

    :raises DataFileError: the footer does not say what the list says, or lacks the schema's field ids.
    """
    if footer.num_rows != row["record_count"]:
        raise DataFileError(
            f"{row['file_path']} holds {footer.num_rows} rows, but {row['record_count']} were written to it",
            hint="the file was changed after it was written; run the rewrite again",
        )
    if set(_leaf_ids(footer.schema.to_arrow_schema())) != set(compute_statistics_plan(schema, {})):
        raise DataFileError(
            f"the columns of {row['file_path']} do not carry the field ids of the table's schema",
            hint="no reader could tell them apart; report this with the plan",
        )
    statistics = file_statistics(footer, schema, properties, dict(row["nan_value_counts"]))
    file = DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=row["file_path"],
        file_format=FileFormat.PARQUET,
        partition=partition,
        record_count=row["record_count"],
        file_size_in_bytes=row["file_size_in_bytes"],
        split_offsets=split_offsets(footer),
        sort_order_id=sort_order_id,
        **vars(statistics),
    )
    file.spec_id = spec_id  # from_args takes none, and a file without one would be given the table's default spec
    return file


def file_statistics(
    footer: pq.FileMetaData, schema: Schema, properties: Mapping[str, str], nan_value_counts: Mapping[int, int]
) -> FileStatistics:
    """Statistics by the table's metrics modes (``write.metadata.metrics.*``).

    Columns are told apart by field id, not by path: ``a.b`` may be a column or a field of a struct. A float
    column that holds NaN (or is not known to hold none) gets no upper bound: engines that sort NaN last would
    prune files that match. Nested columns get counts only.
    """
    modes = compute_statistics_plan(schema, dict(properties))
    made = FileStatistics()
    for position, field_id in enumerate(_leaf_ids(footer.schema.to_arrow_schema())):
        mode, column, size = modes[field_id], _Column(), 0
        for group in range(footer.num_row_groups):
            chunk = footer.row_group(group).column(position)
            size += chunk.total_compressed_size
            column.add(chunk, mode.iceberg_type)
        made.column_sizes[field_id] = size
        _record(made, field_id, mode, column, nan_value_counts.get(field_id))
    return made


def _record(made: FileStatistics, field_id: int, mode: StatisticsCollector, column: _Column, nans: int | None) -> None:
    if mode.mode.type == MetricModeTypes.NONE:
        return
    made.value_counts[field_id] = column.values
    if column.nulls is not None:
        made.null_value_counts[field_id] = column.nulls
    if nans is not None:
        made.nan_value_counts[field_id] = nans
    if mode.mode.type == MetricModeTypes.COUNTS or not column.bounded or column.lower is None:
        return
    lower, upper = (single_value(mode.iceberg_type, value) for value in (column.lower, column.upper))
    if lower is None or upper is None:
        return
    lower, ceiling = truncated(mode.iceberg_type, lower, upper, mode.mode.length)
    made.lower_bounds[field_id] = lower
    if ceiling is not None and not (isinstance(mode.iceberg_type, FloatType | DoubleType) and nans != 0):
        made.upper_bounds[field_id] = ceiling


def split_offsets(footer: pq.FileMetaData) -> list[int]:
    """Where each row group begins (bytes), ascending."""
    offsets = []
    for group in range(footer.num_row_groups):
        first = footer.row_group(group).column(0)
        dictionary, data = first.dictionary_page_offset, first.data_page_offset
        offsets.append(dictionary if dictionary is not None and 0 < dictionary < data else data)
    return sorted(offsets)


def _leaf_ids(fields: pa.Schema | pa.StructType) -> Iterator[int]:
    """Field ids of the leaves, in the order of the file's columns."""
    for part in fields:
        yield from _leaves(part)


def _leaves(part: pa.Field) -> Iterator[int]:
    kind = part.type
    if pa.types.is_struct(kind):
        yield from _leaf_ids([kind.field(i) for i in range(kind.num_fields)])
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _leaves(kind.value_field)
    elif pa.types.is_map(kind):
        yield from _leaf_ids([kind.key_field, kind.item_field])
    else:
        yield int((part.metadata or {}).get(FIELD_ID, -1))
