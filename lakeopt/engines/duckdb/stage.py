"""Write one file group anew: DuckDB reads and sorts, the rolling writer encodes."""

from __future__ import annotations

import pyarrow as pa
from pyarrow import fs

from lakeopt.engines.duckdb.connection import connect
from lakeopt.engines.duckdb.physical import physical_groups
from lakeopt.engines.duckdb.projection import query
from lakeopt.errors import Refused
from lakeopt.model.scan import DATA, Scan, StageRequest, staged_schema
from lakeopt.parquet.writer import RollingWriter

BATCH_ROWS = 61_440


def stage(request: StageRequest) -> pa.Table:
    """Stage one group; see :meth:`lakeopt.engines.base.Engine.stage`."""
    scan = request.scan
    paths = local_paths(scan)
    if not paths:
        return staged_schema().empty_table()
    with connect(
        memory_bytes=request.memory_bytes // 2, threads=request.threads, temp_dir=request.temp_dir, keep_order=False
    ) as connection:
        sql = query(scan.schema, physical_groups(scan, paths, connection), scan.defaults, request.sort)
        with RollingWriter(
            scan.schema,
            request.writer,
            target_file_bytes=request.target_file_bytes,
            locate=request.locate,
            resolve=scan.resolve,
            sort=request.sort,
            footer_metadata=request.footer_metadata,
        ) as writer:
            for batch in connection.sql(sql).to_arrow_reader(BATCH_ROWS):
                writer.write(batch)
                request.progress(batch.num_rows)
            return writer.finish()


def local_paths(scan: Scan) -> dict[str, str]:
    """Local path of each data file.

    :raises Refused: a file that this engine cannot read: remote, not Parquet, or with deletes to apply.
    """
    paths = {}
    columns = scan.files.select(["content", "file_path", "file_format", "delete_files"]).to_pylist()
    for row in columns:
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
