"""A sample of a table's rows in the order in which they arrived, in contiguous blocks.

Random rows would be useless here: they tear apart runs and groups, whose length is what a layout is about. A table
within the budget is read whole. Of a larger one, some partitions are drawn, spread evenly over its rows, and of a
partition above its share of the budget 16 contiguous blocks, spread evenly in arrival order (data sequence
number, then the order of the file list). The choice depends on the file list alone, so it can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.model.scan import Scan
from lakeopt.parquet.deletes import Deletes
from lakeopt.parquet.scan import Part, Reading, read_part

Positions = npt.NDArray[np.int64]

#: A sample never holds more rows than this: each trial orders all of them.
MAX_ROWS = 4_194_304
#: Blocks that a partition above its share of the budget is sampled in.
BLOCKS = 16
#: Partitions that are drawn at least, if the table has so many.
MIN_PARTITIONS = 4
#: Rows that are read to learn how wide the table's rows are.
_PROBE_ROWS = 8192
#: Rows of a batch, and bytes that the reading of one file may take beside the sample.
_BATCH_ROWS, _READ_BYTES = 131_072, 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """Sampled rows, partition after partition, in arrival order in each.

    ``partition`` numbers the partition of each row; ``record_count`` is that of the table's data files,
    rows that delete files remove included.
    """

    rows: pa.Table
    partition: npt.NDArray[np.unsignedinteger]
    record_count: int
    whole: bool

    @property
    def scale(self) -> float:
        """Factor from bytes of the sample to bytes of the table."""
        return 1.0 if self.whole or not self.rows.num_rows else self.record_count / self.rows.num_rows


@dataclass(frozen=True, slots=True)
class _Block:
    """The first ``limit`` rows of a part, which belongs to the partition of that number."""

    part: Part
    limit: int
    partition: int


def draw_sample(
    scan: Scan,
    *,
    budget_bytes: int,
    max_rows: int = MAX_ROWS,
    threads: int = 2,
    columns: Sequence[str] | None = None,
) -> Sample:
    """Sample of a scan, at most about ``budget_bytes`` in memory and ``max_rows`` rows, of all columns or some.

    :raises DataFileError: a file is missing or damaged.
    """
    scan = replace(scan, files=_in_arrival_order(scan.files))
    deletes = Deletes(scan)
    counts = scan.files["record_count"].to_numpy()
    total = int(counts.sum())
    names = list(scan.schema.names if columns is None else columns)
    limit = min(max_rows, budget_bytes // _row_bytes(scan, deletes, names))
    partitions = _drawn_partitions(scan.files, counts, limit)
    shares = _shares([int(counts[files].sum()) for files in partitions], limit)
    blocks = [
        block
        for number, (files, share) in enumerate(zip(partitions, shares, strict=True))
        for block in _blocks(scan.files, files, number, share)
    ]
    return _read(scan, names, blocks, deletes, total, total <= limit, threads)


def _in_arrival_order(files: pa.Table) -> pa.Table:
    sequence = pc.fill_null(files["data_sequence_number"], 0).to_numpy()
    return files.take(pa.array(np.argsort(sequence, kind="stable")))


def _row_bytes(scan: Scan, deletes: Deletes, names: Sequence[str]) -> int:
    """Bytes in memory of a row: of the first rows of three files, or eight times the encoded bytes if all are gone."""
    count = scan.files.num_rows
    measured: list[float] = []
    reading = Reading(scan, names, deletes, _PROBE_ROWS, _READ_BYTES)
    for row in sorted({0, count // 2, count - 1}) if count else ():
        batch = next(read_part(reading, Part(row)), None)
        if batch is not None and batch.num_rows:
            measured.append(batch.nbytes / batch.num_rows)
    if measured:
        return max(1, round(sum(measured) / len(measured)))
    encoded, rows = (int(scan.files[name].to_numpy().sum()) for name in ("file_size_in_bytes", "record_count"))
    return max(1, 8 * encoded // max(1, rows))


def _drawn_partitions(files: pa.Table, counts: Positions, limit: int) -> list[Positions]:
    """File numbers of each partition that is drawn, in order of arrival: those that hold evenly spread rows."""
    labels = pc.binary_join_element_wise(files["spec_id"].cast(pa.string()), files["partition"], " ")
    encoded = labels.combine_chunks().dictionary_encode()
    partition = (encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded).indices.to_numpy()
    rows = np.bincount(partition, weights=counts)
    drawn = np.arange(len(rows))
    if counts.sum() > limit:
        wanted = min(len(rows), max(MIN_PARTITIONS, int(limit / max(1.0, rows.mean()))))
        centres = (np.arange(wanted) + 0.5) / wanted * rows.sum()
        drawn = np.unique(np.searchsorted(np.cumsum(rows), centres, side="right"))
    by_partition = np.argsort(partition, kind="stable")
    edges = np.searchsorted(partition[by_partition], np.arange(len(rows) + 1))
    return [by_partition[edges[number] : edges[number + 1]] for number in drawn]


def _shares(rows: Sequence[int], limit: int) -> list[int]:
    """How many rows of each partition to read: small ones whole, the rest of the budget evenly over the large."""
    shares = [0] * len(rows)
    left = limit
    for rank, number in enumerate(sorted(range(len(rows)), key=rows.__getitem__)):
        shares[number] = min(rows[number], left // (len(rows) - rank))
        left -= shares[number]
    return shares


def _blocks(files: pa.Table, positions: Positions, partition: int, share: int) -> list[_Block]:
    """Blocks of one partition, ``share`` rows in all, as runs of row groups."""
    chosen = files.select(["record_count", "split_offsets"]).take(pa.array(positions))
    counts = chosen["record_count"].to_numpy()
    if share >= counts.sum():
        return [_Block(Part(int(row)), int(count), partition) for row, count in zip(positions, counts, strict=True)]
    groups = np.maximum(1, pc.fill_null(pc.list_value_length(chosen["split_offsets"]), 1).to_numpy())
    file = np.repeat(np.arange(len(groups)), groups)
    rows = counts[file] // groups[file]
    ends = np.cumsum(rows)
    taken: dict[int, int] = {}
    wanted = min(BLOCKS, share)
    for number in range(wanted):
        need = share * (number + 1) // wanted - share * number // wanted
        start = max(0.0, (number + 0.5) / wanted * ends[-1] - need / 2)
        unit = int(np.searchsorted(ends, start, side="right"))
        while need > 0 and unit < len(rows):
            step = min(need, int(rows[unit]) - taken.get(unit, 0))
            taken[unit] = taken.get(unit, 0) + step
            need -= step
            unit += 1
    first = np.cumsum(groups) - groups
    return [
        _Block(
            Part(int(positions[file[unit]]), int(unit - first[file[unit]]), int(groups[file[unit]])), limit, partition
        )
        for unit, limit in sorted(taken.items())
        if limit
    ]


def _read(
    scan: Scan,
    names: Sequence[str],
    blocks: Sequence[_Block],
    deletes: Deletes,
    total: int,
    whole: bool,
    threads: int,
) -> Sample:
    def read(block: _Block) -> list[pa.RecordBatch]:
        batches, left = [], block.limit
        reading = Reading(scan, names, deletes, min(_BATCH_ROWS, max(1, left)), _READ_BYTES)
        for batch in read_part(reading, block.part):
            batches.append(batch.slice(0, left))
            left -= batches[-1].num_rows
            if left <= 0:
                break
        return batches

    with ThreadPoolExecutor(threads) as pool:
        read_blocks = list(pool.map(read, blocks))
    sizes = [sum(batch.num_rows for batch in batches) for batches in read_blocks]
    labels = np.array([block.partition for block in blocks], np.uint32)
    schema = pa.schema([scan.schema.field(name) for name in names])
    rows = pa.Table.from_batches([batch for batches in read_blocks for batch in batches], schema)
    return Sample(rows, np.repeat(labels, sizes), total, whole)
