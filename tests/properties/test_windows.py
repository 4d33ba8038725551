"""Windows of an order hold exactly the rows that sorting everything puts there."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeopt.analysis import windows
from lakeopt.analysis.rank_codes import RankCodes, rank_codes, sorted_rows
from lakeopt.analysis.text_ranks import text_ranks
from lakeopt.analysis.windows import WindowedRows


def column(draw: np.random.Generator, count: int, values: int) -> RankCodes:
    return rank_codes(pa.chunked_array([pa.array(draw.integers(0, values, count))]))


@settings(deadline=None)
@given(st.data(), st.integers(1, 400), st.integers(0, 2**32), st.sampled_from([0, 2_000, 10**9]))
def test_windows_are_slices_of_the_sorted_rows(data: st.DataObject, count: int, seed: int, kept_bytes: int) -> None:
    draw = np.random.default_rng(seed)
    sizes = data.draw(st.lists(st.sampled_from([1, 2, 3, 10, 300]), min_size=1, max_size=4))
    keys = [(f"c{number}", column(draw, count, values)) for number, values in enumerate(sizes)]
    found = WindowedRows(count, kept_bytes=kept_bytes)
    for _ in range(2):
        cuts = sorted(data.draw(st.lists(st.integers(0, count), min_size=2, max_size=8, unique=True)))
        places = list(zip(cuts[::2], cuts[1::2], strict=False))
        for depth in range(len(keys) + 1):
            order = sorted_rows([codes for _, codes in keys[:depth]], count)
            expected = np.concatenate([order[start:end] for start, end in places])
            assert found.rows(keys[:depth], places).tolist() == expected.tolist()


def test_columns_of_more_values_than_cells_are_narrowed_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_CELLS", 16)
    monkeypatch.setattr(windows, "_ENOUGH", 8)
    draw = np.random.default_rng(1)
    keys = [(name, column(draw, 3_000, values)) for name, values in (("a", 3), ("b", 1_000), ("c", 3_000))]
    order = sorted_rows([codes for _, codes in keys], 3_000)
    places = [(100, 130), (131, 140), (2_000, 2_050)]
    expected = np.concatenate([order[start:end] for start, end in places])
    found = WindowedRows(3_000, kept_bytes=10**6)
    assert found.rows(keys, places).tolist() == expected.tolist()
    assert found.rows(keys, places).tolist() == expected.tolist()


@settings(deadline=None)
@given(st.lists(st.text("ab\0é🦆", max_size=30), max_size=60), st.text(max_size=9), st.integers(0, 3))
def test_text_ranks_are_those_of_the_bytes(values: list[str], prefix: str, cut: int) -> None:
    values = [prefix + value for value in values]
    ordered = sorted({value.encode() for value in values[cut:]})
    for kind in (pa.string(), pa.large_string()):
        ranks, different = text_ranks(pa.array(values, kind).slice(cut))
        assert ranks.tolist() == [ordered.index(value.encode()) for value in values[cut:]]
        assert different == len(ordered)


def test_many_different_texts_with_nulls_are_ranked_as_few_are() -> None:
    """Above 100,000 rows another way is taken; its codes must mean the same."""
    draw = np.random.default_rng(5)
    text = [None if n % 97 == 0 else f"item {n * 7919 % 1_000_003:07d}" for n in draw.integers(0, 10**9, 120_000)]
    found = rank_codes(pa.chunked_array([pa.array(text)]))
    ordered = {value: place for place, value in enumerate(sorted({v for v in text if v is not None}), 1)}
    assert found.has_nulls
    assert found.cardinality == len(ordered) + 1
    assert found.codes.tolist() == [0 if value is None else ordered[value] for value in text]
