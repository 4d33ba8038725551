"""The search decides from measured bytes alone: planted orders are found, time is respected, runs repeat."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeopt.layout.measured import MeasuredOrder
from lakeopt.layout.search import MIN_GAIN, SearchResult, TrialRows, search
from lakeopt.model.row_order import ARRIVAL, RowOrder

COLUMNS = [f"c{number}" for number in range(20)]
ROWS = TrialRows(10, 100, 1000)
Cost = Callable[[RowOrder, int], float]


class Figures:
    """Trials whose figures are made up; ``measured`` holds what was asked for."""

    def __init__(self, cost: Cost) -> None:
        self.cost = cost
        self.measured: list[tuple[RowOrder, int]] = []

    def costs(self, orders: Sequence[RowOrder], rows: int, out_of_time: Callable[[], bool]) -> list[int | None]:
        return [None if out_of_time() else self._measure(order, rows) for order in orders]

    def _measure(self, order: RowOrder, rows: int) -> int:
        self.measured.append((order, rows))
        return round(self.cost(order, rows))

    def column_bytes(self, order: RowOrder, rows: int) -> Mapping[str, int]:
        return {name: 1000 - number for number, name in enumerate(COLUMNS)}

    def narrow_encodings(self) -> None:
        pass


def found(cost: Cost, columns: Sequence[str] = COLUMNS, **asked: object) -> SearchResult:
    return search(columns, Figures(cost), ROWS, **asked)  # type: ignore[arg-type]


def planted(best: tuple[str, ...], gain: float = 0.1, noise: float = 0.0) -> Cost:
    """Bytes fall by ``gain`` with every column that an order shares with the best one in the same place."""

    def cost(order: RowOrder, rows: int) -> float:
        pairs = zip(order.columns, best, strict=False)
        shared = next((n for n, pair in enumerate(pairs) if pair[0] != pair[1]), None)
        shared = min(len(order.columns), len(best)) if shared is None else shared
        wobble = random.Random(f"{order}{rows}").uniform(-noise, noise) if order.columns else 0
        return 1_000_000 * (1 - gain * shared + 0.001 * (len(order.columns) - shared) + wobble)

    return cost


@settings(deadline=None, max_examples=50)
@given(st.permutations(COLUMNS), st.integers(1, 4), st.booleans())
def test_a_planted_order_is_found(columns: list[str], depth: int, noisy: bool) -> None:
    best = tuple(columns[:depth])
    # Beyond the first column the planted order lies in the shortlist: among the cheapest or lowest of cardinality.
    shown = list(dict.fromkeys([*best[1:], *COLUMNS]))
    result = found(planted(best, noise=0.0002 if noisy else 0.0), shown)
    assert result.best is not None
    assert result.best.order.columns[:depth] == best
    assert result.complete
    assert result.best.rows == ROWS.verify


def test_a_pair_of_which_neither_half_gains_is_found_behind_the_cheapest() -> None:
    result = found(lambda order, rows: 70 if order.columns[:2] == ("c1", "c2") else 100, ["c1", "c2", "c3"])
    assert result.best is not None
    assert result.best.order.columns == ("c1", "c2")


def test_all_columns_by_ascending_cardinality_are_tried() -> None:
    result = found(lambda order, rows: 60 if order.columns == tuple(COLUMNS) else 100)
    assert result.best is not None
    assert result.best.order.columns == tuple(COLUMNS)


def test_each_block_size_is_searched_on_its_own() -> None:
    """Inside blocks a column leads to a pair; nothing gains over the whole table."""

    def cost(order: RowOrder, rows: int) -> float:
        if order.block_rows is None:
            return 10_000 + len(order.columns)
        gains = 100 * (order.columns[0] == "c2") + 1_900 * (order.columns[:2] == ("c2", "c5"))
        return {64: 8_100, 256: 8_000}[order.block_rows] - gains

    result = found(cost, COLUMNS[:8], blocks=(64, 256))
    assert result.best is not None
    assert result.best.order == RowOrder(("c2", "c5"), 256)
    assert {entry.order.block_rows for entry in result.ranked if entry.rows == ROWS.verify} >= {64, 256}


def test_a_column_that_was_put_too_far_behind_is_moved_forward() -> None:
    """No growth leads from the pair to this order: only moving its last column to the front does."""
    steps = {("c3",): 90, ("c3", "c2"): 85, ("c3", "c2", "c1"): 80, ("c1", "c3", "c2"): 95, ("c3", "c1", "c2"): 60}
    steps[("c3", "c1", "c2", "c0")] = 40
    result = found(lambda order, rows: steps.get(order.columns, 100), ["c0", "c1", "c2", "c3"])
    assert result.best is not None
    assert result.best.ratio <= 0.6


def test_below_two_percent_the_table_is_left_alone() -> None:
    result = found(lambda order, rows: 981 if order.columns else 1000)
    assert result.best is None
    assert result.ranked[0].ratio == pytest.approx(0.981)
    assert MIN_GAIN == 0.02


def test_what_was_promising_on_few_rows_is_believed_only_on_many() -> None:
    def cost(order: RowOrder, rows: int) -> float:
        if order.columns[:1] == ("c3",):
            return 500 if rows < ROWS.verify else 1000
        return 700 if order.columns else 1000

    result = found(cost, ["c1", "c2", "c3"], wanted=[RowOrder(("c1",))])
    assert result.best is not None
    assert result.best.order.columns[0] != "c3"
    assert result.best.ratio == pytest.approx(0.7)


def test_wanted_orders_are_measured_and_verified() -> None:
    wanted = [RowOrder(("c19",)), RowOrder(("c18", "c17"))]
    result = found(planted(("c1", "c2")), wanted=wanted)
    verified = {entry.order for entry in result.ranked if entry.rows == ROWS.verify}
    assert set(wanted) <= verified
    assert any(order.columns[:3] == ("c19", "c1", "c2") for order in verified)


@settings(deadline=None)
@given(st.integers(0, 400))
def test_time_is_respected(allowed: int) -> None:
    asked = 0

    def out_of_time(share: float) -> bool:
        nonlocal asked
        asked += 1
        return asked > allowed

    figures = Figures(planted(("c1", "c2", "c3")))
    result = search(COLUMNS, figures, ROWS, out_of_time, blocks=(64,))
    baselines = sum(1 for order, _ in figures.measured if order == ARRIVAL)
    assert len(figures.measured) - baselines <= allowed
    assert baselines <= 3
    assert result.trials == len(figures.measured)
    assert not result.complete or allowed >= len(figures.measured) - baselines


@settings(deadline=None, max_examples=25)
@given(st.randoms(use_true_random=False))
def test_the_same_figures_give_the_same_result(source: random.Random) -> None:
    seed = source.random()

    def cost(order: RowOrder, rows: int) -> float:
        return 1000 + random.Random(f"{seed}{order}").randrange(-100, 100) if order.columns else 1000

    first, second = (found(cost, blocks=(64, 256)) for _ in range(2))
    assert first == second
    verified = [entry.ratio for entry in first.ranked if entry.rows == ROWS.verify]
    assert verified
    assert verified == sorted(verified)
    assert len({entry.order for entry in first.ranked}) == len(first.ranked)


@settings(deadline=None, max_examples=25)
@given(st.randoms(use_true_random=False))
def test_nothing_measured_beats_what_is_ranked_first(source: random.Random) -> None:
    seed = source.random()
    figures = Figures(lambda order, rows: random.Random(f"{seed}{order}{rows}").randrange(500, 1000))
    result = search(COLUMNS[:6], figures, ROWS, blocks=(64,))
    verified = [figures.cost(order, rows) for order, rows in figures.measured if rows == ROWS.verify and order.columns]
    assert result.ranked[0].bytes == min(verified)


def test_no_columns_and_no_bytes() -> None:
    result = found(lambda order, rows: 0, [])
    assert (result.ranked, result.best, result.complete) == ((), None, True)
    assert MeasuredOrder(ARRIVAL, 0, 0, 0).ratio == 1.0
