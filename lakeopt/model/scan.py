"""What crosses from the metadata side to the byte side: Arrow tables of files and how to read or write them.

These values hold Arrow objects and callables; they live within one process and have no JSON form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from lakeopt.errors import UnknownName, UsageError
from lakeopt.model.result import Shuffle

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


class FileForm(Protocol):
    """How files spell their rows beyond their values, which new files keep so that Hive and Spark read the same."""

    @property
    def file_format(self) -> str:
        """``PARQUET`` or ``ORC``."""

    @property
    def schema(self) -> pa.Schema:
        """Columns that files hold, by their names in the scan, in the types that they are written in."""

    def fitted(self, options: WriterOptions) -> WriterOptions:
        """The options with the codec of the files."""


@dataclass(frozen=True, slots=True)
class Scan:
    """Which rows to read: data files, what their columns mean today, and which deletes apply.

    ``schema`` is the table's current schema in Arrow types; every field at every depth carries
    :data:`FIELD_ID` metadata. ``resolve`` maps a location as Iceberg spells it to a pyarrow file system and
    a path in it. ``name_mapping`` (parsed ``schema.name-mapping.default``) serves files without field ids.
    ``defaults`` gives the initial default by field id, for files that lack the column. ``constants`` gives
    per file path the values (by field id) of identity-partition columns, used where the file lacks them.
    ``deletes`` lists the delete files that the ``delete_files`` column of ``files`` names. Files
    ``of_hive`` tell types apart as Hive does: a timestamp may say that it is in UTC, bytes may be text. With ``form``
    new files are spelt alike.
    """

    schema: pa.Schema
    files: pa.Table
    resolve: Callable[[str], tuple[fs.FileSystem, str]]
    name_mapping: tuple[Mapping[str, Any], ...] | None = None
    defaults: Mapping[int, Any] = field(default_factory=dict)
    constants: Mapping[str, Mapping[int, Any]] = field(default_factory=dict)
    deletes: pa.Table | None = None
    of_hive: bool = False
    form: FileForm | None = None


#: Encodings of a column that a writer can be told to use, by their names here.
ENCODINGS = ("dictionary", "plain", "delta-binary-packed", "delta-length-byte-array", "delta-byte-array")
_BY_COLUMN = {"encoding.": "encodings", "bloom.": "bloom_filters"}
_OPTION_VALUES = {"codec": r".*", "level": r"-?[0-9]+", "encoding.": "|".join(ENCODINGS)}


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """How data files are encoded: the table's own ``write.*`` properties, resolved.

    ``row_group_bytes`` is in memory (Arrow) bytes, ``page_bytes`` uncompressed bytes. ``encodings`` names one of
    :data:`ENCODINGS` by top-level column; a column that it does not name gets a dictionary for as long as that pays.
    ``bloom_filters`` gives by column the number of different values that its filter is sized for.
    """

    codec: str = "zstd"
    level: int | None = None
    row_group_bytes: int = 128 * 1024 * 1024
    row_group_rows: int = 1_048_576
    page_bytes: int = 1_048_576
    page_rows: int = 20_000
    dictionary_bytes: int = 2 * 1024 * 1024
    encodings: Mapping[str, str] = field(default_factory=dict)
    bloom_filters: Mapping[str, int] = field(default_factory=dict)

    def as_mapping(self) -> dict[str, str]:
        """The options as text, as plans carry them: ``encoding.<column>`` and ``bloom.<column>`` one by one."""
        values = asdict(self)
        columns = {prefix: values.pop(name) for prefix, name in _BY_COLUMN.items()}
        text = {name: str(value) for name, value in values.items() if value is not None}
        for prefix, of_columns in columns.items():
            text |= {prefix + column: str(value) for column, value in of_columns.items()}
        return text

    @classmethod
    def from_mapping(cls, values: Mapping[str, str]) -> WriterOptions:
        """The options of a plan. Inverse of :meth:`as_mapping`.

        >>> WriterOptions.from_mapping(WriterOptions(level=3).as_mapping()) == WriterOptions(level=3)
        True

        :raises UsageError: an option is unknown, or its value is no number.
        """
        found: dict[str, Any] = {name: {} for name in _BY_COLUMN.values()}
        for name, value in values.items():
            prefix = next((prefix for prefix in _BY_COLUMN if name.startswith(prefix)), None)
            if prefix is None and (name not in cls.__dataclass_fields__ or name in found):
                raise UnknownName("writer option", name, cls.__dataclass_fields__)
            pattern = _OPTION_VALUES.get(prefix or name, r"[0-9]*[1-9][0-9]*")
            if not re.fullmatch(pattern, value):
                raise UsageError(f"the writer option {name} cannot be {value!r}", hint="make a new plan")
            typed = value if name == "codec" or prefix == "encoding." else int(value)
            if prefix is None:
                found[name] = typed
            else:
                found[_BY_COLUMN[prefix]][name.removeprefix(prefix)] = typed
        return cls(**found)


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


class LeadingKey(Protocol):
    """A pure function of the values of some columns: engines call it on batches, and may ship it to other processes."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Top-level columns whose values it takes, in this order."""

    @property
    def divides_files(self) -> bool:
        """Whether a file holds rows of one number only."""

    @property
    def count(self) -> int:
        """Numbers are below this one."""

    def __call__(self, values: Sequence[pa.Array]) -> pa.Array:
        """One uint64 a row, never null."""


@dataclass(frozen=True, slots=True)
class TableSource:
    """Where an engine with a catalog of its own finds a table, as pyiceberg knows it, and what that engine is told.

    ``snapshot_id`` is the snapshot that files are read of, ``spec_id`` the partition spec of the new files. An engine
    that names its files itself writes them below ``folder``. ``conf`` are settings of the engine by their own names.
    """

    catalog: str
    name: tuple[str, ...]
    uuid: str
    properties: Mapping[str, str]
    snapshot_id: int
    spec_id: int = 0
    folder: str = ""
    conf: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageRequest:
    """One file group to be written anew.

    ``sort`` is the key as (top-level column name, ascending, nulls first), empty for bin-pack.
    With ``leading`` rows are ordered by its number first, and by ``sort`` where that is equal. With ``block_rows``
    they are ordered only inside blocks of so many rows as they arrive, which cannot be told of the output.
    ``locate(n)`` gives the location of the n-th output file. ``memory_bytes`` bounds the whole process.
    With ``partition`` rows are divided first and ordered by ``sort`` within each partition.
    ``footer_metadata`` goes into each file's key-value metadata. ``progress(rows)`` is told of rows written.
    ``source`` is for an engine that reads and writes the table through a catalog of its own, ``observe`` is told what
    one of many tasks moved between them.
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
    leading: LeadingKey | None = None
    block_rows: int | None = None
    source: TableSource | None = None
    observe: Callable[[Shuffle], None] = lambda shuffle: None
