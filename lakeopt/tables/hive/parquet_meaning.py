"""The form of the Parquet files of a partition, or why new ones would be read otherwise by Hive or Spark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.errors import DataFileError
from lakeopt.parquet import int96
from lakeopt.parquet.calendars import Dated, Steering, dated, model, steering
from lakeopt.parquet.footers import Resolve, data_file_error
from lakeopt.parquet.form import ParquetForm, unwritable, written_schema
from lakeopt.parquet.raw_footer import CODEC, CODECS, OWN_KEYS, RawFooter, chunks, row_groups
from lakeopt.parquet.schema_elements import (
    BYTES,
    FIXED,
    INT32,
    INT64,
    INT96,
    LENGTH,
    PRECISION,
    SCHEMA,
    TYPE,
    Tree,
    annotation,
    arrow_schema,
    meaning,
    schema_of,
    trees,
    with_nulls,
    with_nulls_of,
)
from lakeopt.parquet.stitch import CHUNK_META
from lakeopt.parquet.thrift import BINARY, I32, Struct, encode
from lakeopt.tables.hive.stored_types import misfit

#: Key-values that describe the columns of a file: of no use where files hold different ones.
_OF_SCHEMA = (
    "ARROW:schema",
    "org.apache.spark.sql.parquet.row.metadata",
    "parquet.avro.schema",
    "iceberg.schema",
)
_SPARK = "org.apache.spark.version"
#: Says how many rows a file has, in the words of a data frame.
_OF_ROWS = "pandas"
#: Codecs in pyarrow's words, and in ours.
_NAMES = {"UNCOMPRESSED": "none"} | {name: name.lower() for name in ("SNAPPY", "GZIP", "BROTLI", "ZSTD", "LZ4")}
_WRITTEN = ("none", "snappy", "gzip", "brotli", "zstd", "lz4")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What the footer of one file says that readers go by."""

    location: str
    root: Struct
    columns: tuple[Tree, ...]
    key_values: dict[str, str]
    pairs: tuple[Struct, ...]
    created_by: str
    codecs: tuple[str, ...]
    dates: Dated

    @property
    def steering(self) -> Steering:
        """How its dates and timestamps are read."""
        return steering(self.key_values, self.created_by)


def stored_file(location: str, resolve: Resolve) -> StoredFile:
    """Read one footer.

    :raises DataFileError: it is damaged.
    :raises Unreachable: the storage does not answer.
    """
    filesystem, path = resolve(location)
    try:
        with filesystem.open_input_file(path) as source:
            raw = RawFooter.read(source)
        head, metadata = raw.head(), raw.as_pyarrow().metadata
    except DataFileError as error:
        raise DataFileError(f"data file cannot be read: {location}: {error}", hint=error.hint) from error
    except (pa.ArrowException, OSError) as error:
        raise data_file_error(location, error) from error
    said = {key: value for key, value in (metadata.metadata or {}).items() if not key.startswith(OWN_KEYS)}
    return StoredFile(
        location,
        head[SCHEMA][1].values[0],
        tuple(trees(head)),
        {key.decode(errors="replace"): value.decode(errors="replace") for key, value in said.items()},
        tuple({1: (BINARY, key), 2: (BINARY, value)} for key, value in said.items()),
        metadata.created_by,
        _codecs(raw, metadata),
        dated(metadata),
    )


def _codecs(raw: RawFooter, metadata: pq.FileMetaData) -> tuple[str, ...]:
    """The codecs of its column chunks; pyarrow has no name for those that it cannot write."""
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    names = {group.column(place).compression for group in groups for place in range(group.num_columns)}
    if names <= set(_NAMES):
        return tuple(sorted(_NAMES[name] for name in names))
    codes = {chunk[CHUNK_META][1][CODEC][1] for group in row_groups(raw.fields()) for chunk in chunks(group)}
    return tuple(sorted(CODECS[code] if code < len(CODECS) else str(code) for code in codes))


def parquet_form(files: Sequence[StoredFile], schema: pa.Schema) -> ParquetForm | str:
    """The form of files, in order of arrival, that hold columns of this schema; or a reason to leave them alone."""
    found = _columns(files, schema)
    if isinstance(found, str):
        return found
    number = model([(file.steering, file.dates) for file in files])
    if number is None:
        return "dates or timestamps of its files are read by more than one calendar or zone"
    pattern = files[number]
    codec = _codec(files)
    if codec not in _WRITTEN:
        return f"its files are compressed with {codec}, which is not written here"
    if name := next((name for name, tree in found if _is_two_level(tree)), None):
        return f"column {name} has lists of structs of one field in two levels, which are not read alike everywhere"
    alike = len({tuple(meaning(column) for column in file.columns) for file in files}) == 1
    elements = schema_of([tree for _, tree in found], pattern.root)
    decimals = _decimals(elements)
    if decimals is None:
        return "decimals are stored in more than one physical form"
    form = ParquetForm(
        written_schema(elements, [name for name, _ in found]),
        elements,
        codec,
        decimals_as_integers=decimals,
        created_by=pattern.created_by.encode() if _has(elements, INT96) else None,
        key_values=tuple(pair for pair in pattern.pairs if _is_kept(_text(pair, 1), alike)),
    )
    for name, tree in found:
        held = arrow_schema(schema_of([tree], pattern.root)).field(0).type
        if reason := misfit(schema.field(name), _without_int96(held, tree), name):
            return reason
    return unwritable(form) or form


