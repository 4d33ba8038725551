"""The baseline: decode and encode the same files once, as fast as DuckDB or pyarrow can, without order or commit.

Usage: python -m benchmarks.copy_files duckdb|pyarrow OUT_DIR THREADS < list-of-files
"""

from __future__ import annotations

import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def by_duckdb(files: list[str], out: Path, threads: int) -> None:
    """One COPY of all files, zstd 3, no order kept."""
    import duckdb

    connection = duckdb.connect(config={"threads": threads, "preserve_insertion_order": "false"})
    connection.execute(
        f"COPY (SELECT * FROM read_parquet({files!r})) TO '{out}/copy.parquet' "
        "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3)"
    )


def by_pyarrow(files: list[str], out: Path, threads: int) -> None:
    """File by file, zstd 3, as many at a time as there are threads, each on one core."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)

    def copy(numbered: tuple[int, str]) -> None:
        number, name = numbered
        table = pq.read_table(name, use_threads=False)
        pq.write_table(table, out / f"{number}.parquet", compression="zstd", compression_level=3)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(copy, enumerate(files)))


def main(way: str, out_dir: str, threads: str) -> None:
    files = sys.stdin.read().split("\n")
    out = Path(out_dir)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    started = time.perf_counter()
    {"duckdb": by_duckdb, "pyarrow": by_pyarrow}[way](files, out, int(threads))
    print(time.perf_counter() - started)
    shutil.rmtree(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
