"""Bin-pack without decoding: what is copied, what is decoded and why, and that copies hold what they were made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake import Lake
from pyiceberg.table import Table

import lakeopt
from lakeopt.cli.app import main
from lakeopt.model.plan import RewritePlan

MEMORY = 1 << 30
ROWS = 66_000


def events(part: int, rows: int = ROWS, *, nans: int = 0) -> pa.Table:
    """Rows of one file: above the floor of 64k rows, and few bytes."""
    rng = np.random.default_rng(part)
    x = rng.integers(0, 50, rows).astype("float64")
    x[:nans] = np.nan
    return pa.table(
        {
            "id": pa.array(np.arange(rows, dtype="int64") + part * rows),
            "name": pa.array([f"name-{value}" for value in rng.integers(0, 300, rows)]),
            "x": pa.array(x, mask=rng.random(rows) < 0.01),
            "when": pa.array(rng.integers(0, 10**6, rows), pa.timestamp("us", "UTC")),
        }
    )


def files_of(table: Table) -> list[Path]:
    return [Path(path.removeprefix("file://")) for path in table.inspect.files()["file_path"].to_pylist()]


def landed(lake: Lake, parts: int = 6, *, nans: int = 0, identifier: str = "db.events", **properties: str) -> Table:
    """Files of one row group each, as pyiceberg writes them."""
    table = lake.create(identifier, events(0, 1).schema, properties=properties)
    for part in range(parts):
        table = lake.append(table, events(part, nans=nans if part == 1 else 0))
    return table


def target_of(table: Table, files: float = 2.0) -> int:
    """A target size that so many new files hold all bytes with."""
    return int(sum(path.stat().st_size for path in files_of(table)) / files)


def rewrite(target: int, identifier: str = "lake.db.events", **more: Any) -> Any:
    return lakeopt.rewrite(identifier, strategy="bin-pack", target_file_bytes=target, memory_bytes=MEMORY, **more)


def plan(target: int, identifier: str = "lake.db.events", **more: Any) -> RewritePlan:
    return lakeopt.plan(identifier, strategy="bin-pack", target_file_bytes=target, **more)


def ordered(table: pa.Table) -> pa.Table:
    return table.sort_by("id")


def test_row_groups_are_copied_and_a_second_run_finds_nothing(lake: Lake) -> None:
    table = landed(lake, nans=7)
    target, before = target_of(table), ordered(table.scan().to_arrow())
    bytes_before = sum(path.stat().st_size for path in files_of(table))
    result = rewrite(target)
    after = lake.load("db.events")
    assert result.verification.method == "bytes"
    assert result.verification.matched
    assert (result.rewritten_data_files_count, result.added_data_files_count) == (6, 2)
    assert same(ordered(after.scan().to_arrow()), before)
    assert abs(result.bytes_after - bytes_before) < 0.01 * bytes_before
    new = [pq.read_metadata(path) for path in files_of(after)]
    assert sum(footer.num_row_groups for footer in new) == 6
    assert plan(target).groups == ()


def same(left: pa.Table, right: pa.Table) -> bool:
    """Equal values, NaN equal to NaN."""
    return all(
        np.array_equal(a.fill_null(-1).to_numpy(), b.fill_null(-1).to_numpy(), equal_nan=True)
        if pa.types.is_floating(a.type)
        else a.equals(b)
        for a, b in zip(left.columns, right.columns, strict=True)
    )


def test_the_plan_says_which_groups_are_copied_and_why(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    table = landed(lake)
    command = ["rewrite", "lake.db.events", "--strategy", "bin-pack", "--dry-run"]
    assert main([*command, "--target-file-size", str(target_of(table))]) == 0
    shown = capsys.readouterr().out
    assert "copy: same writer and schema, zstd" in " ".join(shown.split())
    assert "proved by bytes" in " ".join(shown.split())
