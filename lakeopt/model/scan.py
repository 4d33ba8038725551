"""What crosses from the metadata side to the byte side: Arrow tables of files and how to read or write them.

These values hold Arrow objects and callables; they live within one process and have no JSON form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from lakeopt.errors import UnknownName, UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

#: ``content`` of a file, as in the Iceberg spec.
DATA, POSITION_DELETES, EQUALITY_DELETES = 0, 1, 2

#: Field metadata key under which pyarrow reads and writes Parquet field ids.
FIELD_ID = b"PARQUET:field_id"


def files_schema() -> pa.Schema:
    """Columns of every file list (one row a live file). Bounds are in Iceberg's single-value binary form.

    ``partition`` is JSON: partition field name -> value in Iceberg's JSON single-value form, ``{}`` if
    unpartitioned. ``delete_files`` lists the paths of the delete files that may apply to a data file.
    """
    import pyarrow as pa

    ids_to_long, ids_to_binary = pa.map_(pa.int32(), pa.int64()), pa.map_(pa.int32(), pa.binary())
    return pa.schema(
        [
            pa.field("content", pa.int8(), nullable=False),
            pa.field("file_path", pa.string(), nullable=False),
            pa.field("file_format", pa.string(), nullable=False),
            pa.field("spec_id", pa.int32(), nullable=False),
            pa.field("partition", pa.string(), nullable=False),
            pa.field("record_count", pa.int64(), nullable=False),
            pa.field("file_size_in_bytes", pa.int64(), nullable=False),
            ("column_sizes", ids_to_long),
            ("value_counts", ids_to_long),
            ("null_value_counts", ids_to_long),
            ("nan_value_counts", ids_to_long),
            ("lower_bounds", ids_to_binary),
            ("upper_bounds", ids_to_binary),
            ("key_metadata", pa.binary()),
            ("split_offsets", pa.list_(pa.int64())),
            ("equality_ids", pa.list_(pa.int32())),
            ("sort_order_id", pa.int32()),
            ("data_sequence_number", pa.int64()),
            ("file_sequence_number", pa.int64()),
            ("snapshot_id", pa.int64()),
            ("referenced_data_file", pa.string()),
            ("content_offset", pa.int64()),
            ("content_size_in_bytes", pa.int64()),
            ("first_row_id", pa.int64()),
            ("delete_files", pa.list_(pa.string())),
        ]
    )


def staged_schema() -> pa.Schema:
    """Columns of the list of staged files that an engine returns, in key order.

    ``sorted`` is true only where every row of the file was checked to be in the layout's order. ``partition`` has
    one value a field of the spec that rows were divided by, in Iceberg's single-value binary form; null as a whole
    where the file stays in the partition of those it replaces.
    """
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("file_path", pa.string(), nullable=False),
            pa.field("file_size_in_bytes", pa.int64(), nullable=False),
            pa.field("record_count", pa.int64(), nullable=False),
            pa.field("sorted", pa.bool_(), nullable=False),
            pa.field("nan_value_counts", pa.map_(pa.int32(), pa.int64()), nullable=False),
            ("partition", pa.list_(pa.binary())),
        ]
    )


@dataclass(frozen=True, slots=True)
class Scan:
    """Which rows to read: data files, what their columns mean today, and which deletes apply.

    ``schema`` is the table's current schema in Arrow types; every field at every depth carries
    :data:`FIELD_ID` metadata. ``resolve`` maps a location as Iceberg spells it to a pyarrow file system and
    a path in it. ``name_mapping`` (parsed ``schema.name-mapping.default``) serves files without field ids.
    ``defaults`` gives the initial default by field id, for files that lack the column. ``constants`` gives
    per file path the values (by field id) of identity-partition columns, used where the file lacks them.
    ``deletes`` lists the delete files that the ``delete_files`` column of ``files`` names.
    """

    schema: pa.Schema
    files: pa.Table
    resolve: Callable[[str], tuple[fs.FileSystem, str]]
    name_mapping: tuple[Mapping[str, Any], ...] | None = None
    defaults: Mapping[int, Any] = field(default_factory=dict)
    constants: Mapping[str, Mapping[int, Any]] = field(default_factory=dict)
    deletes: pa.Table | None = None


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """How data files are encoded: the table's own ``write.*`` properties, resolved.

    ``row_group_bytes`` is in memory (Arrow) bytes, ``page_bytes`` uncompressed bytes.
    """

    codec: str = "zstd"
    level: int | None = None
    row_group_bytes: int = 128 * 1024 * 1024
    row_group_rows: int = 1_048_576
    page_bytes: int = 1_048_576
    page_rows: int = 20_000
    dictionary_bytes: int = 2 * 1024 * 1024

    def as_mapping(self) -> dict[str, str]:
        """The options as text, as plans carry them."""
        return {name: str(value) for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> WriterOptions:
        """The options of a plan. Inverse of :meth:`as_mapping`.

        >>> WriterOptions.from_mapping(WriterOptions(level=3).as_mapping()) == WriterOptions(level=3)
        True

        :raises UsageError: an option is unknown, or its value is no number.
        """
        for name, value in values.items():
            if name not in cls.__dataclass_fields__:
                raise UnknownName("writer option", name, cls.__dataclass_fields__)
            if name != "codec" and not re.fullmatch(r"-?[0-9]+" if name == "level" else r"[0-9]*[1-9][0-9]*", value):
                raise UsageError(f"the writer option {name} cannot be {value!r}", hint="make a new plan")
        return cls(**{name: value if name == "codec" else int(value) for name, value in values.items()})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class PartitionKey:
    """One field of a partition spec, void ones left out: where its source column is, and what is made of it.

    ``source`` is the place of a top-level column, then of a field in each struct below it. ``transform`` takes
    Arrow values of the source's type and gives as many of type ``result``; None leaves them as they are.
    """

    source: tuple[int, ...]
    transform: Callable[[pa.Array], pa.Array] | None
    result: pa.DataType


@dataclass(frozen=True, slots=True)
class Repartition:
    """Rows are divided by these keys, each partition into files of its own.

    ``encode`` takes one value a key and gives one a field of the spec, as in :func:`staged_schema`;
    ``locate(n, values)`` is the location of the n-th file, which is of the partition with these encoded values.
    """

    keys: tuple[PartitionKey, ...]
    encode: Callable[[Sequence[Any]], tuple[bytes | None, ...]]
    locate: Callable[[int, tuple[bytes | None, ...]], str]


@dataclass(frozen=True, slots=True)
class StageRequest:
    """One file group to be written anew.

    ``sort`` is the key as (top-level column name, ascending, nulls first), empty for bin-pack.
    ``locate(n)`` gives the location of the n-th output file. ``memory_bytes`` bounds the whole process.
    With ``partition`` rows are divided first and ordered by ``sort`` within each partition.
    ``footer_metadata`` goes into each file's key-value metadata. ``progress(rows)`` is told of rows written.
    """

    scan: Scan
    sort: tuple[tuple[str, bool, bool], ...]
    writer: WriterOptions
    target_file_bytes: int
    locate: Callable[[int], str]
    memory_bytes: int
    threads: int
    temp_dir: str
    footer_metadata: Mapping[str, str] = field(default_factory=dict)
    progress: Callable[[int], None] = lambda rows: None
    partition: Repartition | None = None
