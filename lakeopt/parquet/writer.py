"""Write rows as Parquet or ORC files of a target size on disk, in the order in which they come, on several threads."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO

import numpy as np
import pyarrow as pa
from pyarrow import fs

from lakeopt.model.scan import FileForm, LeadingKey, WriterOptions, staged_schema
from lakeopt.parquet.conform import conform, file_schema
from lakeopt.parquet.dictionaries import compact
from lakeopt.parquet.encode import SortKey, nan_counts
from lakeopt.parquet.order import OrderCheck, leading_numbers
from lakeopt.parquet.output_file import create, disk_errors, remove
from lakeopt.parquet.output_format import Part, PartedFile, output_format
from lakeopt.parquet.sizing import Sizing

#: Where a leading key divides files, what it puts into one stays in it up to so many times the target.
DIVIDED = 2


@dataclass(frozen=True, slots=True)
class _Encoded:
    part: Part
    in_order: bool
    nans: Mapping[int, int]


@dataclass(slots=True)
class _OutputFile:
    number: int
    location: str
    path: str
    sink: IO[bytes]
    parted: PartedFile
    in_order: bool = True
    nans: Counter[int] = field(default_factory=Counter)


class RollingWriter:
    """Row groups are encoded by ``threads`` threads and appended in order to files of ``target_file_bytes``.

    A context: left by an error it deletes its files, all of which it created exclusively. At most
    ``threads + 1`` row groups of ``row_group_bytes`` are in memory. ``expected_rows`` is a hint that lets the
    last files share what is left; ``progress`` is told of the rows of each row group written. With ``leading`` rows
    are to come in the order of its number first; where it divides files, one begins wherever the number changes. With
    ``form`` files are of its format, spelt as it says. With ``block_rows`` row groups end where such blocks do.
    """

    def __init__(
        self,
        schema: pa.Schema,
        options: WriterOptions,
        *,
        target_file_bytes: int,
        locate: Callable[[int], str],
        resolve: Callable[[str], tuple[fs.FileSystem, str]],
        sort: SortKey = (),
        footer_metadata: Mapping[str, str] | None = None,
        threads: int = 1,
        expected_rows: int = 0,
        progress: Callable[[int], None] = lambda rows: None,
        leading: LeadingKey | None = None,
        form: FileForm | None = None,
        block_rows: int | None = None,
    ) -> None:
        options = options if form is None else form.fitted(options)
        self._schema = file_schema(schema)
        OrderCheck(self._schema, sort)
        self._leading, self._number = leading, -1
        self._options, self._sort, self._metadata = options, tuple(sort), dict(footer_metadata or {})
        self._locate, self._resolve, self._progress = locate, resolve, progress
        divided = leading is not None and leading.divides_files
        self._sizing = Sizing(
            target_file_bytes * (DIVIDED if divided else 1), 0 if divided else expected_rows, block_rows
        )
        self._output = output_format(self._schema, options, form)
        self._threads = max(threads, 1)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="encode")
        self._pending: deque[pa.RecordBatch] = deque()
        self._pending_rows = self._seen_rows = self._seen_bytes = 0
        self._last: pa.RecordBatch | None = None
        self._encoding: deque[tuple[int, int, Future[_Encoded]]] = deque()
        self._file: _OutputFile | None = None
        self._made: list[tuple[fs.FileSystem, str]] = []
        self._staged: list[dict[str, object]] = []

    def __enter__(self) -> RollingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()
        self.close()

    def write(self, batch: pa.RecordBatch) -> None:
        """Take the next rows.

        :raises NoSpace: the disk is full.
        :raises DataFileError: a required column holds nulls.
        """
        if not batch.num_rows:
            return
        batch = conform(batch, self._schema)
        if self._leading is None or not self._leading.divides_files:
            self._write(batch)
            return
        numbers = np.asarray(leading_numbers(batch, self._leading))
        starts = (np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist()
        for start, end in itertools.pairwise([0, *starts, batch.num_rows]):
            if self._number not in (-1, numbers[start]):
                self._finish_rows()
                self._sizing.end_file()
            self._number = int(numbers[start])
            self._write(batch.slice(start, end - start))

    def _write(self, batch: pa.RecordBatch) -> None:
        self._pending.append(batch)
        self._pending_rows += batch.num_rows
        self._seen_rows += batch.num_rows
        self._seen_bytes += batch.nbytes
        while self._pending_rows >= self._row_limit() and self._pending_rows >= self._rows_wanted():
            self._submit()

    def finish(self) -> pa.Table:
        """Write what is left; the list of files (``staged_schema``), in the order of their rows."""
        self._finish_rows()
        while self._encoding:
            self._append_oldest()
        self._close_file()
        return pa.Table.from_pylist(self._staged, schema=staged_schema())

    def _finish_rows(self) -> None:
        """Send off what has come so far, as the last of its file."""
        self._sizing.expected_rows = self._sizing.cut_rows + self._pending_rows
        while self._pending_rows:
            self._rows_wanted()
            self._submit()

    def close(self) -> None:
        """End the threads, once all is written, and let go of the rows; :meth:`abort` is still possible."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._last = None
        self._pending.clear()

    def abort(self) -> None:
        """Delete every file of this writer."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.sink.close()
        for filesystem, path in self._made:
            # What led here is to be told; a file that cannot be removed now is an orphan, and is found as one.
            with contextlib.suppress(OSError):
                remove(filesystem, path)

    def _row_limit(self) -> int:
        by_bytes = self._options.row_group_bytes * self._seen_rows // max(self._seen_bytes, 1)
        return max(1, min(self._options.row_group_rows, by_bytes))

    def _rows_wanted(self) -> int:
        """Rows of the next row group. As long as nothing is known of sizes, some rows are encoded for trial: a few,
        and if a file is to be a single row group, as many as it seems to take.
        """
        limit = self._row_limit()
        if self._sizing.rate is None and self._pending_rows:
            self._try(min(max(limit // 8, 1), self._pending_rows))
            wanted = self._sizing.rows_wanted(limit)
            if wanted < 0.75 * limit:
                self._try(min(wanted, self._pending_rows))
        return self._sizing.rows_wanted(limit)

    def _try(self, rows: int) -> None:
        table = self._take(rows)
        self._sizing.encoded(rows, self._encode(table, None).part.bytes)
        self._pending.extendleft(reversed(table.to_batches()))
        self._pending_rows += rows

    def _submit(self) -> None:
        # Never earlier, though it may be done: what is known of sizes decides the cuts, and the same rows are to make
        # the same files each time.
        while len(self._encoding) >= self._threads:
            self._append_oldest()
        file, rows = self._sizing.cut(self._row_limit(), self._pending_rows)
        table = self._take(rows)
        future = self._pool.submit(self._encode, table, self._last)
        self._encoding.append((file, rows, future))
        if self._sort or self._leading is not None:
            self._last = table.slice(rows - 1).combine_chunks().to_batches()[0]

    def _take(self, rows: int) -> pa.Table:
        taken, left = [], rows
        while left:
            batch = self._pending.popleft()
            if batch.num_rows > left:
                self._pending.appendleft(batch.slice(left))
                batch = batch.slice(0, left)
            taken.append(batch)
            left -= batch.num_rows
        self._pending_rows -= rows
        return pa.Table.from_batches(taken)

    def _encode(self, rows: pa.Table, before: pa.RecordBatch | None) -> _Encoded:
        """On a thread of the pool: check, count, encode."""
        check, nans = OrderCheck(self._schema, self._sort, self._leading), Counter[int]()
        if before is not None:
            check.update(before)
        for batch in rows.to_batches():
            check.update(batch)
            nans.update(nan_counts(batch))
        for position, column in enumerate(rows.columns):
            if pa.types.is_dictionary(column.type):
                small = compact(column)
                rows = rows.set_column(position, rows.schema.field(position).with_type(small.type), small)
        # A footer says orders of columns only.
        return _Encoded(self._output.encode(rows, () if self._leading else self._sort), check.ok, nans)

    def _append_oldest(self) -> None:
        number, rows, future = self._encoding.popleft()
        encoded = future.result()
        self._sizing.encoded(rows, encoded.part.bytes, number)
        if self._file is not None and self._file.number != number:
            self._close_file()
        file = self._file or self._open_file(number)
        with disk_errors(file.location):
            file.parted.append(encoded.part)
            file.sink.flush()  # an object store is sent parts in the background: no more than a row group is on its way
        file.in_order &= encoded.in_order
        file.nans.update(encoded.nans)
        self._progress(rows)

    def _open_file(self, number: int) -> _OutputFile:
        location = self._locate(number)
        filesystem, path = self._resolve(location)
        with disk_errors(location):
            sink = create(filesystem, path)
            self._made.append((filesystem, path))
            self._file = _OutputFile(number, location, path, sink, self._output.begin(sink))
        return self._file

    def _close_file(self) -> None:
        if self._file is None:
            return
        file = self._file
        with disk_errors(file.location):
            size = file.parted.finish(self._metadata)
            file.sink.close()
        self._file = None
        self._staged.append(
            {
                "file_path": file.location,
                "file_size_in_bytes": size,
                "record_count": file.parted.row_count,
                "sorted": (bool(self._sort) or self._leading is not None) and file.in_order,
                "nan_value_counts": sorted(file.nans.items()),
                "partition": None,
            }
        )
