"""Fingerprint of the rows of a scan, read by field id with pyarrow: the measure by which a rewrite is proved."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from lakeopt.engines._row_hash import RowHasher, merged
from lakeopt.model.result import Fingerprint
from lakeopt.model.scan import Scan
from lakeopt.parquet.deletes import Deletes
from lakeopt.parquet.null_counts import NullCounts
from lakeopt.parquet.scan import Part, Reading, parts, read_part

#: Rows hashed in one call: below, the cost of a call (0.6 ms) shows.
_BATCH_ROWS = 262_144


def fingerprint(scan: Scan, *, threads: int, memory_bytes: int, by_column: bool = False) -> Fingerprint:
    """Order-independent fingerprint of the multiset of rows of a scan, deletes applied.

    ORC has one reader here, pyarrow's, which gives :meth:`stage` its rows too: what the two share is the decoder, not
    the projection, the sort, or the writer, whose output is decoded anew. A fault of that decoder that reads a value
    wrongly in both files alike would not show.

    Each file's rows and nulls are checked against the counts of the table's manifests on the way.

    Each thread reads whole parts of files and hashes their batches itself. Memory: at most ``memory_bytes``
    for what is decoded and hashed at once, plus the deletes (8 bytes a deleted position).

    :raises DataFileError: a file is missing, damaged, or does not fit the table's schema or counts.
    :raises Refused: a file format or a delete file that cannot be read.
    """
    threads = max(1, threads)
    work = _Work(parts(scan))
    nulls = NullCounts(scan)
    reading = Reading(
        scan, scan.schema.names, Deletes(scan), _BATCH_ROWS, memory_bytes=memory_bytes // threads, encoded=True
    )

    def run() -> RowHasher:
        hasher = RowHasher(scan.schema, by_column=by_column)
        try:
            for part in work:
                for batch in read_part(reading, part):
                    hasher.update(batch)
                    nulls.add(part.row, batch)
                    if work.stopped:
                        break
        except BaseException:
            work.stopped = True
            raise
        return hasher

    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="fingerprint") as pool:
        tasks = [pool.submit(run) for _ in range(threads)]
        try:
            hashers = [task.result() for task in tasks]
        finally:
            work.stopped = True
    nulls.check()
    return merged(hashers).result()


class _Work:
    """Parts handed out to threads one by one, until one of them fails."""

    def __init__(self, items: list[Part]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()
        self.stopped = False

    def __iter__(self) -> Iterator[Part]:
        return self

    def __next__(self) -> Part:
        with self._lock:
            if self.stopped:
                raise StopIteration
            return next(self._items)