def holds_nanoseconds(file: StoredFile, resolve: Resolve) -> bool:
    """Whether an INT96 of a file says more than whole microseconds, found by reading those columns.

    Spark writes none that do.

    :raises DataFileError: the file is damaged.
    """
    held = [tree for tree in file.columns if _has(tree.elements, INT96)]
    if not held or _SPARK in file.key_values:
        return False
    filesystem, path = resolve(file.location)
    try:
        with filesystem.open_input_file(path) as source:
            return _any_nanoseconds(source, [tree.name for tree in held])
    except (pa.ArrowException, OSError) as error:
        raise data_file_error(file.location, error) from error


def _any_nanoseconds(source: pa.NativeFile, names: Sequence[str]) -> bool:
    footer = RawFooter.read(source).fields()
    for element in footer[SCHEMA][1].values:
        if TYPE in element and element[TYPE][1] == INT96:
            element |= {TYPE: (I32, FIXED), LENGTH: (I32, int96.WIDTH)}
    for group in row_groups(footer):
        for chunk in chunks(group):
            meta: Struct = chunk[CHUNK_META][1]
            if meta[1][1] == INT96:
                meta[1] = (I32, FIXED)
                meta.pop(12, None)
    metadata = RawFooter(encode(footer), 0).as_pyarrow().metadata
    file = pq.ParquetFile(source, metadata=metadata)
    return any(
        int96.has_nanoseconds(leaf)
        for batch in file.iter_batches(65_536, columns=list(names), use_threads=False)
        for column in batch.columns
        for leaf in _int96_leaves(column)
    )


def _int96_leaves(array: pa.Array) -> list[pa.Array]:
    kind = array.type
    if pa.types.is_struct(kind):
        return [leaf for part in array.flatten() for leaf in _int96_leaves(part)]
    if pa.types.is_map(kind):
        return [*_int96_leaves(array.keys), *_int96_leaves(array.items)]
    if pa.types.is_list(kind):
        return _int96_leaves(array.flatten())
    return [array] if kind == pa.binary(int96.WIDTH) else []


def _columns(files: Sequence[StoredFile], schema: pa.Schema) -> list[tuple[str, Tree]] | str:
    """Columns that any file holds, by their names in the table, in the order of the file with most of them."""
    names = {name.lower(): name for name in schema.names}
    if len(names) < len(schema):
        return "names of columns differ only in their case"
    held: dict[str, Tree] = {}
    keys: dict[str, Any] = {}
    holders: Counter[str] = Counter()
    for file in sorted(files, key=lambda file: -len(file.columns)):
        lower = [tree.name.lower() for tree in file.columns]
        if len(set(lower)) < len(lower):
            return "names of columns in a file differ only in their case"
        for tree in file.columns:
            name = names.get(tree.name.lower())
            if name is None:
                return f"files hold column {tree.name}, which the table does not have"
            key = meaning(tree)[1:]
            if keys.setdefault(name, key) != key:
                return f"column {name} is stored in more than one way in its files"
            held[name] = with_nulls_of(held[name], tree) if name in held else tree
            holders[name] += 1
    found = [(name, tree if holders[name] == len(files) else with_nulls(tree)) for name, tree in held.items()]
    return found or "its files have no columns"


def _is_two_level(tree: Tree) -> bool:
    """Whether a list anywhere has a struct of one field for its repeated group, which DuckDB takes for that field."""
    inner = tree.children
    if annotation(tree.head) == "list" and len(inner) == 1 and len(inner[0].children) == 1:
        called = inner[0].name
        if called == "array" or called == f"{tree.name}_tuple":
            return True
    return any(map(_is_two_level, inner))


def _codec(files: Sequence[StoredFile]) -> str:
    """The codec of most files; the newest of equals."""
    every = [codec for file in files for codec in file.codecs]
    return max(reversed(every), key=every.count) if every else "snappy"


def _decimals(elements: Sequence[Struct]) -> bool | None:
    """Whether decimals of up to 18 digits are stored as integers; None if some are and some are not."""
    small = [
        element[TYPE][1]
        for element in elements
        if annotation(element) == "decimal" and element.get(PRECISION, (0, 99))[1] <= 18
    ]
    forms = {kind in (INT32, INT64) for kind in small if kind != BYTES}
    return None if len(forms) > 1 else forms != {False}


def _is_kept(key: str, alike: bool) -> bool:
    return key != _OF_ROWS and (alike or key not in _OF_SCHEMA)


def _has(elements: Sequence[Struct], kind: int) -> bool:
    return any(TYPE in element and element[TYPE][1] == kind for element in elements)


def _without_int96(held: pa.DataType, tree: Tree) -> pa.DataType:
    """A type as it is read here: pyarrow takes an INT96 for nanoseconds, which it is asked to be no more."""
    if not _has(tree.elements, INT96):
        return held
    if pa.types.is_struct(held):
        parts = zip([held.field(i) for i in range(held.num_fields)], tree.children, strict=True)
        return pa.struct([own.with_type(_without_int96(own.type, part)) for own, part in parts])
    if pa.types.is_map(held):
        return pa.map_(_micros(held.key_type), _micros(held.item_type))
    if pa.types.is_list(held):
        return pa.list_(_micros(held.value_type))
    return _micros(held)


def _micros(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp("us") if pa.types.is_timestamp(kind) else kind


def _text(held: Struct, number: int) -> str:
    return str(held[number][1].decode(errors="replace")) if number in held else ""
