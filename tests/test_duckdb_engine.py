"""The DuckDB engine's staging step: what it writes equals what it read, by field id, in the right order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from lakeopt.engines.duckdb import ENGINE
from lakeopt.model.scan import Scan, StageRequest, WriterOptions, files_schema


def field(name: str, kind: pa.DataType, field_id: int, nullable: bool = True) -> pa.Field:
    return pa.field(name, kind, nullable, {b"PARQUET:field_id": str(field_id).encode()})


def scan_of(paths: Sequence[Path], schema: pa.Schema, **more: Any) -> Scan:
    rows = []
    for path in paths:
        size, count = path.stat().st_size, pq.read_metadata(path).num_rows
        rows.append(dict(content=0, file_path=path.as_uri(), file_format="PARQUET", spec_id=0, partition="{}",
                         record_count=count, file_size_in_bytes=size))  # fmt: skip
    return Scan(schema, pa.Table.from_pylist(rows, schema=files_schema()), resolve=fs.FileSystem.from_uri, **more)


def request_of(
    scan: Scan, root: Path, sort: Sequence[tuple[str, bool, bool]] = (), options: Mapping[str, Any] | None = None,
    target: int = 1 << 30, **more: Any,
) -> StageRequest:  # fmt: skip
    given = {"memory_bytes": 1_000_000_000, "threads": 2, "temp_dir": str(root / "spill")} | more
    return StageRequest(
        scan, tuple(sort), WriterOptions(level=3, **(options or {})), target,
        lambda n: (root / "out" / f"{n:05d}.parquet").as_uri(), **given,
    )  # fmt: skip


def read_back(staged: pa.Table) -> list[pa.Table]:
    return [pq.read_table(fs.FileSystem.from_uri(uri)[1]) for uri in staged["file_path"].to_pylist()]


def test_rows_of_two_files_come_out_sorted(tmp_path: Path) -> None:
    schema = pa.schema([field("a", pa.int64(), 1), field("b", pa.large_string(), 2)])
    for number in range(2):
        values = list(range(number, 2000, 2))
        table = pa.table({"a": values, "b": [f"v{v}" for v in values]}, schema=schema)
        pq.write_table(table, tmp_path / f"{number}.parquet")
    scan = scan_of([tmp_path / "0.parquet", tmp_path / "1.parquet"], schema)
    staged = ENGINE.stage(request_of(scan, tmp_path, [("a", False, False)]))
    (table,) = read_back(staged)
    assert table["a"].to_pylist() == list(range(1999, -1, -1))
    assert table["b"].to_pylist() == [f"v{v}" for v in range(1999, -1, -1)]
    assert staged.to_pylist()[0]["sorted"]
    assert ENGINE.discard(staged, scan.resolve) == 1
