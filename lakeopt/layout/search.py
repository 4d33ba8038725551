"""Search for the row order that makes a table smallest, with every order judged by what it was measured to take.

Single columns first; then many different beginnings grow column by column, of which fewer are followed the longer
they get; then all other columns as a tail, and the same inside arrival blocks, one state a block size, the largest
first. What looks best is measured again on more rows, and the winners on whole row groups before one is believed and
polished. Each phase tries first what is most likely to win, so that a search which is cut short has seen that.
Closed formulas over cardinality, width and correlation choose worse than no reordering at all on real tables,
which is why nothing here looks at the columns themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from lakeopt.layout.measured import MeasuredOrder, OutOfTime, Pool, Trials
from lakeopt.layout.moves import appended, grown, polished, with_tail
from lakeopt.model.row_order import RowOrder

#: An order must save this share of arrival order's bytes, or the table is better left alone.
MIN_GAIN = 0.02
#: A longer key must save this share of the shorter one's bytes.
MIN_STEP = 0.002
#: Columns that keys grow by: the cheapest single ones, and those of lowest cardinality, which lead well.
CHEAPEST, LOWEST = 12, 3
#: Orders that are followed, by the number of their columns, each with another first column if possible.
FOLLOWED = (8, 4, 3, 2, 2)
#: The best of the screened that are measured on more rows, and of these that are verified.
PROMISING, VERIFIED = 8, 3
#: What takes so much more than the best on few rows will not be the best on many; nor will what takes so much more
#: on more rows.
FAR_BEHIND, BEHIND = 1.05, 1.02
#: Block sizes: the columns tried inside them, and how many a key inside blocks may have.
BLOCK_KEYS, BLOCK_DEPTH = 8, 4
#: Columns tried behind what is asked for in front, and how many of them are put there.
LEAD_KEYS, LEAD_DEPTH = 8, 4
#: Orders that are sifted, and the share of them that keys over the whole table may have, by their length from two on.
MOST_SCREENED, GROWTH_SHARES = 200, (0.5, 0.65, 0.72, 0.75)
#: Rows that polish may encode in all, its fewest trials, and the share of the orders sifted that it has at most.
POLISH_ROWS, POLISH_TRIALS, POLISH_SHARE = 4_000_000, 12, 0.2
#: A polished order must save this share, and one is polished only where the best has half of what it needs to win.
POLISH_STEP, WORTH_POLISH = 0.0005, 1 - MIN_GAIN / 2
#: Shares of the time after which a phase gives way to the next; verification and the rest have what is left.
SINGLES, GROWTH, TAILS, BLOCKS, PROMOTION, POLISH, VERIFICATION = 0.3, 0.42, 0.46, 0.62, 0.7, 0.8, 0.9


@dataclass(frozen=True, slots=True)
class TrialRows:
    """Rows that orders are judged on: to be sifted, to be compared, to be believed."""

    screen: int
    trial: int
    verify: int


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
    trials: Trials,
    rows: TrialRows,
    out_of_time: OutOfTime = lambda share: False,
    *,
    most: int = MOST_SCREENED,
    blocks: Sequence[int] = (),
    wanted: Sequence[RowOrder] = (),
) -> SearchResult:
    """Measure orders and rank them.

    ``columns`` are the possible key columns by ascending cardinality, ``blocks`` the sizes of arrival blocks to sort
    in. About ``most`` orders are sifted on few rows. ``out_of_time(share)`` is asked before each trial whether that
    share of the time is over. ``wanted`` orders are measured and verified whatever they take, also in front of the
    best order found and of the best that begins with them (a workload's filtered columns, say).
    """
    found = _Search(columns, trials, rows, out_of_time, most)
    found.grow(wanted)
    found.follow(wanted)
    found.sort_in_blocks(blocks)
    return found.verified(wanted)


class _Search:
    def __init__(
        self, columns: Sequence[str], trials: Trials, rows: TrialRows, out_of_time: OutOfTime, most: int
    ) -> None:
        self.columns, self.trials, self.rows, self._out_of_time, self._most = columns, trials, rows, out_of_time, most
        self.screen = Pool(trials, rows.screen)
        self.pools = {rows.screen: self.screen}
        self.keys: list[str] = []

    def pool(self, rows: int) -> Pool:
        if rows not in self.pools:
            self.pools[rows] = Pool(self.trials, rows)
        return self.pools[rows]

    def until(self, share: float) -> Callable[[], bool]:
        return lambda: self._out_of_time(share)

    def within(self, share: float, orders: Sequence[RowOrder]) -> Sequence[RowOrder]:
        """As many of the orders as this share of what may be sifted allows: one is never too many."""
        return orders[: max(1, round(share * self._most) - self.screen.count)]

    def grow(self, wanted: Iterable[RowOrder]) -> None:
        """Single columns, then longer keys, then keys of all columns."""
        self.screen.measure(wanted, self.until(SINGLES))
        singles = self.screen.measure([RowOrder((name,)) for name in self.columns], self.until(SINGLES))
        self.trials.narrow_encodings()
        cheapest = [order.columns[0] for order in singles]
        self.keys = list(dict.fromkeys([*cheapest[:CHEAPEST], *self.columns[:LOWEST]]))
        followed = _different(singles, FOLLOWED[0])
        partners = _partners(cheapest, self.columns, self.keys)
        for width, share in zip(FOLLOWED[1:], GROWTH_SHARES, strict=True):
            best = self.screen.ranked()[:1]
            new = _by_promise([appended(order, partners) for order in followed])
            new += [o for order in followed[:2] for o in grown(order, partners) if o not in new]
            followed = _different(self.screen.measure(self.within(share, new), self.until(GROWTH)), width)
            if not followed or self.screen.bytes[followed[0]] > self.screen.bytes[best[0]] * (1 - MIN_STEP):
                break
        tails = [with_tail(order, self.columns) for order in [*self.screen.ranked()[:2], RowOrder()]]
        self.screen.measure(tails, self.until(TAILS))

    def follow(self, leads: Sequence[RowOrder]) -> None:
        """The best that begins as each lead does, step by step: what is asked for in front need not lead the best."""
        for lead in leads:
            for _ in range(LEAD_DEPTH):
                begun = [order for order in self.screen.ranked() if _begins(order, lead)]
                if not begun:
                    break
                new = [*appended(begun[0], self.keys[:LEAD_KEYS]), with_tail(begun[0], self.columns)]
                found = self.screen.measure(new, self.until(TAILS))
                if not found or self.screen.bytes[found[0]] > self.screen.bytes[begun[0]] * (1 - MIN_STEP):
                    break

    def sort_in_blocks(self, sizes: Sequence[int]) -> None:
        """Each block size on its own: what is good inside a block differs from what is good over the whole table.

        The largest first, since row groups then hold what they hold in arrival order; a size that begins far behind
        the others is left.
        """
        best = [order for order in self.screen.ranked() if order.block_rows is None][:3]
        starts = best[:1] + [RowOrder((name,)) for name in self.keys[: BLOCK_KEYS // 2]] + best[1:]
        begun = float("inf")
        for number, size in enumerate(sorted(sizes, reverse=True), 1):
            share = GROWTH_SHARES[-1] + (1 - GROWTH_SHARES[-1]) * number / len(sizes)
            inside = self.screen.measure([replace(order, block_rows=size) for order in starts], self.until(BLOCKS))
            begun = min([begun, *(self.screen.bytes[order] for order in inside[:1])])
            near = inside and self.screen.bytes[inside[0]] <= FAR_BEHIND * begun
            for _ in range(BLOCK_DEPTH if near else 0):
                state = inside[0]
                new = [*appended(state, self.keys[:BLOCK_KEYS]), *_in_front(state, self.keys[:BLOCK_KEYS])]
                inside = self.screen.measure(self.within(share, new), self.until(BLOCKS))
                if not inside or self.screen.bytes[inside[0]] > self.screen.bytes[state] * (1 - MIN_STEP):
                    break

    def verified(self, wanted: Sequence[RowOrder]) -> SearchResult:
        """The most promising measured again, the best of these on whole row groups, and the best of all polished."""
        if not self.screen.bytes:
            return self.result()
        best = self.screen.ranked()[0]
        asked = [*wanted, *(replace(best, columns=_joined(lead.columns, best.columns)) for lead in wanted)]
        begun = [[order for order in self.screen.ranked() if _begins(order, lead)] for lead in wanted]
        asked += [order for orders in begun for order in orders[:1]]
        late = self.until(PROMOTION)
        if not late():
            middle = self.pool(self.rows.trial)
            middle.measure([*self._best(self.screen, PROMISING, FAR_BEHIND), *asked], late)
        middle = self.pools.get(self.rows.trial, self.screen)
        if not self.until(VERIFICATION)():
            last = self.pool(self.rows.verify)
            last.measure([*self._best(middle, VERIFIED, BEHIND), *asked], self.until(VERIFICATION))
            self.polish(last)
        return self.result()

    def _best(self, pool: Pool, count: int, behind: float) -> list[RowOrder]:
        """The cheapest and, where it is another, the cheapest of a block size, none that is so far behind."""
        ranked = pool.ranked()
        near = [order for order in ranked if pool.bytes[order] <= pool.bytes[ranked[0]] * behind]
        first = {order.block_rows: order for order in reversed(near)}
        chosen = dict.fromkeys([*near[:count], *(order for order in near if order in first.values())])
        return list(chosen)[: count + 1]

    def polish(self, verified: Pool) -> None:
        """Move columns of the best verified order as long as one move in a round makes it smaller, on few rows.

        What comes of it is verified if more rows agree.
        """
        if not verified.bytes or verified.measured(verified.ranked()[0]).ratio > WORTH_POLISH:
            return
        pool, start = self.screen, verified.ranked()[0]
        best = next(iter(pool.measure([start], self.until(POLISH))), None)
        allowed = POLISH_ROWS // max(1, self.rows.screen)
        left = max(POLISH_TRIALS, min(allowed, round(POLISH_SHARE * self._most)))
        while best is not None and left > 0 and not self._out_of_time(POLISH):
            new = polished(best, self.trials.column_bytes(best, pool.rows), self.columns)
            better = None
            for place in range(0, len(new), 4):
                tried = pool.measure(new[place : place + 4], self.until(POLISH))
                left -= 4
                if tried and pool.bytes[tried[0]] < pool.bytes[best] * (1 - POLISH_STEP):
                    better = tried[0]
                if better or left <= 0 or self._out_of_time(POLISH):
                    break
            if better is None:
                break
            best = better
        if best is not None and best != start:
            compared = self.pool(self.rows.trial).measure([start, best], self.until(VERIFICATION))
            verified.measure(compared[:1], self.until(VERIFICATION))

    def result(self) -> SearchResult:
        ranked: dict[RowOrder, MeasuredOrder] = {}
        for rows in sorted(self.pools, reverse=True):
            pool = self.pools[rows]
            for order in pool.ranked():
                ranked.setdefault(order, pool.measured(order))
        pools = self.pools.values()
        through = not self.screen.bytes or self.rows.verify in self.pools
        complete = all(pool.complete for pool in pools) and through and not self._out_of_time(1.0)
        return SearchResult(tuple(ranked.values()), sum(pool.count for pool in pools), complete)


def _different(ranked: Sequence[RowOrder], count: int) -> list[RowOrder]:
    """The best order, and the best of each other first column, filled up with the next best."""
    first: dict[str, RowOrder] = {}
    for order in ranked:
        first.setdefault(order.columns[0], order)
    chosen = list(first.values())[:count]
    return chosen + [order for order in ranked if order not in chosen][: count - len(chosen)]


def _partners(cheapest: Sequence[str], ascending: Sequence[str], keys: Sequence[str]) -> list[str]:
    """The keys in the order in which they are tried behind another: cheap ones and those of low cardinality in turn."""
    in_turn = dict.fromkeys(name for pair in zip_longest(cheapest, ascending) for name in pair)
    return [name for name in in_turn if name in keys]


def _by_promise(grown_from: Sequence[Sequence[RowOrder]]) -> list[RowOrder]:
    """Orders by the ranks of what they grew from and of what was added, summed: one that is cut short is wide."""
    ranked = [(2 * start + place, order) for start, grew in enumerate(grown_from) for place, order in enumerate(grew)]
    return list(dict.fromkeys(order for _, order in sorted(ranked, key=lambda pair: pair[0])))


def _begins(order: RowOrder, lead: RowOrder) -> bool:
    return order.block_rows is None and order.columns[: len(lead.columns)] == lead.columns


def _in_front(order: RowOrder, columns: Iterable[str]) -> list[RowOrder]:
    return [replace(order, columns=(name, *order.columns)) for name in columns if name not in order.columns]


def _joined(lead: tuple[str, ...], columns: tuple[str, ...]) -> tuple[str, ...]:
    return (*lead, *(name for name in columns if name not in lead))
