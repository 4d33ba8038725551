"""Partition values of rows, and whether files hold the rows of one partition only."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from lakeopt.errors import ProofFailed
from lakeopt.model.scan import PartitionKey, Repartition, Scan
from lakeopt.parquet.order import differing
from lakeopt.parquet.scan import read_batches


def source_type(schema: pa.Schema, key: PartitionKey) -> pa.DataType:
    """Type of a key's source column."""
    first, *deeper = key.source
    kind = schema.field(first).type
    for place in deeper:
        kind = kind.field(place).type
    return kind


def partition_values(values: pa.Array, key: PartitionKey) -> pa.Array:
    """The key's partition values of its source's values."""
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    return values if key.transform is None else key.transform(values).cast(key.result)


def partition_batch(batch: pa.RecordBatch, keys: Sequence[PartitionKey], places: Sequence[int]) -> pa.RecordBatch:
    """The partition values of each row, a column a key; ``places`` says where each one's top-level column stands."""
    columns = []
    for key, place in zip(keys, places, strict=True):
        source = batch.column(place)
        for deeper in key.source[1:]:
            source = source.flatten()[deeper]  # null where the struct is
        columns.append(partition_values(source, key))
    return pa.RecordBatch.from_arrays(columns, names=[f"k{place}" for place in range(len(columns))])


def require_own_partition(scan: Scan, staged: pa.Table, partition: Repartition, *, memory_bytes: int) -> None:
    """Read the partition's source columns of written files back: each row is of the partition that its file is for.

    :raises ProofFailed: naming a file that holds rows of another one.
    """
    if not partition.keys:
        return
    tops = sorted({key.source[0] for key in partition.keys})
    places = [tops.index(key.source[0]) for key in partition.keys]
    columns = [scan.schema.names[top] for top in tops]
    for row, wanted in enumerate(staged["partition"].to_pylist()):
        file = Scan(scan.schema, scan.files.slice(row, 1), scan.resolve)
        last: pa.RecordBatch | None = None
        for batch in read_batches(file, columns=columns, threads=1, memory_bytes=memory_bytes // 4):
            values = partition_batch(batch, partition.keys, places)
            changes = differing(values, last)
            same = not changes[1:].any() and (last is None or not changes[0])
            if not same or list(partition.encode(key_of(values, 0))) != wanted:
                raise ProofFailed(
                    f"a written file holds rows of another partition than its own: {staged['file_path'][row]}",
                    hint="the table is as it was, and the files written are removed; please report this",
                )
            last = values.slice(values.num_rows - 1)


def key_of(values: pa.RecordBatch, row: int) -> list[object]:
    """The partition values of one row, as Arrow scalars."""
    return [column[row] for column in values.columns]
