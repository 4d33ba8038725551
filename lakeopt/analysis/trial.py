"""What an order of a sample's rows takes once it is encoded, measured with the writer that would write it.

Small samples are encoded whole. Of larger ones 16 windows of consecutive rows *of the order that is tried* are
encoded and scaled up: random rows, or blocks of arrival order, would tear apart the very groups whose size decides.
A dictionary is paid once a row group, not once a window, and is scaled by the values that a row group holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lakeopt.analysis.encoded_size import encoded_size, row_group_rows
from lakeopt.analysis.rank_codes import RankCodes, Unsigned, is_sortable, rank_codes, sorted_rows
from lakeopt.model.scan import WriterOptions

Permutation = npt.NDArray[np.int64]

WINDOWS = 16
#: Fewer rows than this in a window would tear groups apart.
MIN_WINDOW = 512
#: Bytes in memory that a trial on windows encodes: enough to rank orders, little enough to try a hundred.
TRIAL_BYTES = 10_000_000


class Trial:
    """Measures orders of one sample.

    ``partition`` numbers the table partition of each row: rows never leave it, and it begins its own row group.
    Windows lie at the same seeded places in every order, so that orders are compared on equal terms.
    """

    def __init__(
        self,
        rows: pa.Table,
        writer: WriterOptions,
        *,
        partition: Unsigned | None = None,
        threads: int = 1,
        seed: int = 0,
    ) -> None:
        self._columns = {name: _one_chunk(rows[name]) for name in rows.column_names}
        self._count: int = rows.num_rows
        self._writer = writer
        self._group_rows = row_group_rows(rows, writer)
        self._random = np.random.default_rng(seed).random(WINDOWS)
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads
        self._sizes: dict[tuple[str, bytes], int] = {}
        self._expected: dict[str, float] = {}
        sortable = [name for name in rows.column_names if is_sortable(rows.schema.field(name).type)]
        self.codes: Mapping[str, RankCodes] = dict(
            zip(sortable, self._pool.map(lambda name: rank_codes(rows[name]), sortable), strict=True)
        )
        labels = np.zeros(self._count, np.uint8) if partition is None else partition
        self._partition = RankCodes(labels, int(labels.max(initial=0)) + 1, False)

    @property
    def count(self) -> int:
        """Rows of the sample."""
        return self._count

    def order(self, columns: Sequence[str]) -> Permutation:
        """Row numbers of the sample sorted by these columns within partitions; ties keep arrival order."""
        return sorted_rows([self._partition, *(self.codes[name] for name in columns)], self._count)

    def cost(self, columns: tuple[str, ...], rows: int) -> int:
        """Bytes of the files that hold the sample in this order (``()`` is arrival), judged on about ``rows`` rows."""
        return sum(self.column_bytes(self.order(columns), rows).values()) + self.footer_bytes

    def column_bytes(self, order: Permutation, rows: int) -> dict[str, int]:
        """Encoded bytes of each column, scaled to the whole sample, without :attr:`footer_bytes`."""
        whole = rows >= self._count
        chosen = order if whole else np.concatenate([order[start:end] for start, end in self._windows(rows)])
        ends = self._partition_ends(chosen) if whole else [len(chosen)]
        keys = {name: self._key(name, chosen, whole) for name in self._columns}
        todo = [name for name, key in keys.items() if key not in self._sizes]
        for sizes in self._pool.map(lambda names: self._encode(names, chosen, ends), self._shares(todo)):
            for name, (total, dictionary) in sizes.items():
                self._sizes[keys[name]] = total if whole else self._scaled(name, chosen, total, dictionary)
        return {name: self._sizes[key] for name, key in keys.items()}

    def _windows(self, rows: int) -> list[tuple[int, int]]:
        length = max(1, rows // WINDOWS)
        starts = ((np.arange(WINDOWS) + self._random) / WINDOWS * (self._count - length)).astype(np.int64)
        return [(int(start), int(start) + length) for start in starts]

    def _partition_ends(self, order: Permutation) -> list[int]:
        labels = self._partition.codes[order]
        return [*(np.flatnonzero(labels[1:] != labels[:-1]) + 1).tolist(), len(order)]

    def _key(self, name: str, chosen: Permutation, whole: bool) -> tuple[str, bytes]:
        """Equal for equal sequences of values, so that no sequence is encoded twice."""
        values = self.codes[name].codes[chosen] if name in self.codes else chosen
        return name, hashlib.blake2b(values.tobytes(), digest_size=16, person=b"all" if whole else b"windows").digest()

    def _shares(self, names: Sequence[str]) -> list[list[str]]:
        """The columns dealt to the threads, by their bytes in memory."""
        shares: list[list[str]] = [[] for _ in range(self._threads)]
        loads = [0] * self._threads
        for name in sorted(names, key=lambda name: -self._columns[name].nbytes):
            lightest = loads.index(min(loads))
            shares[lightest].append(name)
            loads[lightest] += self._columns[name].nbytes + self._count
        return [share for share in shares if share]

    def _encode(self, names: Sequence[str], chosen: Permutation, ends: Sequence[int]) -> dict[str, tuple[int, int]]:
        indices = pa.array(chosen)
        arrays = [self._columns[name].take(indices) for name in names]
        size = encoded_size(arrays, self._writer, group_rows=self._group_rows, ends=ends)
        return dict(zip(names, zip(size.columns, size.dictionaries, strict=True), strict=True))

    def _scaled(self, name: str, chosen: Permutation, total: int, dictionary: int) -> int:
        """Window bytes as bytes of the whole sample."""
        grown = self._count / len(chosen)
        if name not in self.codes or dictionary == 0:
            return round(total * grown)
        seen = _distinct(self.codes[name], chosen)
        held = min(self._at_random(name), seen * self._count / self._row_groups / len(chosen))
        return round((total - dictionary) * grown + dictionary * max(held, 1) / seen * self._row_groups)

    @cached_property
    def footer_bytes(self) -> int:
        """What files hold beside their columns: about as much for each row group, in whatever order."""
        rows = min(self._writer.page_rows, self._group_rows)
        head = [column.slice(0, rows) for column in self._columns.values()]
        return encoded_size(head, self._writer, group_rows=self._group_rows).footer * max(1, self._row_groups)

    @cached_property
    def _row_groups(self) -> int:
        sizes = np.bincount(self._partition.codes)
        return int(np.sum(np.ceil(sizes / self._group_rows)))

    def _at_random(self, name: str) -> float:
        """Distinct values that a row group of shuffled rows holds on average: no order can need more."""
        column = self.codes[name]
        if self._row_groups == 1:
            return column.cardinality
        if name not in self._expected:
            absent = np.log1p(-np.bincount(column.codes) / (self._count + 1))
            self._expected[name] = float(-np.expm1(absent * self._count / self._row_groups).sum())
        return self._expected[name]


def _distinct(column: RankCodes, rows: Permutation) -> int:
    """Number of different values in these rows."""
    codes = column.codes[rows]
    if column.cardinality > 8 * len(rows):
        return len(np.unique(codes))
    return int(np.count_nonzero(np.bincount(codes)))


def window_rows(rows: pa.Table) -> int:
    """Rows that a trial on windows encodes: :data:`TRIAL_BYTES` of them in memory, and enough to make runs.

    >>> window_rows(pa.table({"a": range(100)})) >= 100
    True
    """
    return max(WINDOWS * MIN_WINDOW, int(TRIAL_BYTES * rows.num_rows / max(1, rows.nbytes)))


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
