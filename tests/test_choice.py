"""Which measured order is taken for which goal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.layout.choice import NEARLY_SMALLEST, Option, choose
from lakeopt.layout.search import MIN_GAIN
from lakeopt.model.plan import Goal

ratios = st.floats(0.1, 1.5)
options = st.lists(st.builds(Option, ratios, st.floats(0.001, 1.0)), max_size=8)


@given(options, st.floats(0.001, 1.0))
def test_storage_takes_the_smallest_that_gains(found: list[Option], arrival: float) -> None:
    chosen = choose(found, arrival, "storage")
    smallest = min((option.bytes_ratio for option in found), default=1.0)
    if smallest <= 1 - MIN_GAIN:
        assert chosen is not None
        assert found[chosen].bytes_ratio == smallest
    else:
        assert chosen is None


@given(options, st.floats(0.001, 1.0))
def test_balanced_prunes_best_among_the_nearly_smallest(found: list[Option], arrival: float) -> None:
    chosen = choose(found, arrival, "balanced")
    if chosen is None:
        return
    limit = min(1.0, *(option.bytes_ratio for option in found)) * (1 + NEARLY_SMALLEST)
    near = [option for option in found if option.bytes_ratio <= limit]
    if near:
        assert found[chosen] in near
        assert found[chosen].scanned_ratio == min(option.scanned_ratio or 0 for option in near)


@given(options, st.floats(0.001, 1.0))
def test_reads_takes_the_fewest_bytes_read(found: list[Option], arrival: float) -> None:
    chosen = choose(found, arrival, "reads")
    fewest = min((option.read_ratio for option in found), default=1.0)
    if chosen is None:
        assert fewest > arrival * (1 - MIN_GAIN)
    else:
        assert found[chosen].read_ratio == fewest


@pytest.mark.parametrize("goal", ["storage", "reads", "balanced"])
def test_nothing_measured_nothing_chosen(goal: Goal) -> None:
    assert choose([], 1.0, goal) is None
