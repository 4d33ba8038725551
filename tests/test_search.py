"""The search decides from measured bytes alone: planted orders are found, time is respected, runs repeat."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.layout.search import MIN_GAIN, MeasuredOrder, Order, search

COLUMNS = [f"c{number}" for number in range(20)]


def planted(best: Order, gain: float = 0.1, noise: float = 0.0) -> Callable[[Order, int], int]:
    """Bytes fall by ``gain`` with every column that an order shares with the best one in the same place."""

    def cost(order: Order, rows: int) -> int:
        shared = next((n for n, pair in enumerate(zip(order, best, strict=False)) if pair[0] != pair[1]), None)
        shared = min(len(order), len(best)) if shared is None else shared
        wobble = random.Random(f"{order}{rows}").uniform(-noise, noise) if order else 0
        return round(1_000_000 * (1 - gain * shared + 0.001 * (len(order) - shared) + wobble))

    return cost


@given(st.permutations(COLUMNS), st.integers(1, 4), st.booleans())
def test_a_planted_order_is_found(columns: list[str], depth: int, noisy: bool) -> None:
    best = tuple(columns[:depth])
    cost = planted(best, noise=0.0005 if noisy else 0.0)
    # Beyond the first column the planted order lies in the shortlist: among the cheapest or lowest of cardinality.
    shown = list(dict.fromkeys([*best[1:], *COLUMNS]))
    result = search(shown, cost, lambda: False, trial_rows=100, verify_rows=1000)
    assert result.best is not None
    assert result.best.order[:depth] == best
    assert result.complete
    assert result.best.rows == 1000


def test_a_pair_of_which_neither_half_gains_is_found_behind_the_cheapest() -> None:
    def cost(order: Order, rows: int) -> int:
        return 70 if order[:2] == ("c1", "c2") else 100

    result = search(["c1", "c2", "c3"], cost, lambda: False, trial_rows=1, verify_rows=1)
    assert result.best is not None
    assert result.best.order == ("c1", "c2")


def test_below_two_percent_the_table_is_left_alone() -> None:
    def cost(order: Order, rows: int) -> int:
        return 1000 if not order else 981

    result = search(COLUMNS, cost, lambda: False, trial_rows=1, verify_rows=1)
    assert result.best is None
    assert result.ranked[0].ratio == pytest.approx(0.981)
    assert MIN_GAIN == 0.02


def test_what_was_promising_on_few_rows_is_believed_only_on_many() -> None:
    def cost(order: Order, rows: int) -> int:
        if order[:1] == ("c3",):
            return 500 if rows == 10 else 1000
        return 700 if order else 1000

    result = search(["c1", "c2", "c3"], cost, lambda: False, trial_rows=10, verify_rows=100, wanted=[("c1",)])
    assert result.best is not None
    assert result.best.order[0] != "c3"
    assert result.best.ratio == pytest.approx(0.7)


def test_wanted_orders_are_measured_and_verified() -> None:
    result = search(
        COLUMNS, planted(("c1", "c2")), lambda: False, trial_rows=1, verify_rows=2, wanted=[("c19",), ("c18", "c17")]
    )
    verified = {entry.order for entry in result.ranked if entry.rows == 2}
    assert {("c19",), ("c18", "c17")} <= verified
    assert any(order[:3] == ("c19", "c1", "c2") for order in verified)


@given(st.integers(0, 120))
def test_time_is_respected(allowed: int) -> None:
    measured: list[tuple[Order, int]] = []
    asked = 0

    def out_of_time() -> bool:
        nonlocal asked
        asked += 1
        return asked > allowed

    def cost(order: Order, rows: int) -> int:
        measured.append((order, rows))
        return planted(("c1", "c2", "c3"))(order, rows)

    result = search(COLUMNS, cost, out_of_time, trial_rows=10, verify_rows=100)
    baselines = sum(1 for order, _ in measured if not order)
    assert len(measured) - baselines <= allowed
    assert baselines <= 2
    assert result.trials == len(measured)
    assert not result.complete or allowed >= len(measured) - baselines


@given(st.randoms(use_true_random=False))
def test_the_same_figures_give_the_same_result(source: random.Random) -> None:
    seed = source.random()

    def cost(order: Order, rows: int) -> int:
        return 1000 + random.Random(f"{seed}{order}").randrange(-100, 100) if order else 1000

    first, second = (search(COLUMNS, cost, lambda: False, trial_rows=1, verify_rows=5) for _ in range(2))
    assert first == second
    assert sum(1 for entry in first.ranked if entry.rows == 5) == 5
    verified = [entry.ratio for entry in first.ranked if entry.rows == 5]
    assert verified == sorted(verified)
    assert len({entry.order for entry in first.ranked}) == len(first.ranked)


def test_no_columns_and_no_bytes() -> None:
    result = search([], lambda order, rows: 0, lambda: False, trial_rows=1, verify_rows=5)
    assert (result.ranked, result.best, result.complete) == ((), None, True)
    assert MeasuredOrder(("a",), 0, 0, 0).ratio == 1.0
