"""Row lineage of v3: the pairs of row id and last sequence number must be the same before and after a rewrite.

Spark says them of the rows that it reads, pyarrow of the files that were written. Which row has which id is not looked
at: both numbers travel in the row that the engine moves.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lakeopt.engines.spark.ordering import ROW_ID, quoted
from lakeopt.errors import ProofFailed
from lakeopt.model.scan import FIELD_ID, Scan, StageRequest
from lakeopt.parquet.scan import read_batches

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_SEQUENCE = "_last_updated_sequence_number"
#: Both columns as files have them (Iceberg spec, reserved field ids).
_SCHEMA = pa.schema(
    [
        pa.field(ROW_ID, pa.int64(), metadata={FIELD_ID: b"2147483540"}),
        pa.field(_SEQUENCE, pa.int64(), metadata={FIELD_ID: b"2147483539"}),
    ]
)
#: Primes below 2^31: products of two remainders fit 64 bits.
_P, _Q, _R = 2147483647, 2147483629, 2147483587

#: Rows, row ids that are there, and sums of remainders of both numbers, of their product, and of the id's square.
Digest = tuple[int, ...]


def has_lineage(frame: DataFrame) -> bool:
    """Whether rows bear their lineage."""
    return ROW_ID in frame.columns


def lineage_of(frame: DataFrame) -> Digest:
    """The digest of the rows that Spark reads."""
    from pyspark.sql import functions as f

    ids, sequences = quoted(ROW_ID), quoted(_SEQUENCE)
    a, b = (
        f.pmod(f.coalesce(column, f.lit(-1)).cast("bigint"), f.lit(prime).cast("bigint"))
        for column, prime in ((ids, _P), (sequences, _Q))
    )
    sums = (a, b, f.pmod(a * b, f.lit(_R).cast("bigint")), f.pmod(a * a, f.lit(_R).cast("bigint")))
    found: Any = frame.agg(f.count(f.lit(1)), f.count(ids), *map(f.sum, sums)).head()
    return tuple(int(number or 0) for number in found)


def lineage_written(scans: list[Scan], *, threads: int) -> Digest:
    """The digest of the rows of written files."""

    def one(scan: Scan) -> Digest:
        total = np.zeros(6, np.int64)
        for batch in read_batches(scan, threads=1):
            present = batch.num_rows - batch.column(0).null_count
            a, b = (
                np.mod(column.fill_null(-1).to_numpy(zero_copy_only=False), prime)
                for column, prime in zip(batch.columns, (_P, _Q), strict=True)
            )
            sums = [part.sum() for part in (a, b, a * b % _R, a * a % _R)]
            total += np.array([batch.num_rows, present, *sums], np.int64)
        return tuple(map(int, total))

    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="lineage") as pool:
        return tuple(map(sum, zip((0,) * 6, *pool.map(one, scans), strict=True)))


def require_kept(before: Digest, staged: pa.Table, request: StageRequest, scan_of: Callable[..., Scan]) -> None:
    """Read the lineage of staged files back and compare it; ``scan_of`` makes a scan of one of them.

    :raises ProofFailed: a row lost its lineage, or has another.
    """
    scans = [scan_of(staged.slice(row, 1), _SCHEMA, request) for row in range(staged.num_rows)]
    after = lineage_written(scans, threads=request.threads)
    if before != after:
        raise ProofFailed(
            f"row lineage was not kept: {before[0]} rows with {before[1]} row ids became {after[0]} "
            f"with {after[1]}, or their numbers differ",
            hint="the table is as it was, and the files written are removed; please report this",
        )
