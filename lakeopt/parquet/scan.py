"""Read the rows of a scan with pyarrow alone: columns by field id, deletes applied, in bounded memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.errors import DataFileError, Refused, UnknownName
from lakeopt.model.scan import Scan
from lakeopt.parquet.deletes import Deletes
from lakeopt.parquet.field_ids import conform, constant, field_id, has_ids, map_names
from lakeopt.parquet.footers import data_file_error

#: A file above this size is read in parts of whole row groups, so that a few large files keep all threads busy.
_PART_BYTES = 64 * 1024 * 1024
#: Aim for the uncompressed bytes of one batch.
_BATCH_BYTES = 64 * 1024 * 1024
#: Below this many encoded bytes a value, a string column is dictionary-coded throughout and is read as such.
_DICTIONARY_WIDTH = 4


@dataclass(frozen=True, slots=True)
class Part:
    """The ``share``-th of ``shares`` equal runs of row groups of the file at ``row`` of the scan's file list."""

    row: int
    share: int = 0
    shares: int = 1


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
    scan: Scan, *, columns: Sequence[str] | None = None, batch_rows: int = 131_072, threads: int = 2
) -> Iterator[pa.RecordBatch]:
    """Rows of a scan in the types of its current schema, deletes applied; some columns, or all.

    At most two batches a thread wait to be taken. Rows keep the order of the files only with one thread.
    A batch has at most ``batch_rows`` rows, fewer where rows are wide or were deleted.

    :raises UnknownName: no such column.
    :raises DataFileError: a file is missing, damaged, or does not fit the table's schema.
    :raises Refused: a file format or a delete file that cannot be read.
    """
    names = scan.schema.names if columns is None else list(columns)
    for name in names:
        if name not in scan.schema.names:
            raise UnknownName("column", name, scan.schema.names)
    deletes = Deletes(scan)

    def read(part: Part) -> Iterator[pa.RecordBatch]:
        return read_part(scan, part, names, deletes, batch_rows=batch_rows)

    work = parts(scan)
    if threads <= 1 or len(work) <= 1:
        for part in work:
            yield from read(part)
    else:
        yield from _in_threads(work, read, min(threads, len(work)))


def read_part(
    scan: Scan, part: Part, columns: Sequence[str], deletes: Deletes, *, batch_rows: int, encoded: bool = False
) -> Iterator[pa.RecordBatch]:
    """Rows of one part, in file order. ``encoded`` leaves strings as the file has them (dictionaries)."""
    entry = {name: scan.files[name][part.row].as_py() for name in ("file_path", "file_format", "record_count")}
    location = entry["file_path"]
    if entry["file_format"].upper() != "PARQUET":
        raise Refused(f"{entry['file_format']} data files cannot be read: {location}", hint="only Parquet is supported")
    try:
        filesystem, path = scan.resolve(location)
        with filesystem.open_input_file(path) as source:
            yield from _read_open(source, scan, part, location, columns, deletes, batch_rows, encoded)
    except (pa.ArrowException, OSError) as error:
        raise data_file_error(location, error) from error
    except DataFileError as error:
        raise type(error)(f"{location}: {error}", hint=error.hint) from error


def _read_open(
    source: pa.NativeFile,
    scan: Scan,
    part: Part,
    location: str,
    columns: Sequence[str],
    deletes: Deletes,
    batch_rows: int,
    encoded: bool,
) -> Iterator[pa.RecordBatch]:
    metadata = pq.read_metadata(source)
    expected = scan.files["record_count"][part.row].as_py()
    if metadata.num_rows != expected:
        raise DataFileError(f"it has {metadata.num_rows} rows, the table says {expected}", hint="the file was replaced")
    groups, first_row = _row_groups(metadata, part)
    if not groups:
        return
    rules = deletes.of(part.row)
    file = pq.ParquetFile(
        source,
        metadata=metadata,
        read_dictionary=_low_cardinality(metadata) if encoded else None,
        coerce_int96_timestamp_unit="us",
        pre_buffer=False,
    )
    fields = identified(file.schema_arrow, scan.name_mapping)
    known = {**scan.defaults, **scan.constants.get(location, {})}
    wanted = [scan.schema.field(name) for name in columns]
    extra = [field for field in rules.columns if field_id(field) not in {field_id(f) for f in wanted}]
    plan = [_Column(field, fields.get(field_id(field))) for field in [*wanted, *extra]]
    names = [column.source.name for column in plan if column.source is not None]
    rows = _rows_per_batch(metadata, groups, set(names), batch_rows)
    for batch in file.iter_batches(rows, row_groups=groups, columns=names, use_threads=False):
        arrays = [_array(batch, column, known, encoded) for column in plan]
        keep = rules.keep(first_row, len(batch), dict(zip((field_id(c.target) for c in plan), arrays, strict=True)))
        first_row += len(batch)
        result = _batch(arrays[: len(wanted)], wanted)
        yield result if keep is None else result.filter(keep)


def identified(schema: pa.Schema, mapping: Sequence[Mapping[str, Any]] | None) -> dict[int | None, pa.Field]:
    """Top-level fields of a file by their ids (with ids at every depth), by name mapping for a file without ids.

    :raises DataFileError: the file has no field ids and the table's name mapping does not serve it.
    """
    fields = list(schema)
    if not has_ids(fields):
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
        if sum(chunk.total_uncompressed_size for chunk in chunks) < _DICTIONARY_WIDTH * values:
            result.append(column.path)
    return result


def _rows_per_batch(metadata: pq.FileMetaData, groups: Sequence[int], names: set[str], limit: int) -> int:
    """Rows whose uncompressed columns take about one batch's bytes, at most ``limit``."""
    rows = size = 0
    for group in map(metadata.row_group, groups):
        rows += group.num_rows
        for position in range(group.num_columns):
            chunk = group.column(position)
            if chunk.path_in_schema.split(".", 1)[0] in names or chunk.path_in_schema in names:
                size += chunk.total_uncompressed_size
    return max(1, min(limit, rows * _BATCH_BYTES // max(1, size)))


def _in_threads(
    work: Sequence[Part], read: Callable[[Part], Iterator[pa.RecordBatch]], threads: int
) -> Iterator[pa.RecordBatch]:
    """Batches of all parts as they come; the threads wait when nobody takes them, and end when the taker leaves."""
    waiting: queue.Queue[Part] = queue.Queue()
    for part in work:
        waiting.put(part)
    ready: queue.Queue[pa.RecordBatch | BaseException | None] = queue.Queue(maxsize=2 * threads)
    left = threading.Event()

    def put(item: pa.RecordBatch | BaseException | None) -> bool:
        while not left.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        try:
            while not left.is_set():
                for batch in read(waiting.get_nowait()):
                    if not put(batch):
                        return
        except queue.Empty:
            put(None)
        except BaseException as error:
            put(error)

    workers = [threading.Thread(target=run, name=f"read-{number}", daemon=True) for number in range(threads)]
    for worker in workers:
        worker.start()
    try:
        running = threads
        while running:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        left.set()
        for worker in workers:
            worker.join()
