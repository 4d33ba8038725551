"""Write rows that come partition by partition: each partition into files of its own."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import TracebackType

import numpy as np
import pyarrow as pa

from lakeopt.model.scan import Repartition, staged_schema
from lakeopt.parquet.order import differing
from lakeopt.parquet.partition_keys import key_of
from lakeopt.parquet.writer import RollingWriter


class PartitionedWriter:
    """One :class:`RollingWriter` after the other, a new one wherever the partition changes.

    A context: left by an error it deletes the files of all of them. ``writer`` makes one for a ``locate``. Rows of
    one partition that do not come together get files of their own each time, so that no file is ever of two.
    """

    def __init__(self, partition: Repartition, writer: Callable[[Callable[[int], str]], RollingWriter]) -> None:
        self._partition, self._writer = partition, writer
        self._numbers = itertools.count()
        self._last: pa.RecordBatch | None = None
        self._values: tuple[bytes | None, ...] = ()
        self._current: RollingWriter | None = None
        self._writers: list[RollingWriter] = []
        self._staged: list[pa.Table] = []

    def __enter__(self) -> PartitionedWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers:
            writer.__exit__(kind, error, trace)

    def write(self, rows: pa.RecordBatch, values: pa.RecordBatch) -> None:
        """Take the next rows and their partition values."""
        if not rows.num_rows:
            return
        if not self._partition.keys:
            starts = [] if self._current else [0]
        else:
            starts = np.flatnonzero(differing(values, self._last)).tolist()
            self._last = values.slice(values.num_rows - 1)
        for start, end in itertools.pairwise(sorted({0, *starts, rows.num_rows})):
            if start in starts:
                self._next(values, start)
            assert self._current is not None
            self._current.write(rows.slice(start, end - start))

    def finish(self) -> pa.Table:
        """Write what is left; the list of files (``staged_schema``), in the order of their rows."""
        self._close()
        return pa.concat_tables([staged_schema().empty_table(), *self._staged]).combine_chunks()

    def _next(self, values: pa.RecordBatch, row: int) -> None:
        self._close()
        encoded = self._partition.encode(key_of(values, row))
        self._values = encoded
        self._current = self._writer(lambda _: self._partition.locate(next(self._numbers), encoded))
        self._writers.append(self._current)

    def _close(self) -> None:
        if self._current is None:
            return
        staged = self._current.finish()
        at = staged.schema.get_field_index("partition")
        kind = staged_schema().field(at)
        self._staged.append(staged.set_column(at, kind, pa.array([list(self._values)] * len(staged), kind.type)))
        self._current.close()
        self._current = None
