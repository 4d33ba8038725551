"""Nulls that were read, against the nulls that the table's manifests count: a check on the reader itself."""

from __future__ import annotations

import threading
from collections import Counter

import pyarrow as pa

from lakeopt.errors import DataFileError
from lakeopt.model.scan import Scan
from lakeopt.parquet.field_ids import field_id
from lakeopt.parquet.values import children


class NullCounts:
    """Nulls per file and plain top-level column, of files to which no deletes apply. Threads may share one."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._names = {field_id(column): column.name for column in scan.schema if not children(column.type)}
        self._read: Counter[tuple[int, int | None]] = Counter()
        self._lock = threading.Lock()
        deletes = scan.files["delete_files"].to_pylist()
        self._whole = {row for row, paths in enumerate(deletes) if not paths}

    def add(self, row: int, batch: pa.RecordBatch) -> None:
        """Count a batch that was read of the file at this row of the scan's file list."""
        if row not in self._whole:
            return
        with self._lock:
            for column, array in zip(batch.schema, batch.columns, strict=True):
                self._read[row, field_id(column)] += array.null_count

    def check(self) -> None:
        """Compare, after all files were read. Columns that a manifest has no count for are passed over.

        :raises DataFileError: a manifest counts other nulls than were read.
        """
        counts = self._scan.files["null_value_counts"].to_pylist()
        for row in self._whole:
            for number, expected in counts[row] or ():
                found = self._read.get((row, number))
                if number in self._names and found is not None and found != expected:
                    raise DataFileError(
                        f"column {self._names[number]!r} of data file {self._scan.files['file_path'][row]} has "
                        f"{found} nulls, the table's manifest counts {expected}",
                        hint="the file was replaced, or the metadata is damaged",
                    )
