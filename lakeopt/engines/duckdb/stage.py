"""Write one file group anew: DuckDB reads and sorts, the rolling writer encodes."""

from __future__ import annotations

import dataclasses
import os

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from lakeopt.engines.duckdb.budget import Budget, batch_rows, check_disk, divide, held_bytes
from lakeopt.engines.duckdb.connection import LEAST_MEMORY_BYTES, connect
from lakeopt.engines.duckdb.enums import enumerate_strings, sample_of
from lakeopt.engines.duckdb.failures import explain, interruptible
from lakeopt.engines.duckdb.feed import BatchFeed, QueryFailed
from lakeopt.engines.duckdb.physical import PhysicalGroup, physical_groups
from lakeopt.engines.duckdb.projection import order_by, query
from lakeopt.errors import DataFileError, Refused
from lakeopt.model.scan import DATA, Scan, StageRequest, staged_schema
from lakeopt.parquet.writer import RollingWriter

#: Rows on disk while they are sorted, against their size before compression and encoding in Parquet.
SPILL_FACTOR = 2.0
OUTPUT_FACTOR = 1.2


@interruptible()
def stage(request: StageRequest) -> pa.Table:
    """Stage one group; see :meth:`lakeopt.engines.base.Engine.stage`."""
    paths = local_paths(request.scan)
    order_by(request.scan.schema, request.sort)
    if not paths:
        return staged_schema().empty_table()
    try:
        with _connect(request, LEAST_MEMORY_BYTES) as connection:
            groups = physical_groups(request.scan, paths, connection)
        decoded = sum(group.decoded_bytes for group in groups)
        budget = divide(request.memory_bytes, request.threads, request.writer.row_group_bytes, decoded, held_bytes())
        _check_disk(request, decoded, budget)
        with _connect(request, budget.duckdb_bytes) as connection:
            return _write(request, groups, budget, connection)
    except (duckdb.Error, QueryFailed) as error:
        raise explain(error, paths, temp_dir=request.temp_dir, memory_bytes=request.memory_bytes) from error
    except pa.ArrowInvalid as error:
        raise DataFileError(f"a value of the file group does not fit its column: {error}") from error


def _connect(request: StageRequest, memory_bytes: int) -> duckdb.DuckDBPyConnection:
    """A bin-pack keeps the order of its files, since rows that arrived together are read together; decoding is then
    the smaller half of the work, and encoders take the other threads.
    """
    return connect(
        memory_bytes=memory_bytes,
        threads=request.threads if request.sort else max(request.threads // 2, 1),
        temp_dir=request.temp_dir,
        keep_order=not request.sort,
    )


def _check_disk(request: StageRequest, decoded: int, budget: Budget) -> None:
    stored = pc.sum(request.scan.files.column("file_size_in_bytes")).as_py()
    _, output = request.scan.resolve(request.locate(0))
    spill = max(0, int(decoded * SPILL_FACTOR) - budget.duckdb_bytes) if request.sort else 0
    check_disk(os.path.dirname(output), int(stored * OUTPUT_FACTOR), request.temp_dir, spill)


def _write(
    request: StageRequest, groups: list[PhysicalGroup], budget: Budget, connection: duckdb.DuckDBPyConnection
) -> pa.Table:
    scan = request.scan
    decoded = sum(group.decoded_bytes for group in groups)
    expected = pc.sum(scan.files.column("record_count")).as_py()
    sql = _query(request, groups, connection)
    with (
        RollingWriter(
            scan.schema,
            dataclasses.replace(request.writer, row_group_bytes=budget.row_group_bytes),
            target_file_bytes=request.target_file_bytes,
            locate=request.locate,
            resolve=scan.resolve,
            sort=request.sort,
            footer_metadata=request.footer_metadata,
            threads=budget.encoders,
            expected_rows=expected,
            progress=request.progress,
        ) as writer,
        BatchFeed(connection, sql, batch_rows=batch_rows(request.memory_bytes, decoded, expected)) as feed,
    ):
        for batch in feed:
            writer.write(batch)
        return writer.finish()


def _query(request: StageRequest, groups: list[PhysicalGroup], connection: duckdb.DuckDBPyConnection) -> str:
    schema, defaults = request.scan.schema, request.scan.defaults
    every = query(schema, groups, defaults)
    if not request.sort:
        return every
    codes = enumerate_strings(connection, schema, every, query(schema, sample_of(groups), defaults))
    terms = [f"CAST(c{i} AS {codes[i]}) AS c{i}" if i in codes else f"c{i}" for i in range(len(schema))]
    # Rows of equal key stay as they arrived: what came together is alike, and search measured it so.
    placed = query(schema, groups, defaults, arrival=True)
    return f"SELECT {', '.join(terms)} FROM ({placed}) ORDER BY {order_by(schema, request.sort)}, arrival"


def local_paths(scan: Scan) -> dict[str, str]:
    """Local path of each data file.

    :raises Refused: a file that this engine cannot read: remote, not Parquet, or with deletes to apply.
    """
    paths = {}
    for row in scan.files.select(["content", "file_path", "file_format", "delete_files"]).to_pylist():
        location = row["file_path"]
        if row["content"] != DATA or row["file_format"].upper() != "PARQUET":
            raise Refused(f"not a Parquet data file: {location}")
        if row["delete_files"]:
            raise Refused(f"data file has deletes that would have to be applied: {location}")
        filesystem, path = scan.resolve(location)
        if not isinstance(filesystem, fs.LocalFileSystem):
            raise Refused(f"data file is not on a local disk: {location}", hint="this engine reads local files only")
        paths[location] = path
    if scan.deletes is not None and scan.deletes.num_rows:
        raise Refused("the file group has delete files, which this engine does not apply yet")
    return paths
