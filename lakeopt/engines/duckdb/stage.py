"""Write one file group anew: DuckDB reads and sorts, the rolling writer encodes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from functools import partial

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from lakeopt.engines.duckdb.budget import Budget, batch_rows, check_disk, divide, held_bytes
from lakeopt.engines.duckdb.connection import LEAST_MEMORY_BYTES, connect
from lakeopt.engines.duckdb.deletes import DELETED, find_deleted
from lakeopt.engines.duckdb.enums import enumerate_strings, sample_of
from lakeopt.engines.duckdb.failures import explain, interruptible
from lakeopt.engines.duckdb.feed import BatchFeed, QueryFailed
from lakeopt.engines.duckdb.leading_term import leading_term
from lakeopt.engines.duckdb.partition_terms import partition_terms
from lakeopt.engines.duckdb.paths import data_paths, delete_paths
from lakeopt.engines.duckdb.physical import PhysicalGroup, physical_groups
from lakeopt.engines.duckdb.projection import arrival_number, order_by, query
from lakeopt.engines.duckdb.remaining import remaining
from lakeopt.engines.duckdb.remote_files import serve
from lakeopt.errors import DataFileError
from lakeopt.model.scan import Repartition, StageRequest, staged_schema
from lakeopt.parquet.conform import conform_array
from lakeopt.parquet.partitioned_writer import PartitionedWriter
from lakeopt.parquet.writer import RollingWriter

#: Rows on disk while they are sorted, against their size before compression and encoding in Parquet.
SPILL_FACTOR = 2.0
OUTPUT_FACTOR = 1.2


@interruptible()
def stage(request: StageRequest) -> pa.Table:
    """Stage one group; see :meth:`lakeopt.engines.base.Engine.stage`."""
    paths = data_paths(request.scan, ("PARQUET", "ORC") if request.scan.of_hive else ("PARQUET",))
    order_by(request.scan.schema, request.sort)
    if not paths:
        return staged_schema().empty_table()
    deletes = delete_paths(request.scan)
    try:
        with _connect(request, LEAST_MEMORY_BYTES) as connection:
            serve(connection, paths.values())
            groups = physical_groups(request.scan, paths, connection)
        decoded = sum(group.decoded_bytes for group in groups)
        budget = divide(request.memory_bytes, request.threads, request.writer.row_group_bytes, decoded, held_bytes())
        _check_disk(request, decoded, budget)
        with _connect(request, budget.duckdb_bytes) as connection:
            serve(connection, [*paths.values(), *deletes.values()])
            for group in groups:
                group.serve(connection)
            deleted = find_deleted(request.scan, groups, deletes, connection) if deletes else 0
            return _write(request, groups, budget, connection, deleted)
    except (duckdb.Error, QueryFailed) as error:
        raise explain(
            error, {**paths, **deletes}, temp_dir=request.temp_dir, memory_bytes=request.memory_bytes
        ) from error
    except pa.ArrowInvalid as error:
        raise DataFileError(f"a value of the file group does not fit its column: {error}") from error


def _connect(request: StageRequest, memory_bytes: int) -> duckdb.DuckDBPyConnection:
    """A bin-pack keeps the order of its files, since rows that arrived together are read together; decoding is then
    the smaller half of the work, and encoders take the other threads.
    """
    return connect(
        memory_bytes=memory_bytes,
        threads=request.threads if _sorts(request) else max(request.threads // 2, 1),
        temp_dir=request.temp_dir,
        keep_order=not _sorts(request),
    )


def _sorts(request: StageRequest) -> bool:
    return bool(request.sort) or request.partition is not None or request.leading is not None


def _check_disk(request: StageRequest, decoded: int, budget: Budget) -> None:
    stored = pc.sum(request.scan.files.column("file_size_in_bytes")).as_py()
    filesystem, output = request.scan.resolve(request.locate(0))
    spill = max(0, int(decoded * SPILL_FACTOR) - budget.duckdb_bytes) if _sorts(request) else 0
    if isinstance(filesystem, fs.LocalFileSystem):
        check_disk(os.path.dirname(output), int(stored * OUTPUT_FACTOR), request.temp_dir, spill)
    else:  # an object store takes what it is given
        check_disk(request.temp_dir, 0, request.temp_dir, spill)


def _write(
    request: StageRequest,
    groups: list[PhysicalGroup],
    budget: Budget,
    connection: duckdb.DuckDBPyConnection,
    deleted: int,
) -> pa.Table:
    scan = request.scan
    decoded = sum(group.decoded_bytes for group in groups)
    read = sum(sum(group.row_counts) for group in groups)
    sql = _query(request, groups, connection, deleted)
    feed = BatchFeed(connection, sql, batch_rows=batch_rows(request.memory_bytes, decoded, read))
    rolling = partial(
        RollingWriter,
        scan.schema,
        dataclasses.replace(request.writer, row_group_bytes=budget.row_group_bytes),
        target_file_bytes=request.target_file_bytes,
        resolve=scan.resolve,
        sort=() if request.block_rows else request.sort,
        footer_metadata=request.footer_metadata,
        threads=budget.encoders,
        progress=request.progress,
        leading=request.leading,
        block_rows=request.block_rows,
        form=scan.form,
    )
    if request.partition is not None:
        return _divided(request.partition, lambda locate: rolling(locate=locate), feed, len(scan.schema))
    with rolling(locate=request.locate, expected_rows=read - deleted) as writer, feed:
        for batch in feed if _sorts(request) or not deleted else remaining(feed, connection):
            writer.write(batch)
        return writer.finish()


def _divided(
    partition: Repartition, rolling: Callable[[Callable[[int], str]], RollingWriter], feed: BatchFeed, width: int
) -> pa.Table:
    """The first ``width`` columns of the feed are rows, the rest their partition values."""
    with PartitionedWriter(partition, rolling) as writer, feed:
        for batch in feed:
            values = [
                conform_array(column, key.result)
                for column, key in zip(batch.columns[width:], partition.keys, strict=True)
            ]
            names = [f"k{number}" for number in range(len(values))]
            writer.write(batch.select(range(width)), pa.RecordBatch.from_arrays(values, names))
        return writer.finish()


def _query(
    request: StageRequest, groups: list[PhysicalGroup], connection: duckdb.DuckDBPyConnection, deleted: int
) -> str:
    """The rows to write, in order; a bin-pack takes deleted ones and all places too, since a join keeps no order."""
    schema, defaults = request.scan.schema, request.scan.defaults
    if not _sorts(request):
        return query(schema, groups, defaults, arrival=deleted > 0)
    every = query(schema, groups, defaults)
    # A stream decodes all of its columns each time that it is asked for: strings stay what they are.
    streamed = any(group.stream is not None for group in groups)
    codes = {} if streamed else enumerate_strings(connection, schema, every, query(schema, sample_of(groups), defaults))
    terms = [f"CAST(c{i} AS {codes[i]}) AS c{i}" if i in codes else f"c{i}" for i in range(len(schema))]
    # Rows of equal key stay as they arrived: what came together is alike, and search measured it so.
    placed = f"({query(schema, groups, defaults, arrival=True)}) AS placed"
    if deleted:
        placed += f" ANTI JOIN {DELETED} USING (arrival)"
    order = [order_by(schema, request.sort)] if request.sort else []
    if request.leading is not None:
        placed = f"(SELECT *, {leading_term(connection, schema, request.leading)} AS leading_number FROM {placed})"
        order = ["leading_number", *order]
    if request.block_rows is not None:
        placed = f"(SELECT *, {arrival_number(groups)} // {request.block_rows} AS block FROM {placed})"
        order = ["block", *order]
    if request.partition is not None:
        keys = partition_terms(connection, schema, request.partition.keys)
        placed = f"(SELECT {', '.join(['*', *keys.columns])} FROM {placed})"
        terms += [f"k{number}" for number in range(len(keys.columns))]
        order = [*keys.order, *order]
    return f"SELECT {', '.join(terms)} FROM {placed} ORDER BY {', '.join([*order, 'arrival'])}"
