"""Rows of a row group or page, and columns with Bloom filters: as queries and measured bytes ask."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.layout import bloom_filters
from lakeopt.layout.bloom_filters import Lookup, filter_bytes
from lakeopt.layout.granularity import TOLERANCE, Run, block_rows, rows_read
from lakeopt.model.scan import WriterOptions
from lakeopt.parquet import bloom_filters as written
from lakeopt.parquet.encode import encode


@given(st.integers(1, 60), st.integers(1, 20), st.integers(3, 9))
def test_a_run_reads_whole_blocks_wherever_it_begins(run: int, size: int, blocks: int) -> None:
    """Against counting, on a table that has no end."""
    touched = [len({row // size for row in range(start, start + run)}) * size for start in range(size)]
    assert rows_read(run, size, 10**9) == pytest.approx(sum(touched) / len(touched))
    assert rows_read(run, size, size * blocks) <= size * blocks


SIZES = st.dictionaries(st.sampled_from([1_000, 10_000, 100_000, 1_000_000]), st.integers(900, 1_200), min_size=1)
RUNS = st.lists(st.builds(Run, st.floats(0.1, 5), st.floats(0, 10**6)), max_size=4)


@given(SIZES, RUNS, st.sampled_from(["storage", "balanced", "reads"]))
def test_the_choice_keeps_the_tolerance_and_no_other_within_it_reads_less(
    stored: dict[int, int], runs: list[Run], goal: str
) -> None:
    chosen, rows = block_rows(stored, runs, 5_000_000, TOLERANCE[goal]), 5_000_000
    most = min(stored.values()) * (1 + TOLERANCE[goal])
    assert stored[chosen] <= most
    for size, held in stored.items():
        if runs and held <= most:
            read = {s: sum(r.weight * rows_read(r.rows, s, rows) for r in runs) * stored[s] for s in (size, chosen)}
            assert read[chosen] <= read[size] * (1 + 1e-9)
    if not runs:
        assert stored[chosen] == min(stored.values())


def test_point_lookups_want_small_blocks_and_scans_large_ones() -> None:
    stored = {10_000: 1_060, 100_000: 1_010, 1_000_000: 1_000}
    assert block_rows(stored, [Run(1, 50)], 10**7, 0.1) == 10_000
    assert block_rows(stored, [Run(1, 50)], 10**7, 0.03) == 100_000
    assert block_rows(stored, [Run(1, 50)], 10**7, 0.0) == 1_000_000
    assert block_rows(stored, [Run(1, 10**7)], 10**7, 0.1) == 1_000_000


def test_only_columns_that_bounds_do_not_serve_and_few_row_groups_hold_get_filters() -> None:
    useful = Lookup("id", 1.0, touched=1.0, holding=0.01, distinct=10_000)
    sorted_by = Lookup("day", 5.0, touched=0.02, holding=0.01, distinct=30)
    everywhere = Lookup("carrier", 5.0, touched=1.0, holding=0.95, distinct=12)
    assert bloom_filters.bloom_filters([sorted_by, everywhere, useful], most_bytes=10**6) == {"id": 10_000}


def test_filters_take_a_bounded_share_the_most_useful_first() -> None:
    lookups = [Lookup(name, weight, 1.0, 0.0, 100_000) for name, weight in (("a", 1.0), ("b", 3.0), ("c", 2.0))]
    room_for_two = 2 * filter_bytes(100_000)
    assert list(bloom_filters.bloom_filters(lookups, most_bytes=room_for_two)) == ["b", "c"]
    assert bloom_filters.bloom_filters(lookups, most_bytes=50) == {}


@pytest.mark.parametrize("distinct", [1, 30, 1_000, 20_000])
def test_a_filter_takes_what_was_reckoned(distinct: int) -> None:
    assert bloom_filters.FALSE_POSITIVES == written.FALSE_POSITIVES
    rows = pa.table({"id": pa.array([n % distinct for n in range(20_000)], pa.int64())})
    part = encode(rows, WriterOptions(bloom_filters={"id": distinct}))
    length = pq.read_metadata(pa.BufferReader(part.data)).row_group(0).column(0).bloom_filter_length
    assert filter_bytes(distinct) // 2 <= length <= filter_bytes(distinct) + 64
