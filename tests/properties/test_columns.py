"""The figures of columns against plain definitions, and what correlation must say of columns whose truth is known."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.analysis.columns import bytes_shares, distribution_of, measure_columns
from lakeopt.analysis.rank_codes import rank_codes
from lakeopt.analysis.value_counts import ValueCounts
from lakeopt.errors import Refused
from lakeopt.model.scan import FIELD_ID, WriterOptions, files_schema

WRITER = WriterOptions(codec="zstd", level=3)


@given(st.lists(st.none() | st.integers(0, 8), max_size=60))
def test_distribution_is_counting(values: list[int | None]) -> None:
    found = distribution_of(rank_codes(pa.chunked_array([pa.array(values, pa.int64())])))
    present = Counter(value for value in values if value is not None)
    rows = present.total()
    assert found.null_fraction == pytest.approx((len(values) - rows) / len(values) if values else 0.0)
    assert found.distinct_count == len(present)
    if not rows:
        assert (found.redundancy, found.group_size, found.skew, found.effective_values) == (None,) * 4
        return
    entropy = -sum(n / rows * math.log2(n / rows) for n in present.values())
    assert found.redundancy == pytest.approx(1 - len(present) / rows)
    assert found.group_size == pytest.approx(rows / len(present))
    assert found.skew == pytest.approx(max(present.values()) / rows)
    assert found.effective_values == pytest.approx(2**entropy)
    assert 1 <= found.effective_values <= len(present) * (1 + 1e-9)


@given(st.lists(st.lists(st.none() | st.sampled_from([-0.0, 0.0, 1.5, math.nan, -math.inf]), max_size=9), max_size=9))
def test_values_counted_in_batches_are_counted_as_at_once(batches: list[list[float | None]]) -> None:
    counts = ValueCounts("x", memory_bytes=10**9)
    for batch in batches:
        counts.add(pa.array(batch, pa.float64()))
    ranks = rank_codes(pa.chunked_array([pa.array(batch, pa.float64()) for batch in batches], pa.float64()))
    at_once = np.bincount(ranks.codes, minlength=ranks.cardinality)[int(ranks.has_nulls) :]
    assert sorted(counts.counts().tolist()) == sorted(at_once.tolist())
    assert counts.nulls == sum(value is None for batch in batches for value in batch)


def test_too_many_values_for_the_memory_are_refused_with_the_column_named() -> None:
    counts = ValueCounts("id", memory_bytes=100_000)
    counts.add(pa.array(range(100_000)))
    with pytest.raises(Refused, match="'id' has more than 100,000 different values") as refused:
        counts.counts()
    assert "LAKEOPT_MEMORY" in str(refused.value.hint)


def known_columns(count: int = 60_000) -> pa.Table:
    """``city`` determines ``country`` and ``pin``; ``coin`` is independent of all; ``one`` is constant."""
    draw = np.random.default_rng(11)
    city = draw.integers(0, 300, count)
    return pa.table(
        {
            "city": city,
            "country": city // 10,
            "pin": city * 7919 % 100_003,
            "coin": draw.integers(0, 4, count),
            "one": np.ones(count, np.int64),
            "tags": pa.array([["x"] * int(number % 3) for number in range(300)]).take(pa.array(city)),
        }
    )


def test_correlation_knows_determined_and_independent_columns() -> None:
    table = known_columns()
    found = measure_columns(table, WRITER, table.column_names, trial_rows=20_000)
    assert found.saved["city"]["country"] > 0.9
    assert found.saved["city"]["pin"] > 0.9
    assert found.saved["city"]["city"] > 0.9
    assert found.saved["pin"]["country"] > 0.9
    assert abs(found.saved["coin"]["city"]) < 0.05
    assert abs(found.saved["city"]["coin"]) < 0.05
    assert found.saved["one"]["city"] == 0
    assert found.correlation("city") is not None
    assert found.correlation("city") > 0.5 > 0.1 > abs(found.correlation("coin") or 0)
    assert "tags" not in found.saved
    assert found.correlation("tags") is None


def test_correlation_is_the_bytes_weighted_mean_of_the_matrix_row() -> None:
    table = known_columns(5_000)
    found = measure_columns(table, WRITER, ["city"], trial_rows=5_000)
    others = {name: width for name, width in found.widths.items() if name != "city"}
    expected = sum(found.saved["city"][name] * width for name, width in others.items()) / sum(others.values())
    assert found.correlation("city") == pytest.approx(expected)


def test_width_is_near_the_entropy_for_random_values() -> None:
    """256 equally frequent values need 8 bits in any order; a constant needs next to nothing."""
    draw = np.random.default_rng(2)
    table = pa.table({"byte": draw.integers(0, 256, 100_000), "one": np.zeros(100_000, np.int64)})
    widths = measure_columns(table, WRITER, [], trial_rows=100_000).widths
    assert widths["byte"] == pytest.approx(1.0, abs=0.1)
    assert widths["one"] < 0.01


def test_arrival_order_gives_no_column_credit() -> None:
    """Rows that arrive sorted by time are shuffled first: the constant column still correlates with nothing."""
    table = pa.table({"at": np.arange(30_000), "one": np.zeros(30_000, np.int64)})
    assert measure_columns(table, WRITER, ["one"], trial_rows=30_000).correlation("one") == pytest.approx(0, abs=0.01)


def test_figures_repeat_for_a_seed() -> None:
    table = known_columns(9_000)
    first, second = (measure_columns(table, WRITER, ["city"], trial_rows=4_000, seed=3) for _ in range(2))
    assert (first.widths, first.saved) == (second.widths, second.saved)


@pytest.mark.parametrize("count", [0, 1, 10])
def test_tiny_tables(count: int) -> None:
    found = measure_columns(known_columns(count), WRITER, ["city", "tags"], trial_rows=100)
    assert set(found.widths) == set(known_columns(0).column_names)
    assert all(math.isfinite(width) for width in found.widths.values())


def files(*sizes: dict[int, int] | None) -> pa.Table:
    rows = [{"column_sizes": None if found is None else list(found.items())} for found in sizes]
    return pa.Table.from_pylist(rows, pa.schema([files_schema().field("column_sizes")]))


def identified(name: str, kind: pa.DataType, number: int) -> pa.Field:
    return pa.field(name, kind, metadata={FIELD_ID: str(number).encode()})


def test_bytes_shares_add_up_leaves_and_files() -> None:
    nested = pa.struct([identified("lat", pa.float64(), 3), identified("lon", pa.float64(), 4)])
    schema = pa.schema([identified("a", pa.int64(), 1), identified("place", nested, 2)])
    shares = bytes_shares(files({1: 10, 3: 20, 4: 30}, {1: 30, 3: 5, 4: 5}), schema)
    assert shares == {"a": 0.4, "place": 0.6}


@pytest.mark.parametrize("sizes", [[], [None], [{1: 10}, None]])
def test_bytes_shares_are_unknown_where_sizes_were_not_kept(sizes: list[dict[int, int] | None]) -> None:
    schema = pa.schema([identified("a", pa.int64(), 1), identified("b", pa.int64(), 2)])
    assert bytes_shares(files(*sizes), schema) is None
