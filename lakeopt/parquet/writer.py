"""Write rows as Parquet files of a target size on disk, in the order in which they come."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO

import pyarrow as pa
from pyarrow import fs

from lakeopt.errors import Refused
from lakeopt.model.scan import WriterOptions, staged_schema
from lakeopt.parquet.conform import conform, file_schema
from lakeopt.parquet.encode import SortKey, nan_counts, open_writer
from lakeopt.parquet.order import OrderCheck


class RollingWriter:
    """Files of about ``target_file_bytes``, each created exclusively; a context that deletes them if it is left by
    an error.
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
    ) -> None:
        self.schema = file_schema(schema)
        self.options, self.target, self.locate, self.resolve = options, target_file_bytes, locate, resolve
        self.sort, self.footer_metadata = tuple(sort), dict(footer_metadata or {})
        self.check = OrderCheck(self.schema, self.sort)
        self.staged: list[dict[str, object]] = []
        self.paths: list[str] = []
        self.pending: list[pa.RecordBatch] = []
        self.sink: IO[bytes] | None = None

    def __enter__(self) -> RollingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()

    def write(self, batch: pa.RecordBatch) -> None:
        """Take the next rows."""
        batch = conform(batch, self.schema)
        self.pending.append(batch)
        rows = sum(b.num_rows for b in self.pending)
        if rows >= self.options.row_group_rows or sum(b.nbytes for b in self.pending) >= self.options.row_group_bytes:
            self._flush()

    def finish(self) -> pa.Table:
        """Write what is left; the list of files (``staged_schema``)."""
        self._flush()
        self._close()
        return pa.Table.from_pylist(self.staged, schema=staged_schema())

    def abort(self) -> None:
        """Delete every file of this writer."""
        if self.sink is not None:
            self.sink.close()
        for path in self.paths:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    def _flush(self) -> None:
        if not self.pending:
            return
        if self.sink is None:
            self._open()
        for batch in self.pending:
            self.in_order &= self.check.update(batch)
            self.nans.update(nan_counts(batch))
            self.rows += batch.num_rows
        self.writer.write_table(pa.Table.from_batches(self.pending), row_group_size=self.options.row_group_rows)
        self.pending = []
        assert self.sink is not None
        if self.sink.tell() >= self.target * 0.95:
            self._close()

    def _open(self) -> None:
        self.location = self.locate(len(self.staged))
        filesystem, path = self.resolve(self.location)
        if not isinstance(filesystem, fs.LocalFileSystem):
            raise Refused(f"files can be written to local disks only, not to {self.location}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.sink = open(path, "xb")  # noqa: SIM115
        self.paths.append(path)
        self.rows, self.in_order, self.nans = 0, True, Counter[int]()
        self.writer = open_writer(
            self.sink, self.schema, self.options, sort=self.sort, footer_metadata=self.footer_metadata
        )

    def _close(self) -> None:
        if self.sink is None:
            return
        self.writer.close()
        self.sink.close()
        self.sink = None
        self.staged.append(
            {
                "file_path": self.location,
                "file_size_in_bytes": os.path.getsize(self.paths[-1]),
                "record_count": self.rows,
                "sorted": bool(self.sort) and self.in_order,
                "nan_value_counts": list(self.nans.items()),
            }
        )
