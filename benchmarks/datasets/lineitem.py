"""TPC-H lineitem by ``tpchgen-cli``: 6.0 M rows a scale factor, 16 columns, in order of l_orderkey."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

NAME = "lineitem"
SORT_BY = "l_shipdate,l_orderkey"
FILES = 120
ROWS_PER_SCALE = 6_000_000


def batches(folder: Path, scale: float, files: int) -> Iterator[pa.Table]:
    """The table in ``files`` consecutive pieces; the generator's own file is kept in ``folder``."""
    source = folder / f"lineitem-sf{scale:g}.parquet"
    if not source.exists():
        made = folder / f"tpch-sf{scale:g}"
        tool = Path(sys.executable).with_name("tpchgen-cli")
        subprocess.run(
            [str(tool), "parquet", "-s", f"{scale:g}", "--tables=lineitem", f"--output-dir={made}"], check=True
        )
        (made / "lineitem.parquet").rename(source)
    reader = pq.ParquetFile(source)
    schema = pa.schema([pa.field(f.name, _plain(f.type), f.nullable) for f in reader.schema_arrow])
    per_file = -(-reader.metadata.num_rows // files)
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in reader.iter_batches(batch_size=min(per_file, 65_536)):
        while batch.num_rows:
            part = batch.slice(0, per_file - rows)
            held.append(part)
            rows += part.num_rows
            batch = batch.slice(part.num_rows)
            if rows == per_file:
                yield pa.Table.from_batches(held).cast(schema)
                held, rows = [], 0
    if held:
        yield pa.Table.from_batches(held).cast(schema)


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_string_view(kind) else kind
