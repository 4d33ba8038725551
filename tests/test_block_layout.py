"""A sort inside arrival blocks end to end: rows kept, each block in order, a second run that finds nothing."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lake import Lake

import lakeopt
from lakeopt.layout.strategies.sort import STRATEGY
from lakeopt.model.plan import Layout, SortField
from lakeopt.tables.open import open_table
from lakeopt.workflows.partitions import group_files

BLOCK = 500


def rows_of(lake: Lake, name: str) -> pa.Table:
    paths = sorted(file.file_path.removeprefix("file://") for file in lake.files(lake.load(name)))
    return pa.concat_tables(pq.read_table(path) for path in paths)


def test_a_plan_with_blocks_is_applied_and_a_second_run_finds_nothing(lake: Lake) -> None:
    draw = np.random.default_rng(2)
    rows = pa.table({"at": np.arange(2_000), "key": draw.integers(0, 30, 2_000)})
    table = lake.create("demo.t", rows.schema)
    for start in range(0, 2_000, 400):
        table = lake.append(table, rows.slice(start, 400))
    plan = lakeopt.plan("lake.demo.t", strategy="sort", sort_by=[SortField("key")])
    layout = dataclasses.replace(plan.layout, block_rows=BLOCK)
    result = lakeopt.apply(dataclasses.replace(plan, layout=layout))
    assert result.verification.matched
    found = rows_of(lake, "demo.t")
    assert sorted(found["at"].to_pylist()) == list(range(2_000))
    for start in range(0, 2_000, BLOCK):
        block = found.slice(start, BLOCK)
        assert sorted(block["at"].to_pylist()) == list(range(start, start + BLOCK))
        keys = list(zip(block["key"].to_pylist(), block["at"].to_pylist(), strict=True))
        assert all(left < right for left, right in pairwise(keys))
    opened = open_table("lake.demo.t")
    base = opened.snapshot_id()
    assert base is not None
    again, skipped = group_files(opened, base, None, layout, STRATEGY, plan.target_file_bytes)
    assert (again, [group.reason for group in skipped]) == ((), ["already in this order, at most 4 files at a key"])
    others = [Layout("sort", layout.columns), dataclasses.replace(layout, block_rows=250)]
    for other in others:
        assert group_files(opened, base, None, other, STRATEGY, plan.target_file_bytes)[0]
