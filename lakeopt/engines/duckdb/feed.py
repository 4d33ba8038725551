"""Fetch a query's batches on a thread of its own, a few ahead of their consumer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import Empty, Full, Queue
from types import TracebackType

import duckdb
import pyarrow as pa


class QueryFailed(Exception):
    """DuckDB failed while its result was being fetched; pyarrow hands its words on as an error of its own."""


class BatchFeed:
    """A context that iterates over the batches of one query.

    DuckDB does not return to Python before a sort is done; here only the fetching thread waits for it, so the
    main thread hears signals at once. Leaving the context interrupts the query and waits for the thread.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, sql: str, *, batch_rows: int, ahead: int = 2) -> None:
        self._connection, self._sql, self._batch_rows = connection, sql, batch_rows
        self._queue: Queue[pa.RecordBatch | BaseException | None] = Queue(ahead)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._fetch, name="fetch", daemon=True)

    def __enter__(self) -> BatchFeed:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            self._connection.interrupt()
            self._thread.join(0.05)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while True:
            try:
                item = self._queue.get(timeout=1)
            except Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _fetch(self) -> None:
        try:
            for batch in self._connection.sql(self._sql).to_arrow_reader(self._batch_rows):
                if not self._put(batch):
                    return
            self._put(None)
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            failure = QueryFailed(str(error))
            failure.__cause__ = error
            self._put(failure)
        except BaseException as error:  # handed to the consumer, whatever it is
            self._put(error)

    def _put(self, item: pa.RecordBatch | BaseException | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except Full:
                continue
        return False
