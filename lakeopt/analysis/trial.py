"""What an order of a sample's rows takes once it is encoded, measured with the writer that would write it.

Small samples are encoded whole. Of larger ones 16 windows of consecutive rows *of the order that is tried* are
encoded and scaled up: random rows, or blocks of arrival order, would tear apart the very groups whose size decides.
As many rows as a row group has are taken from four windows: what is found of an order must not hang on one place.
A dictionary is paid once a row group, not once a window. Each column counts in the smallest encoding it may have.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakeopt.analysis.column_encodings import ColumnEncodings
from lakeopt.analysis.encoded_size import encoded_columns, footer_size, row_group_rows
from lakeopt.analysis.extrapolation import ColumnExtent, Extent, distinct
from lakeopt.analysis.rank_codes import RankCodes, Unsigned, is_sortable, rank_codes, ranking_seconds, sorted_rows
from lakeopt.analysis.windows import Window, WindowedRows
from lakeopt.model.row_order import RowOrder
from lakeopt.model.scan import WriterOptions
from lakeopt.parquet.encode import widest_bytes

Permutation = npt.NDArray[np.int64]
#: Bytes and encoding of each column.
Measured = dict[str, tuple[float, str]]

#: Windows of a trial; a row group's rows are taken from fewer, larger ones.
WINDOWS, LARGE_WINDOWS = 16, 4
#: Fewer rows than this in a window would tear groups apart; so many bytes of wide rows are too much all the same.
MIN_WINDOW, _MOST_BYTES = 512, 60_000_000
#: Of a column whose windows hold more bytes in memory every second or fourth window is encoded.
_COLUMN_BYTES = 4_000_000
#: Bytes in memory that one thread encodes at once, and that remembered orders may take.
_BATCH_BYTES, _KEPT_BYTES = 48_000_000, 200_000_000
_HEAD_ROWS = 20_000


class Trial:
    """Measures orders of one sample.

    ``encodings`` are those that may be written; ``partition`` numbers the table partition of each row, one partition
    after the other: rows never leave it, and it begins its own row group. Windows lie at the same seeded places in
    every order, so that orders are compared on equal terms. ``out_of_time`` is asked whether so many seconds more are
    too many to rank a column: it is measured then, but nothing is sorted by it.
    """

    def __init__(
        self,
        rows: pa.Table,
        writer: WriterOptions,
        *,
        encodings: Collection[str] = ("dictionary",),
        partition: Unsigned | None = None,
        threads: int = 1,
        seed: int = 0,
        out_of_time: Callable[[float], bool] = lambda seconds: False,
    ) -> None:
        self._columns = {name: _one_chunk(rows[name]) for name in rows.column_names}
        self._count: int = rows.num_rows
        self._writer = writer
        self.group_rows, self._widest = row_group_rows(rows, writer), widest_bytes(rows)
        self._random = np.random.default_rng(seed).random(WINDOWS)
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads
        sortable = [name for name in rows.column_names if is_sortable(rows.schema.field(name).type)]
        self.codes: Mapping[str, RankCodes] = self._coded(rows, sortable, out_of_time)
        #: Columns that could be sorted by, but time ran out before their values were ranked.
        self.unranked = [name for name in sortable if name not in self.codes]
        labels = np.zeros(self._count, np.uint8) if partition is None else partition
        self._partition = RankCodes(labels, int(labels.max(initial=0)) + 1, False)
        extent = Extent(self._count, self._row_groups)
        self._extents = {name: ColumnExtent(column, extent) for name, column in self.codes.items()}
        self._encodings = ColumnEncodings(rows.schema, self.codes, encodings, self._count, self.group_rows)
        self._windowed = WindowedRows(self._count, kept_bytes=_KEPT_BYTES)
        self._blocks: dict[int, RankCodes] = {}
        self._sizes: dict[tuple[bytes, str], float] = {}

    def _coded(
        self, rows: pa.Table, sortable: Sequence[str], out_of_time: Callable[[float], bool]
    ) -> Mapping[str, RankCodes]:
        """Rank codes of the columns, of the narrow ones first: the wide ones cost most, and lead least often."""

        def coded(name: str) -> RankCodes | None:
            return None if out_of_time(ranking_seconds(self._columns[name])) else rank_codes(rows[name])

        narrow_first = sorted(sortable, key=lambda name: self._columns[name].nbytes)
        found = dict(zip(narrow_first, self._pool.map(coded, narrow_first), strict=True))
        return {name: codes for name in sortable if (codes := found[name]) is not None}

    @property
    def count(self) -> int:
        """Rows of the sample."""
        return self._count

    def order(self, order: RowOrder) -> Permutation:
        """Row numbers of the sample in this order within partitions; ties keep arrival order."""
        return sorted_rows([codes for _, codes in self._keys(order)], self._count)

    def costs(
        self, orders: Sequence[RowOrder], rows: int, out_of_time: Callable[[], bool] = lambda: False
    ) -> list[int | None]:
        """Bytes of the files that hold the sample in each order, judged on about ``rows`` rows, on all threads.

        None for those that time did not allow.
        """
        if len(orders) < self._threads:
            return [None if out_of_time() else self.cost(order, rows) for order in orders]

        def measured(order: RowOrder) -> int | None:
            return None if out_of_time() else self._total(self._measured(order, rows))

        return list(self._pool.map(measured, orders))

    def cost(self, order: RowOrder, rows: int) -> int:
        """Bytes of the files that hold the sample in this order, judged on about ``rows`` rows."""
        return self._total(self._by_columns(order, rows, self._encodings.tried))

    def column_bytes(self, order: RowOrder, rows: int) -> dict[str, int]:
        """Encoded bytes of each column, scaled to the whole sample, without :attr:`footer_bytes`."""
        sizes = self._by_columns(order, rows, self._encodings.tried)
        return {name: round(size) for name, (size, _) in sizes.items()}

    def tuned(
        self, order: RowOrder, rows: int, writer: WriterOptions | None = None, encodings: Sequence[str] | None = None
    ) -> tuple[int, dict[str, str]]:
        """Bytes of this order, and the smallest encoding of each column, of all that are worth a try.

        ``writer`` may differ from the trials' own, and ``encodings`` may be fewer.
        """
        promising = self._encodings.promising
        if encodings is not None:
            promising = {name: self._encodings.only(name, encodings) for name in promising}
        sizes = self._by_columns(order, rows, promising, writer)
        return self._total(sizes), {name: encoding for name, (_, encoding) in sizes.items()}

    def group_bytes(self, order: RowOrder, writer: WriterOptions, sizes: Sequence[int]) -> dict[int, int]:
        """Bytes of the rows of one row group, from the middle of this order, in row groups of each of these sizes."""
        ordered = self.order(order)
        begin = max(0, len(ordered) // 2 - self.group_rows // 2)
        rows = pa.array(ordered[begin : begin + self.group_rows])
        pairs = [
            (values.take(rows), writer.encodings.get(name, "dictionary")) for name, values in self._columns.items()
        ]
        frame = self.footer_bytes / max(1, self._row_groups)

        def taken(size: int) -> int:
            columns = encoded_columns(pairs, writer, group_rows=size, widest=self._widest)
            return round(sum(column.bytes for column in columns) + frame * -(-len(rows) // size))

        return dict(zip(sizes, self._pool.map(taken, sizes), strict=True))

    def distinct_values(self, name: str, order: RowOrder, rows: int) -> int:
        """Most different values of a sortable column in any block of so many rows of this order."""
        codes = self.codes[name].codes[self.order(order)]
        return max((distinct(codes[start : start + rows]) for start in range(0, len(codes), rows)), default=0)

    def narrow_encodings(self) -> None:
        """From now on try only encodings that were the smallest, or nearly, in some order measured so far."""
        self._encodings.narrow()

    def _total(self, sizes: Measured) -> int:
        return round(sum(size for size, _ in sizes.values())) + self.footer_bytes

    def _keys(self, order: RowOrder) -> list[tuple[str, RankCodes]]:
        """What rows are compared by: partition, block, columns. The first two have names that no column has."""
        keys = [("", self._partition)] if self._partition.cardinality > 1 else []
        if order.block_rows is not None:
            keys.append((f"\0{order.block_rows}", self._block(order.block_rows)))
        return keys + [(name, self.codes[name]) for name in order.columns]

    def _block(self, rows: int) -> RankCodes:
        if rows not in self._blocks:
            labels = self._partition.codes
            begins = np.concatenate([[True], labels[1:] != labels[:-1]])[: self._count]
            starts = np.maximum.accumulate(np.where(begins, np.arange(self._count), 0))
            blocks = (np.arange(self._count) - starts) // rows
            count = int(blocks.max(initial=0)) + 1
            self._blocks[rows] = RankCodes(blocks.astype(np.min_scalar_type(count - 1)), count, False)
        return self._blocks[rows]

    def _by_columns(
        self,
        order: RowOrder,
        rows: int,
        encodings: Mapping[str, Sequence[str]],
        writer: WriterOptions | None = None,
    ) -> Measured:
        """One order measured by all threads, each some of the columns."""
        chosen = self._chosen(order, rows)

        def sized(names: list[str]) -> Measured:
            return self._sized(names, order, chosen, encodings, writer or self._writer)

        found: Measured = {}
        for part in self._pool.map(sized, self._shares()) if self._threads > 1 else [sized(list(self._columns))]:
            found |= part
        return {name: found[name] for name in self._columns}

    def _measured(self, order: RowOrder, rows: int) -> Measured:
        return self._sized(list(self._columns), order, self._chosen(order, rows), self._encodings.tried, self._writer)

    def _shares(self) -> list[list[str]]:
        """The columns dealt to the threads, by their bytes in memory."""
        shares: list[list[str]] = [[] for _ in range(self._threads)]
        loads = [0] * self._threads
        for name in sorted(self._columns, key=lambda name: -self._columns[name].nbytes):
            lightest = loads.index(min(loads))
            shares[lightest].append(name)
            loads[lightest] += self._columns[name].nbytes + self._count
        return [share for share in shares if share]

    def _chosen(self, order: RowOrder, rows: int) -> Permutation:
        if rows >= self._count:
            return self.order(order)
        return self._windowed.rows(self._keys(order), self._windows(rows))

    def _windows(self, rows: int) -> list[Window]:
        windows = WINDOWS if rows < self.group_rows else LARGE_WINDOWS
        length = max(1, rows // windows)
        # Windows never overlap: rows that were encoded twice would look as if they repeated.
        share = self._count / windows
        starts = np.arange(windows) * share + self._random[:windows] * (share - length)
        return [(start, start + length) for start in starts.astype(np.int64).tolist()]

    def _sized(
        self,
        names: Sequence[str],
        order: RowOrder,
        chosen: Permutation,
        encodings: Mapping[str, Sequence[str]],
        writer: WriterOptions,
    ) -> Measured:
        arrival = not order.columns or order.block_rows is not None
        kind = f"{arrival}{len(chosen) == self._count}{writer}"
        whole = len(chosen) == self._count
        keys: dict[str, bytes] = {}
        for batch in self._batches(names, chosen, encodings, keys, kind):
            pairs = [(values, encoding) for _, _, values, missing in batch for encoding in missing]
            ends = self._partition_ends(chosen) if whole else None
            sizes = iter(encoded_columns(pairs, writer, group_rows=self.group_rows, widest=self._widest, ends=ends))
            for name, seen, values, missing in batch:
                for encoding in missing:
                    size = next(sizes)
                    if whole or seen is None:
                        total = size.bytes * self._count / max(1, len(values))
                    else:
                        total = self._extents[name].extrapolated(size, seen, arrival)
                    self._sizes[keys[name], encoding] = total
        found: Measured = {}
        for name in names:
            sized = {encoding: self._sizes[keys[name], encoding] for encoding in encodings[name]}
            self._encodings.learn(name, sized)
            best = min(sized, key=lambda encoding: sized[encoding])
            found[name] = sized[best], best
        return found

    def _batches(
        self,
        names: Sequence[str],
        chosen: Permutation,
        encodings: Mapping[str, Sequence[str]],
        keys: dict[str, bytes],
        kind: str,
    ) -> Iterator[list[tuple[str, Unsigned | None, pa.Array, list[str]]]]:
        """Columns with their codes and what is not known of them yet, as much at once as memory allows.

        Fills ``keys``.
        """
        batch: list[tuple[str, Unsigned | None, pa.Array, list[str]]] = []
        held = 0
        for name in names:
            rows = self._thinned(name, chosen)
            seen = self.codes[name].codes[rows] if name in self.codes else None
            keys[name] = _key(name, rows if seen is None else seen, kind)
            missing = [encoding for encoding in encodings[name] if (keys[name], encoding) not in self._sizes]
            if not missing:
                continue
            if batch and len(batch[0][2]) != len(rows):
                yield batch
                batch, held = [], 0
            batch.append((name, seen, self._columns[name].take(pa.array(rows)), missing))
            held += batch[-1][2].nbytes
            if held > _BATCH_BYTES:
                yield batch
                batch, held = [], 0
        if batch:
            yield batch

    def _thinned(self, name: str, chosen: Permutation) -> Permutation:
        """Rows of some of the windows only, of a column that is wide."""
        if len(chosen) == self._count or len(chosen) >= self.group_rows or len(chosen) % WINDOWS:
            return chosen
        width = self._columns[name].nbytes / max(1, self._count)
        step = next((step for step in (1, 2) if len(chosen) / step * width <= _COLUMN_BYTES), 4)
        return chosen if step == 1 else chosen.reshape(WINDOWS, -1)[::step].ravel()

    def _partition_ends(self, order: Permutation) -> list[int]:
        labels = self._partition.codes[order]
        return [*(np.flatnonzero(labels[1:] != labels[:-1]) + 1).tolist(), len(order)]

    @cached_property
    def footer_bytes(self) -> int:
        """What files hold beside their columns: about as much for each row group, in whatever order."""
        head = {name: column.slice(0, min(_HEAD_ROWS, self.group_rows)) for name, column in self._columns.items()}
        return footer_size(head, self._writer) * max(1, self._row_groups)

    @cached_property
    def _row_groups(self) -> int:
        sizes = np.bincount(self._partition.codes)
        return int(np.sum(np.ceil(sizes / self.group_rows)))


def _key(name: str, values: npt.NDArray[np.integer], kind: str) -> bytes:
    """Equal for equal sequences of values, so that no sequence is encoded twice."""
    person = blake2b(f"{name}\0{kind}".encode(), digest_size=16).digest()
    return blake2b(values.data, digest_size=16, person=person).digest()


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def window_rows(rows: pa.Table, trial_bytes: int = 12_000_000) -> int:
    """Rows that a trial on windows encodes: so many bytes of them in memory, and enough to make runs.

    >>> window_rows(pa.table({"a": range(100)})) >= 100
    True
    """
    wanted = int(trial_bytes * rows.num_rows / max(1, rows.nbytes))
    fewest = int(_MOST_BYTES * rows.num_rows / max(1, rows.nbytes))
    return max(WINDOWS, min(fewest, max(WINDOWS * MIN_WINDOW, wanted)))
