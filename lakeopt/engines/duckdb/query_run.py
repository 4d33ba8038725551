"""``python -m lakeopt.engines.duckdb.query_run``: run one query as a job says, in a process of its own.

The job is pickled on standard input, the outcome JSON on standard output; see :mod:`lakeopt.engines.duckdb.query`.
A process of its own starts with empty caches, and takes only itself down when a query takes all memory.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

import duckdb
import pyarrow as pa

from lakeopt.engines.duckdb.connection import connect
from lakeopt.engines.duckdb.remote_files import RemotePath, remote_among, serve
from lakeopt.engines.duckdb.view import create_views

Job = Mapping[str, Any]

#: Where reads are counted, parts of a file that lie so near are read as one: a page of the machine's memory.
_PREFETCH_GAP_BYTES = 4096


def drop_from_page_cache(paths: Sequence[str]) -> None:
    """Ask the kernel to forget the pages of files. They are written out first: dirty pages would stay."""
    for path in paths:
        if isinstance(path, RemotePath):
            continue  # what a store holds in its memory is not ours to drop
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def cold(job: Job) -> list[dict[str, Any]]:
    """Seconds of each side's one run from files that are not in the page cache, binding the files included."""
    return [_guarded(_cold_side, job, side) for side in job["sides"]]


def hot(job: Job) -> list[dict[str, Any]]:
    """Seconds of each of ``runs`` runs, the sides in turn, after one run each that is not counted.

    The rows of that first run go to the side's ``answer``, an Arrow file.
    """
    connections = [_connect(job) for _ in job["sides"]]
    outcomes = [
        _guarded(_first_run, job, side, connection) for side, connection in zip(job["sides"], connections, strict=True)
    ]
    for _ in range(job["runs"]):
        for outcome, side, connection in zip(outcomes, job["sides"], connections, strict=True):
            if "error" not in outcome:
                outcome.update(_guarded(_hot_side, job, side, connection, outcome["seconds"]))
    for connection in connections:
        connection.close()
    return outcomes


def warm(job: Job) -> list[dict[str, Any]]:
    """What :func:`hot` measures, and as ``scanned`` what each side's run asks storage for, counted in a run apart."""
    outcomes = hot(job)
    for outcome, side in zip(outcomes, job["sides"], strict=True):
        if "error" not in outcome:
            outcome.update(_guarded(_count_side, job, side))
    return outcomes


MODES: Mapping[str, Callable[[Job], list[dict[str, Any]]]] = {"cold": cold, "warm": warm}


def _guarded(run: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """The outcome of one side, or its error: the other side is still measured."""
    try:
        return run(*arguments)
    except (duckdb.Error, pa.ArrowException, OSError, MemoryError) as error:
        return {"error": str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}


def _connect(job: Job, **other: int) -> duckdb.DuckDBPyConnection:
    settings = {"threads": job["threads"], **other}
    return connect(memory_bytes=job["memory_bytes"], temp_dir=job["temp_dir"], keep_order=True, **settings)


def _bind(job: Job, spelt: Job, connection: duckdb.DuckDBPyConnection) -> None:
    """Let queries read a side: deleted rows are found, and the rest is there under the names of the table."""
    _find_deleted(spelt, connection)
    create_views(connection, spelt["rows"], job["names"])


def _find_deleted(spelt: Job, connection: duckdb.DuckDBPyConnection) -> None:
    for step in spelt["steps"]:
        step.run(connection)


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    return connection.sql(sql).to_arrow_table()


def _cold_side(job: Job, side: Job) -> dict[str, Any]:
    with closing(_connect(job)) as connection:
        serve(connection, side["paths"])
        drop_from_page_cache(side["paths"])
        started = time.perf_counter()
        _bind(job, side, connection)
        _rows(connection, job["sql"])
        return {"seconds": [time.perf_counter() - started]}


def _first_run(job: Job, side: Job, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    serve(connection, side["paths"])
    _bind(job, side, connection)
    answer = _rows(connection, job["sql"])
    with pa.OSFile(side["answer"], "wb") as sink, pa.ipc.new_file(sink, answer.schema) as writer:
        writer.write_table(answer)
    return {"seconds": [], "rows": answer.num_rows}


def _hot_side(job: Job, side: Job, connection: duckdb.DuckDBPyConnection, before: list[float]) -> dict[str, Any]:
    started = time.perf_counter()
    _find_deleted(side, connection)
    _rows(connection, job["sql"])
    return {"seconds": [*before, time.perf_counter() - started]}


def _count_side(job: Job, side: Job) -> dict[str, Any]:
    from lakeopt.engines._counting_reads import CountingFileSystem  # not needed, and not paid for, elsewhere

    remote = {name: (path.filesystem, path.path) for name, path in remote_among(side["paths"]).items()}
    filesystem = CountingFileSystem(remote)
    # With several threads what is read ahead depends on which of them comes first, and what is read as one on how long
    # reads took: the same query would count up to three times as much now and then.
    with closing(_connect(job, threads=1, prefetch_gap_bytes=_PREFETCH_GAP_BYTES)) as connection:
        connection.register_filesystem(filesystem)
        _bind(job, side["counted"], connection)
        bound = len(filesystem.reads)
        _find_deleted(side["counted"], connection)
        _rows(connection, job["sql"])
    return {"scanned": asdict(filesystem.scanned(filesystem.reads[bound:]))}


def main() -> None:
    """Read the job, write the outcome."""
    job = pickle.load(sys.stdin.buffer)
    json.dump(MODES[job["mode"]](job), sys.stdout)


if __name__ == "__main__":
    main()
