"""The search for a layout over rows in memory: what it tries, on how many rows, and how it ends within its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from lakeopt.analysis.rank_codes import Unsigned
from lakeopt.analysis.trial import MIN_WINDOW, WINDOWS, Trial, window_rows
from lakeopt.layout.search import MOST_SCREENED, SearchResult, TrialRows, search
from lakeopt.layout.shortlist import MAX_KEYS, shortlist
from lakeopt.model.row_order import ARRIVAL, RowOrder
from lakeopt.model.scan import WriterOptions

#: Bytes in memory of the windows that sift orders, and of those that compare them.
SCREEN_BYTES, TRIAL_BYTES = 3_000_000, 8_000_000
#: Compression level of trials, at most.
TRIAL_LEVEL = 3
#: Rows of arrival blocks; a row group is the largest.
BLOCKS = (65_536, 262_144, 1_048_576)
#: Blocks are tried where the rows fill so many.
_MORE_THAN_A_BLOCK = 1.5
#: Rows that sifting may look at in all, and the fewest orders that it sifts: each is a pass over the rows.
_PASSED_ROWS, _FEWEST = 900_000_000, 100
#: Columns that sifting may encode in all, and the fewest orders of a very wide table: a column has a price of its own.
_ENCODED_COLUMNS, _FEWEST_WIDE = 40_000, 20
#: Share of the time after which no more columns are ranked.
_RANKING = 0.45
#: Trials that have to fit in the time allowed, and those on a row group, which have this share of the time.
_TRIALS, _LARGE_TRIALS, _LARGE_SHARE = 120, 6, 0.4


@dataclass(frozen=True, slots=True)
class Tuned:
    """An order with its writer: the encoding of each column that is smallest in it, and the bytes it comes to."""

    order: RowOrder
    writer: WriterOptions
    bytes: int


class LayoutSearch:
    """Searches the orders of one sample. ``encodings`` are those that may be written.

    ``time_budget`` is in seconds, counted from ``started``. Orders are compared at a low compression level,
    since a high one costs several times as much and ranks them alike; what is chosen is measured at its own.
    """

    def __init__(
        self,
        rows: pa.Table,
        writer: WriterOptions,
        *,
        encodings: Collection[str],
        partition: Unsigned | None = None,
        threads: int = 1,
        seed: int = 0,
        time_budget: float | None = None,
        started: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._budget = clock, time_budget
        self._started = self._ranked = clock() if started is None else started
        self.writer = writer
        quick = replace(writer, level=None if writer.level is None else min(writer.level, TRIAL_LEVEL))
        self.trial = Trial(
            rows,
            quick,
            encodings=encodings,
            partition=partition,
            threads=threads,
            seed=seed,
            out_of_time=self._is_too_long,
        )
        self._ranked = clock() if time_budget is not None else self._ranked
        verify = min(rows.num_rows, self.trial.group_rows)
        screen, compare = (min(verify, window_rows(rows, size)) for size in (SCREEN_BYTES, TRIAL_BYTES))
        self.rows = TrialRows(screen, compare, verify)

    def _is_too_long(self, seconds: float) -> bool:
        """Whether a column that takes so long should not be ranked."""
        if self._budget is None:
            return False
        return self._clock() - self._started + seconds >= _RANKING * self._budget

    def out_of_time(self, share: float = 1.0) -> bool:
        """Whether this share of the time allowed is over, once the columns are ranked of what they left."""
        if self._budget is None:
            return False
        return self._clock() >= self._ranked + share * (self._started + self._budget - self._ranked)

    def run(self, wanted: Sequence[RowOrder] = ()) -> SearchResult:
        """Rank orders by measured bytes."""
        self._fit()
        sizes = self.trial.column_bytes(ARRIVAL, self.rows.screen)
        cardinality = {name: codes.cardinality for name, codes in self.trial.codes.items()}
        most = min(MOST_SCREENED, max(_FEWEST, _PASSED_ROWS // max(1, self.trial.count)))
        most = min(most, max(_FEWEST_WIDE, _ENCODED_COLUMNS // max(1, len(sizes))))
        keys = shortlist(cardinality, sizes, self.trial.count, min(MAX_KEYS, most // 2))
        blocks = [block for block in BLOCKS if self.trial.count > _MORE_THAN_A_BLOCK * block]
        found = search(keys, self.trial, self.rows, self.out_of_time, most=most, blocks=blocks, wanted=wanted)
        return replace(found, complete=found.complete and not self.trial.unranked)

    def _fit(self) -> None:
        """Make trials small enough for a good many of them in the time that is left."""
        if self._budget is None:
            return
        before = self._clock()
        self.trial.cost(ARRIVAL, self.rows.screen)
        spent = self._clock() - before
        left = max(0.0, self._budget - (self._clock() - self._started))
        fits = left / max(1e-6, spent) / _TRIALS
        rows = self.rows
        # Smaller windows would tear groups apart.
        screen = min(rows.screen, max(int(rows.screen * fits), WINDOWS * MIN_WINDOW))
        compare = min(rows.trial, max(2 * screen, int(rows.trial * fits)))
        large = spent * rows.verify / max(1, rows.screen) * _LARGE_TRIALS
        verify = int(rows.verify * min(1.0, _LARGE_SHARE * left / max(1e-6, large)))
        self.rows = TrialRows(screen, compare, max(verify, compare))

    def tuned(self, order: RowOrder, writer: WriterOptions | None = None) -> Tuned:
        """The smallest encodings of an order, found on a whole row group where time allows.

        ``writer`` may differ from that of the search.
        """
        rows, writer = self.rows.trial if self.out_of_time(0.95) else self.rows.verify, writer or self.writer
        size, encodings = self.trial.tuned(order, rows, writer)
        return Tuned(order, replace(writer, encodings=encodings), size)
