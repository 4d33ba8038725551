"""How much each value of a column weighs, and where its rows could be cut: what PV buckets are made from."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakeopt.errors import Refused
from lakeopt.keys.cut_points import codes
from lakeopt.model.scan import WriterOptions
from lakeopt.parquet.encode import encode
from lakeopt.units import format_size

Weights = npt.NDArray[np.float64]

#: Partial counts are merged when they hold this many values more than the last merge left.
_SLACK = 1_000_000
#: Rows kept of a whole table to cut heavy values by.
MAX_ROWS = 4_000_000
#: Pieces of sorted sample rows that are encoded to learn how wide rows are, and the fewest rows of one.
_PIECES, _PIECE_ROWS = 48, 4_096
#: Rows that are put in order to learn what an order takes, and its windows that are encoded.
_ORDERED, _WINDOWS, _WINDOW_ROWS = 250_000, 8, 8_192


@dataclass(frozen=True)
class ValueRows:
    """Rows by value, ascending (null first), and some rows, evenly spread, as columns value and second key."""

    values: pa.Array
    counts: Weights
    rows: pa.Table


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array of storage values."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    kind = column.type.storage_type if isinstance(column.type, pa.BaseExtensionType) else column.type
    stored = [chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk for chunk in chunks]
    return pa.concat_arrays(stored) if stored else pa.array([], kind)


def count_rows(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, *, record_count: int, memory_bytes: int
) -> ValueRows:
    """Count the values of the first column of some batches, and keep every n-th row.

    :raises Refused: the different values do not fit into memory.
    """
    step = max(1, -(-record_count // MAX_ROWS))
    parts: list[pa.Table] = []
    kept: list[pa.Table] = []
    merged = 0
    for batch in batches:
        column = plain(batch.column(0))
        counted = column.value_counts()
        parts.append(pa.Table.from_arrays(counted.flatten(), ["values", "counts"]))
        kept.append(pa.Table.from_batches([batch.take(pa.array(np.arange(0, batch.num_rows, step)))], batch.schema))
        if sum(part.num_rows for part in parts) > 2 * merged + _SLACK:
            parts = [_merged(parts)]
            merged = parts[0].num_rows
            if 4 * parts[0].nbytes > memory_bytes:
                raise Refused(
                    f"column {schema.names[0]!r} has more than {merged:,} different values, too many to count within "
                    f"{format_size(memory_bytes)}",
                    hint="raise --memory, or use --counts sample",
                )
    rows = pa.concat_tables([schema.empty_table(), *kept]).combine_chunks()
    if not parts:
        return ValueRows(plain(rows.column(0)), np.zeros(0), rows)
    whole = _merged(parts)
    return by_value(plain(whole["values"]), whole["counts"].to_numpy(), rows)


def by_value(values: pa.Array, counts: npt.NDArray[np.integer], rows: pa.Table) -> ValueRows:
    """Counts in the order of their values; those of equal values (all NaN, say) are added up."""
    numbers, different = codes(values)
    added = np.bincount(numbers, weights=counts, minlength=len(different))
    return ValueRows(different, added.astype(np.float64), rows)


def _merged(parts: Sequence[pa.Table]) -> pa.Table:
    together = pa.concat_tables(parts).group_by("values").aggregate([("counts", "sum")])
    return together.rename_columns({"counts_sum": "counts"}).combine_chunks()


def bytes_a_row(sample: pa.Table, columns: Sequence[str], values: pa.Array, writer: WriterOptions) -> Weights:
    """Encoded bytes that a row of each value takes, its neighbours being those of its bucket.

    Of a value that the sample does not have, the mean. ``values`` are ascending.
    """
    if not sample.num_rows:
        return np.ones(len(values))
    orders = [codes(plain(sample.column(name)))[0] for name in reversed(columns)]
    sample = sample.take(pa.array(np.lexsort(orders)))
    pieces = max(1, min(_PIECES, sample.num_rows // _PIECE_ROWS))
    edges = [sample.num_rows * number // pieces for number in range(pieces + 1)]
    rates = np.zeros(sample.num_rows)
    for start, end in itertools.pairwise(edges):
        rates[start:end] = encode(sample.slice(start, end - start).combine_chunks(), writer).bytes / (end - start)
    held = plain(sample.column(columns[0]))
    numbers = codes(pa.concat_arrays([values, held]))[0]
    known = np.bincount(numbers[len(values) :], minlength=numbers.max() + 1)
    total = np.bincount(numbers[len(values) :], weights=rates, minlength=numbers.max() + 1)
    at = numbers[: len(values)]
    return np.where(known[at] > 0, total[at] / np.maximum(known[at], 1), rates.mean())


def order_bytes(rows: pa.Table, column: str, writer: WriterOptions) -> float:
    """Encoded bytes that a row takes in the order of a column, rows of equal values as they come."""
    rows = rows.slice(0, _ORDERED)
    order = np.argsort(codes(plain(rows.column(column)))[0], kind="stable")
    windows = max(1, min(_WINDOWS, len(order) // _WINDOW_ROWS))
    length = min(len(order), _WINDOW_ROWS)
    starts = [(len(order) - length) * number // max(1, windows - 1) for number in range(windows)]
    pieces = [rows.take(pa.array(order[start : start + length])).combine_chunks() for start in starts]
    return sum(encode(piece, writer).bytes for piece in pieces) / max(1, windows * length)
