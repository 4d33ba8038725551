"""Data files of several writers outside of lakeopt, and several readers of them, for what copies row groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import datafusion
import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from scans import field

ROWS = 70_000
SCHEMA = pa.schema([field("id", pa.int64(), 1), field("name", pa.string(), 2), field("x", pa.float64(), 3)])


def part(number: int) -> pa.Table:
    rng = np.random.default_rng(number)
    return pa.table(
        [
            np.arange(number * ROWS, (number + 1) * ROWS),
            [f"name-{value}" for value in rng.integers(0, 400, ROWS)],
            pa.array(rng.integers(0, 90, ROWS) / 7, mask=rng.random(ROWS) < 0.02),
        ],
        schema=SCHEMA,
    )


def by_pyarrow(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path, compression="zstd", write_page_index=True, store_schema=False, data_page_size=20_000)


def by_pyarrow_v2(rows: pa.Table, path: Path) -> None:
    pq.write_table(rows, path, compression="snappy", data_page_version="2.0", use_dictionary=False)


def by_duckdb(rows: pa.Table, path: Path) -> None:
    """Bloom filters at the end of the file."""
    ids = ", ".join(f"{column.name}: {int(column.metadata[b'PARQUET:field_id'])}" for column in rows.schema)
    how = f"FORMAT parquet, COMPRESSION zstd, FIELD_IDS {{{ids}}}"
    duckdb.connect().execute(f"COPY (FROM rows) TO '{path}' ({how})")


def by_datafusion(rows: pa.Table, path: Path) -> None:
    """The Rust writer: bloom filters between row groups, page index, histograms of levels."""
    context = datafusion.SessionContext()
    context.register_record_batches("rows", [rows.to_batches()])
    options = "'format.bloom_filter_on_write' 'true'"
    context.sql(f"COPY (SELECT * FROM rows) TO '{path}' STORED AS PARQUET OPTIONS ({options})").collect()


WRITERS = {write.__name__[3:]: write for write in (by_pyarrow, by_pyarrow_v2, by_duckdb, by_datafusion)}


def read_by_pyarrow(paths: Sequence[Path]) -> pa.Table:
    return pa.concat_tables(pq.ParquetFile(path).read() for path in paths)


def read_by_duckdb(paths: Sequence[Path]) -> pa.Table:
    names = ", ".join(f"'{path}'" for path in paths)
    return duckdb.connect().sql(f"SELECT * FROM read_parquet([{names}]) ORDER BY id").to_arrow_table()


def read_by_polars(paths: Sequence[Path]) -> pa.Table:
    return pl.concat([pl.read_parquet(path) for path in paths]).to_arrow()


def read_by_datafusion(paths: Sequence[Path]) -> pa.Table:
    context = datafusion.SessionContext()
    batches = [
        batch for path in paths for batch in context.read_parquet(str(path)).sort(datafusion.col("id")).collect()
    ]
    return pa.Table.from_batches(batches)


READERS = (read_by_pyarrow, read_by_duckdb, read_by_polars, read_by_datafusion)
