"""Orders with the bytes that they were measured to take, each measured once for a number of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from lakeopt.model.row_order import ARRIVAL, RowOrder

#: Whether this share of the time allowed is over.
OutOfTime = Callable[[float], bool]


class Trials(Protocol):
    """Measures orders of a table's rows. All figures must be repeatable."""

    def costs(self, orders: Sequence[RowOrder], rows: int, out_of_time: Callable[[], bool]) -> Sequence[int | None]:
        """Bytes of each order judged on about ``rows`` rows; None where time had run out before."""
        ...

    def column_bytes(self, order: RowOrder, rows: int) -> Mapping[str, int]:
        """Bytes of each column in an order."""
        ...

    def narrow_encodings(self) -> None:
        """Told once the columns were measured in many orders: what encodes them badly need not be tried again."""
        ...


@dataclass(frozen=True, slots=True)
class MeasuredOrder:
    """An order, the bytes it takes and the bytes of arrival order, both judged on so many rows."""

    order: RowOrder
    bytes: int
    arrival_bytes: int
    rows: int

    @property
    def ratio(self) -> float:
        """Bytes relative to arrival order; below 1 is smaller. An empty table has ratio 1."""
        return self.bytes / self.arrival_bytes if self.arrival_bytes else 1.0


class Pool:
    """Orders measured on one number of rows."""

    def __init__(self, trials: Trials, rows: int) -> None:
        self._trials, self.rows = trials, rows
        self.bytes: dict[RowOrder, int] = {}
        self.complete = True
        (arrival,) = trials.costs([ARRIVAL], rows, lambda: False)
        self.arrival: int = arrival or 0
        self.count = 1

    def measure(self, orders: Iterable[RowOrder], out_of_time: Callable[[], bool]) -> list[RowOrder]:
        """Those of the orders that time allowed to measure, cheapest first."""
        wanted = list(dict.fromkeys(order for order in orders if order.columns))
        new = [order for order in wanted if order not in self.bytes]
        for order, cost in zip(new, self._trials.costs(new, self.rows, out_of_time), strict=True):
            if cost is None:
                self.complete = False
            else:
                self.bytes[order] = cost
                self.count += 1
        return self.ranked(wanted)

    def ranked(self, orders: Iterable[RowOrder] | None = None) -> list[RowOrder]:
        """Cheapest first; of equal ones the shorter key, then the one that was tried first."""
        known = [order for order in (self.bytes if orders is None else orders) if order in self.bytes]
        return sorted(known, key=lambda order: (self.bytes[order], len(order.columns), order.block_rows is not None))

    def measured(self, order: RowOrder) -> MeasuredOrder:
        """One order with its figures."""
        return MeasuredOrder(order, self.bytes[order], self.arrival, self.rows)
