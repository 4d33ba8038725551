"""Say what went wrong in DuckDB in a user's words: which file, which disk, which setting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.engines.duckdb.remote_files import parquet_source
from lakeopt.errors import DataFileError, LakeoptError, NoSpace, WorkFailed
from lakeopt.parquet.footers import data_file_error
from lakeopt.units import format_size

_DISK_FULL = ("No space left", "failed to offload", "max_temp_directory_size", "Disk quota exceeded", "File too large")
_INTERRUPTED = "Query interrupted"


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise the interrupt again that a query heard: DuckDB answers Ctrl-C with a ``RuntimeError`` of its own."""
    try:
        yield
    except RuntimeError as error:
        if str(error) == _INTERRUPTED:
            raise KeyboardInterrupt from error
        raise


def explain(error: Exception, paths: Mapping[str, str], *, temp_dir: str, memory_bytes: int) -> LakeoptError:
    """The error to raise instead. ``paths`` gives the local path of each location that was being read."""
    text = str(error)
    first = text.splitlines()[0] if text else type(error).__name__
    if any(sign in text for sign in _DISK_FULL):
        return NoSpace(f"no space left for spilling into {temp_dir}", hint="free disk space, or raise --memory")
    if isinstance(error, duckdb.OutOfMemoryException) or text.startswith("Out of Memory Error"):
        return WorkFailed(
            f"DuckDB could not finish within {format_size(memory_bytes)}", hint="raise --memory, or lower --threads"
        )
    return _damaged(paths) or WorkFailed(f"DuckDB could not read the file group: {first}")


def _damaged(paths: Mapping[str, str]) -> DataFileError | LakeoptError | None:
    """The first file that cannot be read from end to end, if any."""
    for location, path in paths.items():
        try:
            if location.lower().endswith(".orc"):
                _read_orc(path)
                continue
            with pq.ParquetFile(parquet_source(path)) as file:
                for _ in file.iter_batches(use_threads=False):
                    pass
        except (pa.ArrowException, OSError) as error:
            return data_file_error(location, error)
    return None


def _read_orc(path: str) -> None:
    from pyarrow import orc

    file = orc.ORCFile(parquet_source(path))
    for stripe in range(file.nstripes):
        file.read_stripe(stripe)
