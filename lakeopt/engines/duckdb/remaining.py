"""Drop deleted rows from a stream without a join, which would not keep its order: both come in order of arrival."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from lakeopt.engines.duckdb.deletes import DELETED
from lakeopt.engines.duckdb.feed import BatchFeed
from lakeopt.errors import WorkFailed

_PLACES_AT_ONCE = 262_144

Places = np.ndarray[Any, np.dtype[np.int64]]


def remaining(batches: Iterable[pa.RecordBatch], connection: duckdb.DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
    """The rows that are not in the table of deleted places, without their last column, which is their place.

    :raises WorkFailed: the rows do not come in order of arrival.
    """
    with (
        connection.cursor() as cursor,
        BatchFeed(cursor, f"SELECT arrival FROM {DELETED} ORDER BY arrival", batch_rows=_PLACES_AT_ONCE) as feed,
    ):
        yield from without(batches, (_places(batch, 0) for batch in feed))


def without(batches: Iterable[pa.RecordBatch], deleted: Iterator[Places]) -> Iterator[pa.RecordBatch]:
    """The batches without rows of deleted places, which ascend over all arrays."""
    held, reached = np.empty(0, np.int64), -1
    for batch in batches:
        last = batch.num_columns - 1
        places, rows = _places(batch, last), batch.select(range(last))
        if not len(places):
            continue
        if places[0] <= reached or np.any(places[1:] <= places[:-1]):
            raise WorkFailed("rows of the file group came out of order", hint="please report this with the plan")
        reached = int(places[-1])
        while (not len(held) or held[-1] <= reached) and (more := next(deleted, None)) is not None:
            held = np.concatenate([held, more])
        here, held = np.split(held, [np.searchsorted(held, reached, side="right")])
        at = np.searchsorted(places, here)
        at = at[places[at] == here]
        if not len(at):
            yield rows
        elif len(at) < len(places):
            keep = np.ones(len(places), bool)
            keep[at] = False
            yield rows.filter(pa.array(keep))


def _places(batch: pa.RecordBatch, column: int) -> Places:
    places: Places = batch.column(column).to_numpy()
    return places
