"""Search for the sort key that makes a table smallest, with every key judged by what it was measured to take.

Single columns first; then pairs of the best few with the rest of a shortlist; then the best pairs grow one column
at a time, at either end, as long as that pays. The winners are measured again on more rows before one is believed.
Closed formulas over cardinality, width and correlation choose worse than no reordering at all on real tables,
which is why nothing here looks at the columns themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Order = tuple[str, ...]

#: An order must save this share of arrival order's bytes, or the table is better left alone.
MIN_GAIN = 0.02
#: A longer key must save this share of the shorter one's bytes.
MIN_STEP = 0.002
#: Shortlist: the cheapest single columns, and those of lowest cardinality, which lead well.
CHEAPEST, LOWEST = 8, 3
#: How many of the best are extended at each step, and how many are verified.
PAIR_STARTS, BEAM, VERIFIED = 3, 2, 5


@dataclass(frozen=True, slots=True)
class MeasuredOrder:
    """An order, the bytes it takes and the bytes of arrival order, both judged on so many rows."""

    order: Order
    bytes: int
    arrival_bytes: int
    rows: int

    @property
    def ratio(self) -> float:
        """Bytes relative to arrival order; below 1 is smaller. An empty table has ratio 1."""
        return self.bytes / self.arrival_bytes if self.arrival_bytes else 1.0


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Every order that was measured, best first; those verified on more rows come before the others.

    ``complete`` is false where time ran out before the search or the verification was through.
    """

    ranked: tuple[MeasuredOrder, ...]
    trials: int
    complete: bool

    @property
    def best(self) -> MeasuredOrder | None:
        """The smallest order, or None where none is smaller than arrival order by :data:`MIN_GAIN`."""
        return self.ranked[0] if self.ranked and self.ranked[0].ratio <= 1 - MIN_GAIN else None


def search(
    columns: Sequence[str],
    cost: Callable[[Order, int], int],
    out_of_time: Callable[[], bool],
    *,
    trial_rows: int,
    verify_rows: int,
    wanted: Sequence[Order] = (),
    max_depth: int = 4,
) -> SearchResult:
    """Measure orders and rank them.

    ``columns`` are the possible key columns by ascending cardinality. ``cost(order, rows)`` gives the bytes of
    an order (``()`` is arrival order) judged on about that many rows, and must be deterministic.
    ``out_of_time`` is asked before each trial. ``wanted`` orders are measured and verified whatever they take,
    also in front of the best order found (a workload's filtered columns, say).

    >>> bytes_of = {(): 100, ("a",): 60, ("b",): 90}
    >>> result = search(["a", "b"], lambda o, rows: bytes_of.get(o, 95), lambda: False, trial_rows=1, verify_rows=1)
    >>> result.best.order, result.best.ratio
    (('a',), 0.6)
    """
    trials = _Trials(cost, out_of_time, trial_rows)
    trials.measure(wanted)
    singles = trials.measure((name,) for name in columns)
    shortlist = list(dict.fromkeys([order[0] for _, order in singles[:CHEAPEST]] + list(columns[:LOWEST])))
    beam = [order for _, order in singles[:PAIR_STARTS]]
    while beam and len(beam[0]) < max_depth:
        grown = trials.measure(new for order in beam for new in _extensions(order, shortlist, order == beam[0]))
        if not grown or grown[0][0] > trials.bytes[beam[0]] * (1 - MIN_STEP):
            break
        beam = [order for _, order in grown[:BEAM]]
    best = trials.ranked()[:1]
    asked = [*wanted, *(_joined(lead, order) for lead in wanted for _, order in best)]
    trials.measure(asked)
    return _verified(trials, [order for order in asked if order in trials.bytes], verify_rows)


class _Trials:
    """Orders measured on one number of rows, each once, until time runs out."""

    def __init__(self, cost: Callable[[Order, int], int], out_of_time: Callable[[], bool], rows: int) -> None:
        self.cost, self.out_of_time, self.rows = cost, out_of_time, rows
        self.arrival = cost((), rows)
        self.bytes: dict[Order, int] = {}
        self.count = 1
        self.complete = True

    def measure(self, orders: Iterable[Order]) -> list[tuple[int, Order]]:
        """Bytes of each order, cheapest first; those that time did not allow are missing."""
        wanted = list(dict.fromkeys(order for order in orders if order))
        for order in wanted:
            if order in self.bytes:
                continue
            if self.out_of_time():
                self.complete = False
                break
            self.bytes[order] = self.cost(order, self.rows)
            self.count += 1
        return self._sorted(order for order in wanted if order in self.bytes)

    def ranked(self) -> list[tuple[int, Order]]:
        return self._sorted(self.bytes)

    def _sorted(self, orders: Iterable[Order]) -> list[tuple[int, Order]]:
        """Cheapest first; of equal ones the shorter key, then the one that was tried first."""
        return sorted(((self.bytes[order], order) for order in orders), key=lambda pair: (pair[0], len(pair[1])))


def _extensions(order: Order, shortlist: Sequence[str], is_best: bool) -> Iterable[Order]:
    """The order with one more column: behind or, as long as it is short or the best, in front or before the last."""
    for name in shortlist:
        if name not in order:
            yield (*order, name)
            if is_best or len(order) == 1:
                yield (name, *order)
            if is_best and len(order) > 1:
                yield (*order[:-1], name, order[-1])


def _joined(lead: Order, order: Order) -> Order:
    return (*lead, *(name for name in order if name not in lead))


def _verified(trials: _Trials, asked: Sequence[Order], verify_rows: int) -> SearchResult:
    ranked = trials.ranked()
    rest = [MeasuredOrder(order, size, trials.arrival, trials.rows) for size, order in ranked]
    if verify_rows <= trials.rows or not ranked or trials.out_of_time():
        complete = trials.complete and (verify_rows <= trials.rows or not ranked)
        return SearchResult(tuple(rest), trials.count, complete)
    finalists = _Trials(trials.cost, trials.out_of_time, verify_rows)
    measured = finalists.measure([*(order for _, order in ranked[:VERIFIED]), *asked])
    proved = [MeasuredOrder(order, size, finalists.arrival, verify_rows) for size, order in measured]
    return SearchResult(
        (*proved, *(entry for entry in rest if entry.order not in finalists.bytes)),
        trials.count + finalists.count,
        trials.complete and finalists.complete,
    )
