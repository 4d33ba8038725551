"""PV buckets: even where values can be spread, never more than asked for, light values whole where that is even."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.layout.pv_buckets import SNAP, Cut, cuts

WEIGHTS = st.lists(st.integers(0, 1000), max_size=60)


def bucket_weights(weights: list[int], found: list[Cut]) -> list[float]:
    ends = np.cumsum([0, *weights])
    at = [ends[cut.value] + cut.share * weights[cut.value] for cut in found]
    return [float(size) for size in np.diff([0, *at, ends[-1]])]


@given(WEIGHTS, st.integers(1, 40))
def test_buckets_are_even_where_every_value_can_be_spread(weights: list[int], buckets: int) -> None:
    found = cuts(weights, buckets)
    step = sum(weights) / buckets
    assert (
        all(
            step * (1 - 2 * SNAP) - 1e-6 <= size <= step * (1 + 2 * SNAP) + 1e-6
            for size in bucket_weights(weights, found)
        )
        or not step
    )
    assert len(found) == (buckets - 1 if step else 0)


@given(WEIGHTS, st.integers(1, 40), st.data())
def test_what_cannot_be_spread_is_never_cut(weights: list[int], buckets: int, data: st.DataObject) -> None:
    spread = data.draw(st.lists(st.booleans(), min_size=len(weights), max_size=len(weights)))
    found = cuts(weights, buckets, spread=spread)
    assert found == sorted(found, key=lambda cut: (cut.value, cut.share))
    assert len(set(found)) == len(found)
    assert len(found) < buckets
    assert all(cut.share == 0 or spread[cut.value] for cut in found)
    assert all(0 <= cut.value < len(weights) and 0 <= cut.share < 1 for cut in found)


def test_a_zipf_of_events_fills_buckets_within_a_tenth() -> None:
    weights = [int(1e7 / rank) for rank in range(1, 2000)]
    np.random.default_rng(1).shuffle(weights)
    sizes = bucket_weights(weights, cuts(weights, 64))
    assert max(sizes) <= 1.1 * np.mean(sizes)
    light = [cut for cut in cuts(weights, 64) if cut.share and weights[cut.value] < sum(weights) / 64 * SNAP]
    assert not light


def test_no_bucket_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        cuts([1], 0)
