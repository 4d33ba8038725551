"""The slow, plain engine: the oracle that the conformance tests hold every other engine to.

It reads with the reader that fingerprints use, so a proof of its work proves its sorting and writing only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from lakeopt.engines.base import Engine
from lakeopt.errors import Refused, UnknownName, UsageError
from lakeopt.model.scan import staged_schema

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

    from lakeopt.model.result import Fingerprint
    from lakeopt.model.scan import Repartition, Scan, StageRequest, WriterOptions
    from lakeopt.parquet.writer import RollingWriter

_BATCH_ROWS = 65_536


class ReferenceEngine:
    """The :class:`~lakeopt.engines.base.Engine` that holds a group in memory and sorts it by Python's own sort."""

    name = "reference"
    names_files = False

    def stage(self, request: StageRequest) -> pa.Table:
        """Read the group by field id, sort it as the Iceberg spec compares, write new files."""
        from lakeopt.parquet.writer import RollingWriter

        rows = _read(request)
        order = list(range(rows.num_rows))
        for name, ascending, nulls_first in reversed(request.sort):
            order = _sorted_by(order, _keys(rows, name), ascending, nulls_first)
        if request.leading is not None:
            numbers = request.leading([rows.column(name).combine_chunks() for name in request.leading.columns])
            order = sorted(order, key=numbers.to_pylist().__getitem__)
        if request.block_rows is not None:
            order.sort(key=[row // request.block_rows for row in range(len(order))].__getitem__)
        rolling = partial(
            RollingWriter,
            request.scan.schema,
            request.writer,
            target_file_bytes=request.target_file_bytes,
            resolve=request.scan.resolve,
            sort=() if request.block_rows else request.sort,
            footer_metadata=request.footer_metadata,
            leading=request.leading,
            block_rows=request.block_rows,
            form=request.scan.form,
        )
        if request.partition is not None:
            return _divided(request, request.partition, lambda locate: rolling(locate=locate), rows, order)
        with rolling(locate=request.locate) as writer:
            for start in range(0, len(order), _BATCH_ROWS):
                for batch in rows.take(order[start : start + _BATCH_ROWS]).combine_chunks().to_batches():
                    writer.write(batch)
                    request.progress(batch.num_rows)
            return writer.finish()

    def fingerprint(self, scan: Scan, *, threads: int, memory_bytes: int, by_column: bool = False) -> Fingerprint:
        """Fingerprint of the rows of a scan."""
        from lakeopt.engines._fingerprint import fingerprint

        return fingerprint(scan, threads=threads, memory_bytes=memory_bytes, by_column=by_column)

    def discard(self, staged: pa.Table, resolve: Callable[[str], tuple[fs.FileSystem, str]]) -> int:
        """Delete staged files that were not committed."""
        from lakeopt.engines._discard import discard

        return discard(staged, resolve)

    def not_applied(self, writer: WriterOptions) -> tuple[str, ...]:
        """None: it writes what it is told."""
        return ()


def _divided(
    request: StageRequest,
    partition: Repartition,
    rolling: Callable[[Callable[[int], str]], RollingWriter],
    rows: pa.Table,
    order: list[int],
) -> pa.Table:
    """Write the rows partition by partition, each in the given order."""
    import pyarrow as pa

    from lakeopt.parquet.partition_keys import partition_batch
    from lakeopt.parquet.partitioned_writer import PartitionedWriter

    batch = rows.combine_chunks().to_batches()
    if not batch:
        return staged_schema().empty_table()
    values = partition_batch(batch[0], partition.keys, [key.source[0] for key in partition.keys])
    for name in reversed(values.schema.names):
        order = _sorted_by(order, _keys(pa.Table.from_batches([values]), name), True, True)
    with PartitionedWriter(partition, rolling) as writer:
        for start in range(0, len(order), _BATCH_ROWS):
            some = pa.array(order[start : start + _BATCH_ROWS], pa.int64())
            writer.write(batch[0].take(some), values.take(some))
            request.progress(len(some))
        return writer.finish()


def _read(request: StageRequest) -> pa.Table:
    """All rows of the group, in the order of its files."""
    import pyarrow as pa

    from lakeopt.parquet.scan import read_batches

    batches, size = [], 0
    for batch in read_batches(request.scan, threads=1, memory_bytes=request.memory_bytes // 2):
        size += batch.nbytes
        if size > request.memory_bytes // 4:
            raise Refused("the file group does not fit into memory", hint="raise --memory, or use --engine duckdb")
        batches.append(batch)
    return pa.Table.from_batches(batches, schema=request.scan.schema)


def _keys(rows: pa.Table, name: str) -> list[Any]:
    """One column as Python values that compare as the Iceberg spec does, None for null.

    NaN is above infinity and -0.0 below 0.0; text compares by code points, uuid and bytes by unsigned bytes.
    """
    import pyarrow as pa

    from lakeopt.parquet.values import children, storage

    if name not in rows.column_names:
        raise UnknownName("column", name, rows.column_names)
    column = rows.column(name)
    if children(column.type):
        raise UsageError(f"column {name!r} cannot be sorted by: it is {column.type}")
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int32() if column.type.bit_width == 32 else pa.int64())
    values: list[Any] = [value for chunk in column.chunks for value in storage(chunk).to_pylist()]
    if not pa.types.is_floating(column.type):
        return values
    return [
        None if value is None else (1, 0.0, 0.0) if math.isnan(value) else (0, value, math.copysign(1, value))
        for value in values
    ]


def _sorted_by(order: list[int], keys: list[Any], ascending: bool, nulls_first: bool) -> list[int]:
    """Row numbers sorted by one key; rows that tie keep their order."""
    nulls = [row for row in order if keys[row] is None]
    rest = sorted((row for row in order if keys[row] is not None), key=keys.__getitem__, reverse=not ascending)
    return nulls + rest if nulls_first else rest + nulls


ENGINE: Engine = ReferenceEngine()
