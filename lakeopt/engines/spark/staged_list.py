"""The list of staged files as other engines return it, made of what Iceberg's writer says of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from lakeopt.engines.spark.java_table import each
from lakeopt.model.scan import DATA, Scan, StageRequest, files_schema, staged_schema
from lakeopt.parquet.order import OrderCheck
from lakeopt.parquet.scan import read_batches


def staged_list(new_files: Sequence[Any], request: StageRequest) -> pa.Table:
    """The new files in key order: that of the tasks, which their names begin with.

    Each file's keys are read back, so that none is called sorted that is not.
    """
    ordered = sorted(new_files, key=lambda file: _place(file.location()))
    rows = pa.table(
        {
            "file_path": pa.array([file.location() for file in ordered], pa.string()),
            "file_size_in_bytes": pa.array([file.fileSizeInBytes() for file in ordered], pa.int64()),
            "record_count": pa.array([file.recordCount() for file in ordered], pa.int64()),
        }
    )
    nans = [_numbers(file.nanValueCounts()) for file in ordered]
    columns = [
        *rows.columns,
        pa.array(_in_order(rows, request), pa.bool_()),
        pa.array(nans, staged_schema().field("nan_value_counts").type),
        pa.nulls(rows.num_rows, staged_schema().field("partition").type),
    ]
    return pa.table(columns, schema=staged_schema())


def _place(location: str) -> tuple[int, int]:
    """Number of the task, and of the file in it.

    >>> _place("/t/data/x/00007-31-2f9c-0-00002.parquet")
    (7, 2)
    """
    name = location.rpartition("/")[2].partition(".")[0]
    return int(name.partition("-")[0]), int(name.rpartition("-")[2])


def _numbers(counts: Any) -> list[tuple[int, int]]:
    return [] if counts is None else [(entry.getKey(), entry.getValue()) for entry in each(counts.entrySet())]


def scan_of(file: pa.Table, schema: pa.Schema, request: StageRequest) -> Scan:
    """How to read one staged file back."""
    said = {name: file[name] for name in ("file_path", "file_size_in_bytes", "record_count")}
    known = said | {
        "content": pa.repeat(DATA, 1),
        "file_format": pa.repeat("PARQUET", 1),
        "spec_id": pa.repeat(0, 1),
        "partition": pa.repeat("{}", 1),
    }
    columns = {field.name: known.get(field.name, pa.nulls(1, field.type)) for field in files_schema()}
    return Scan(schema, pa.table(columns).cast(files_schema()), request.scan.resolve)


def _in_order(files: pa.Table, request: StageRequest) -> list[bool]:
    """Whether all rows of each file are in the layout's order; of blocks and bin-packs it cannot be said."""
    names = [*(request.leading.columns if request.leading is not None else ()), *(name for name, _, _ in request.sort)]
    if not names or request.block_rows is not None:
        return [False] * files.num_rows
    wanted = list(dict.fromkeys(names))
    kept = pa.schema([request.scan.schema.field(name) for name in wanted])

    def check(row: int) -> bool:
        scan = scan_of(files.slice(row, 1), request.scan.schema, request)
        order = OrderCheck(kept, request.sort, request.leading)
        memory = request.memory_bytes // 4 // request.threads
        return all(order.update(batch) for batch in read_batches(scan, columns=wanted, threads=1, memory_bytes=memory))

    with ThreadPoolExecutor(max_workers=request.threads, thread_name_prefix="order") as pool:
        return list(pool.map(check, range(files.num_rows)))
