"""Samples of real tables: whole where they fit, else contiguous blocks in arrival order, partition by partition."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from lake import Lake

from lakeopt.analysis.sampling import BLOCKS, draw_sample
from lakeopt.model.scan import Scan
from lakeopt.tables.open import open_table


def scan_of(name: str) -> Scan:
    table = open_table(name)
    return table.scan(pa.concat_tables(table.files(table.snapshot_id())))


def runs(values: list[int]) -> list[list[int]]:
    """Maximal stretches of consecutive numbers."""
    edges = [0, *(np.flatnonzero(np.diff(values) != 1) + 1).tolist(), len(values)]
    return [values[start:end] for start, end in itertools.pairwise(edges)]


def appended(lake: Lake, name: str, commits: int, rows: int, **options: object) -> Iterator[None]:
    """``at`` counts rows as they arrive; ``part`` is one of three."""
    schema = pa.schema([("at", pa.int64()), ("part", pa.int32())])
    table = lake.create(name, schema, **options)  # type: ignore[arg-type]
    for commit in range(commits):
        at = np.arange(commit * rows, (commit + 1) * rows)
        table = lake.append(table, pa.table({"at": at, "part": (at % 3).astype(np.int32)}, schema))
        yield


def test_a_small_table_is_read_whole_in_arrival_order(lake: Lake) -> None:
    list(appended(lake, "demo.t", commits=12, rows=50))
    sample = draw_sample(scan_of("lake.demo.t"), budget_bytes=1_000_000)
    assert sample.whole
    assert sample.rows["at"].to_pylist() == list(range(600))
    assert sample.scale == 1.0


def test_a_large_table_is_sampled_in_contiguous_blocks_over_all_of_it(lake: Lake) -> None:
    list(appended(lake, "demo.t", commits=40, rows=100))
    sample = draw_sample(scan_of("lake.demo.t"), budget_bytes=10**9, max_rows=800)
    at = sample.rows["at"].to_pylist()
    assert not sample.whole
    assert (len(at), sample.record_count, sample.scale) == (800, 4000, 5.0)
    assert at == sorted(set(at))
    assert len(runs(at)) <= BLOCKS
    quarters = np.bincount(np.array(at) // 1000)
    assert quarters.min() >= 100


def test_one_large_file_is_sampled_by_row_groups(lake: Lake) -> None:
    schema = pa.schema([("at", pa.int64())])
    table = lake.create("demo.t", schema, properties={"write.parquet.row-group-limit": "500"})
    lake.append(table, pa.table({"at": np.arange(10_000)}, schema))
    at = draw_sample(scan_of("lake.demo.t"), budget_bytes=10**9, max_rows=1600).rows["at"].to_pylist()
    assert len(at) == 1600
    assert at == sorted(set(at))
    assert max(at) > 9_000
    assert min(at) < 1_000


def test_the_budget_is_in_bytes(lake: Lake) -> None:
    list(appended(lake, "demo.t", commits=4, rows=1000))
    sample = draw_sample(scan_of("lake.demo.t"), budget_bytes=12_000)
    assert sample.rows.nbytes == pytest.approx(12_000, rel=0.1)


def test_partitions_stay_together(lake: Lake) -> None:
    list(appended(lake, "demo.t", commits=6, rows=90, partition=[("part", "identity")]))
    sample = draw_sample(scan_of("lake.demo.t"), budget_bytes=10**9)
    assert sample.whole
    part, at = sample.rows["part"].to_numpy(), sample.rows["at"].to_numpy()
    assert len(np.unique(sample.partition)) == 3
    for number in np.unique(sample.partition):
        mine = sample.partition == number
        assert len(np.unique(part[mine])) == 1
        assert (np.diff(at[mine]) > 0).all()
    assert (np.diff(sample.partition.astype(int)) >= 0).all()


def test_of_many_partitions_whole_ones_are_drawn(lake: Lake) -> None:
    schema = pa.schema([("day", pa.int32()), ("at", pa.int64())])
    table = lake.create("demo.t", schema, partition=[("day", "identity")])
    day = np.repeat(np.arange(20, dtype=np.int32), 100)
    lake.append(table, pa.table({"day": day, "at": np.arange(2000)}, schema))
    sample = draw_sample(scan_of("lake.demo.t"), budget_bytes=10**9, max_rows=600)
    assert sorted(np.unique(sample.rows["day"], return_counts=True)[1].tolist()) == [100] * 6


def test_deleted_rows_are_not_sampled(lake: Lake) -> None:
    for _ in appended(lake, "demo.t", commits=3, rows=100):
        pass
    table = lake.load("demo.t")
    table.delete("at < 150")
    sample = draw_sample(scan_of("lake.demo.t"), budget_bytes=10**9)
    assert sorted(sample.rows["at"].to_pylist()) == list(range(150, 300))


def test_an_empty_table(lake: Lake) -> None:
    lake.create("demo.t", pa.schema([("at", pa.int64())]))
    table = open_table("lake.demo.t")
    from lakeopt.model.scan import files_schema

    sample = draw_sample(table.scan(files_schema().empty_table()), budget_bytes=1000)
    assert (sample.rows.num_rows, sample.whole, sample.scale) == (0, True, 1.0)
    assert sample.rows.column_names == ["at"]


def test_the_same_table_gives_the_same_sample(lake: Lake) -> None:
    list(appended(lake, "demo.t", commits=20, rows=60))
    scan = scan_of("lake.demo.t")
    first, second = (draw_sample(scan, budget_bytes=10**9, max_rows=300, threads=n).rows for n in (1, 2))
    assert first.equals(second)
