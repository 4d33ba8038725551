"""Read the rows of a scan with pyarrow alone: columns by field id, deletes applied, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.errors import DataFileError, Refused, UnknownName
from lakeopt.model.scan import Scan
from lakeopt.parquet.deletes import Deletes
from lakeopt.parquet.field_ids import conform, constant, field_id, has_ids, lacking, map_names
from lakeopt.parquet.footers import data_file_error
from lakeopt.parquet.threads import in_threads

#: A file above this size is read in parts of whole row groups, so that a few large files keep all threads busy.
_PART_BYTES = 64 * 1024 * 1024
#: Below this many encoded bytes a value, a string column with a dictionary is coded by it throughout: plain values
#: take 4 bytes beside their text, and a writer gives a dictionary up only when it has grown to a megabyte or so.
_DICTIONARY_WIDTH = 8
#: In-memory bytes that a value of each Parquet type takes at least.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 8}
_OTHER_WIDTH = 16


@dataclass(frozen=True, slots=True)
class Part:
    """The ``share``-th of ``shares`` equal runs of row groups of the file at ``row`` of the scan's file list."""

    row: int
    share: int = 0
    shares: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of a scan, and how: the top-level ``columns``, at most ``batch_rows`` rows a batch.

    ``memory_bytes`` is what the reading of one part may take: an eighth for a batch, a quarter for compressed
    bytes (by the sizes in the footer; a value that is stored once and repeated counts as what its codes take).
    Pages are decoded whole: a file whose pages are larger than that takes more.
    ``encoded`` leaves strings in the file's own dictionaries and offset widths: the same values, cheaper.
    """

    scan: Scan
    columns: Sequence[str]
    deletes: Deletes
    batch_rows: int
    memory_bytes: int
    encoded: bool = False


@dataclass(frozen=True, slots=True)
class _Column:
    """A wanted column and where the file has it (None: it lacks it)."""

    target: pa.Field
    source: pa.Field | None


def parts(scan: Scan) -> list[Part]:
    """The whole scan as units of work, in file order."""
    result = []
    for row, size in enumerate(scan.files["file_size_in_bytes"].to_pylist()):
        shares = max(1, size // _PART_BYTES)
        result += [Part(row, share, shares) for share in range(shares)]
    return result


def read_batches(
    scan: Scan,
    *,
    columns: Sequence[str] | None = None,
    batch_rows: int = 131_072,
    threads: int = 2,
    memory_bytes: int = 1 << 30,
) -> Iterator[pa.RecordBatch]:
    """Rows of a scan in the types of its current schema, deletes applied; some columns, or all.

    At most two batches a thread wait to be taken. Rows keep the order of the files only with one thread.
    A batch has at most ``batch_rows`` rows, fewer where rows are wide or were deleted. ``memory_bytes`` bounds
    what is decoded at once (as in :class:`Reading`), not what the caller keeps.

    :raises UnknownName: no such column.
    :raises DataFileError: a file is missing, damaged, or does not fit the table's schema.
    :raises Refused: a file format or a delete file that cannot be read.
    """
    names = scan.schema.names if columns is None else list(columns)
    for name in names:
        if name not in scan.schema.names:
            raise UnknownName("column", name, scan.schema.names)
    reading = Reading(scan, names, Deletes(scan), batch_rows, memory_bytes // max(1, threads))
    work = parts(scan)
    if threads <= 1 or len(work) <= 1:
        for part in work:
            yield from read_part(reading, part)
    else:
        yield from in_threads(work, lambda part: read_part(reading, part), min(threads, len(work)))


def read_part(reading: Reading, part: Part) -> Iterator[pa.RecordBatch]:
    """Rows of one part of a scan, in file order; errors as of :func:`read_batches`."""
    files = reading.scan.files
    location, file_format = files["file_path"][part.row].as_py(), files["file_format"][part.row].as_py()
    # Iceberg says by attributes of ORC's own which columns are which.
    if file_format.upper() not in (("PARQUET", "ORC") if reading.scan.of_hive else ("PARQUET",)):
        raise Refused(f"{file_format} data files cannot be read: {location}", hint="only Parquet is supported")
    read = _read_orc if file_format.upper() == "ORC" else _read_open
    try:
        filesystem, path = reading.scan.resolve(location)
        with filesystem.open_input_file(path) as source:
            yield from read(source, reading, part, location)
    except (pa.ArrowException, OSError) as error:
        raise data_file_error(location, error) from error
    except DataFileError as error:
        raise DataFileError(f"data file {location}: {error}", hint=error.hint) from error


def _read_open(source: pa.NativeFile, reading: Reading, part: Part, location: str) -> Iterator[pa.RecordBatch]:
    scan = reading.scan
    metadata = pq.read_metadata(source)
    expected = scan.files["record_count"][part.row].as_py()
    if metadata.num_rows != expected:
        raise DataFileError(f"it has {metadata.num_rows} rows, the table says {expected}", hint="the file was replaced")
    groups, position = _row_groups(metadata, part)
    if not groups:
        return
    rules = reading.deletes.of(part.row)
    schema = _open(source, metadata).schema_arrow
    fields = identified(schema, scan.name_mapping, by_name=scan.of_hive)
    wanted = [scan.schema.field(name) for name in reading.columns]
    compared = [field for field in rules.columns if field_id(field) not in {field_id(w) for w in wanted}]
    plan = [_Column(field, fields.get(field_id(field))) for field in [*wanted, *compared]]
    for column in plan:
        if column.source is None:
            lacking(column.target, schema if has_ids(schema) and not scan.of_hive else ())
    names = [column.source.name for column in plan if column.source is not None]
    rows, buffer = _limits(metadata, groups, set(names), reading)
    file = _open(source, metadata, buffer, _low_cardinality(metadata) if reading.encoded else None)
    known = {**scan.defaults, **scan.constants.get(location, {})}
    # Group by group: a batch that spans two would be cut where their dictionaries meet.
    for batch in (
        batch
        for group in groups
        for batch in file.iter_batches(rows, row_groups=[group], columns=names, use_threads=False)
    ):
        arrays = [_array(batch, column, known, reading.encoded) for column in plan]
        by_id = {field_id(column.target): array for column, array in zip(plan, arrays, strict=True)}
        keep = rules.keep(position, batch.num_rows, by_id)
        position += batch.num_rows
        result = _batch(arrays[: len(wanted)], wanted)
        yield result if keep is None else result.filter(keep)


def _read_orc(source: pa.NativeFile, reading: Reading, part: Part, location: str) -> Iterator[pa.RecordBatch]:
    """Rows of an ORC file; a part of it is a run of stripes. Deletes never apply to one."""
    from pyarrow import orc

    from lakeopt.orc.scan import batches

    scan, file = reading.scan, orc.ORCFile(source)
    expected = scan.files["record_count"][part.row].as_py()
    if file.nrows != expected:
        raise DataFileError(f"it has {file.nrows} rows, the table says {expected}", hint="the file was replaced")
    schema = file.schema
    fields = identified(schema, scan.name_mapping, by_name=scan.of_hive)
    places = {field.name: place for place, field in enumerate(schema)}
    wanted = [scan.schema.field(name) for name in reading.columns]
    plan = [_Column(field, fields.get(field_id(field))) for field in wanted]
    held = [places[column.source.name] for column in plan if column.source is not None]
    known = {**scan.defaults, **scan.constants.get(location, {})}
    first, last = (file.nstripes * share // part.shares for share in (part.share, part.share + 1))
    for batch in batches(source, held, reading.batch_rows, range(first, last)):
        arrays = iter(batch.columns)
        yield _batch(
            [
                constant(batch.num_rows, column.target, known)
                if column.source is None
                else conform(next(arrays), column.source, column.target, known)
                for column in plan
            ],
            wanted,
        )


def _open(
    source: pa.NativeFile, metadata: pq.FileMetaData, buffer: int = 0, dictionaries: Sequence[str] | None = None
) -> pq.ParquetFile:
    return pq.ParquetFile(
        source,
        metadata=metadata,
        buffer_size=buffer,
        read_dictionary=dictionaries,
        coerce_int96_timestamp_unit="us",
        pre_buffer=False,
    )


def identified(
    schema: pa.Schema, mapping: Sequence[Mapping[str, Any]] | None, *, by_name: bool = False
) -> dict[int | None, pa.Field]:
    """Top-level fields of a file by their ids (with ids at every depth), by name mapping for a file without ids.

    With ``by_name`` ids that a file has are those of another table, and mean nothing.

    :raises DataFileError: the file has no field ids and the table's name mapping does not serve it.
    """
    fields = list(schema)
    if by_name or not has_ids(fields):
        if mapping is None:
            raise DataFileError(
                "the file has no field ids and the table has no name mapping",
                hint="set the table property schema.name-mapping.default",
            )
        fields = map_names(fields, mapping)
        if not has_ids(fields):
            raise DataFileError(
                "the file has no field ids and the table's name mapping names none of its columns",
                hint="add the file's column names to the table property schema.name-mapping.default",
            )
    return {number: field for field in fields if (number := field_id(field)) is not None}


def _array(batch: pa.RecordBatch, column: _Column, known: Mapping[int, Any], encoded: bool) -> pa.Array:
    if column.source is None:
        return constant(batch.num_rows, column.target, known)
    return conform(batch.column(column.source.name), column.source, column.target, known, encoded=encoded)


def _batch(arrays: Sequence[pa.Array], wanted: Sequence[pa.Field]) -> pa.RecordBatch:
    fields = [field.with_type(array.type) for field, array in zip(wanted, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _row_groups(metadata: pq.FileMetaData, part: Part) -> tuple[list[int], int]:
    """Row groups of a part and the position in the file of its first row."""
    total = metadata.num_row_groups
    start, stop = total * part.share // part.shares, total * (part.share + 1) // part.shares
    return list(range(start, stop)), sum(metadata.row_group(index).num_rows for index in range(start))


def _low_cardinality(metadata: pq.FileMetaData) -> list[str]:
    """Top-level string columns whose values are dictionary-coded throughout the file."""
    result = []
    for position in range(metadata.num_columns):
        column = metadata.schema.column(position)
        if column.physical_type != "BYTE_ARRAY" or column.max_repetition_level or column.path != column.name:
            continue
        chunks = [metadata.row_group(index).column(position) for index in range(metadata.num_row_groups)]
        values = sum(chunk.num_values for chunk in chunks)
        size = sum(chunk.total_uncompressed_size for chunk in chunks)
        if size < _DICTIONARY_WIDTH * values and all(chunk.has_dictionary_page for chunk in chunks):
            result.append(column.path)
    return result


def _limits(metadata: pq.FileMetaData, groups: Sequence[int], names: set[str], reading: Reading) -> tuple[int, int]:
    """Rows a batch, and bytes that a column's reader buffers (0: its whole chunk of a row group at once)."""
    rows = decoded = largest = columns = 0
    for group in map(metadata.row_group, groups):
        chunks = [group.column(position) for position in range(group.num_columns)]
        chunks = [chunk for chunk in chunks if _belongs(chunk.path_in_schema, names)]
        rows, columns = rows + group.num_rows, len(chunks)
        largest = max(largest, sum(chunk.total_compressed_size for chunk in chunks))
        for chunk in chunks:
            least = _WIDTHS.get(chunk.physical_type, _OTHER_WIDTH) * chunk.num_values
            decoded += max(chunk.total_uncompressed_size, least)
    whole = largest <= reading.memory_bytes // 4
    buffer = 0 if whole else max(64 * 1024, reading.memory_bytes // 4 // max(1, columns))
    return max(1, min(reading.batch_rows, rows * (reading.memory_bytes // 8) // max(1, decoded))), buffer


def _belongs(path: str, names: set[str]) -> bool:
    """Whether a leaf is below one of these top-level columns (a name may hold dots itself)."""
    return path in names or any(path.startswith(name + ".") for name in names)
