"""The order in which the rows of a partition lie, as the search for a layout tries it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowOrder:
    """Rows sorted by these columns, ascending and nulls first; ties, and no columns at all, keep arrival order.

    With ``block_rows`` rows are sorted only inside arrival blocks of so many rows, which stay in their order.
    """

    columns: tuple[str, ...] = ()
    block_rows: int | None = None

    def __str__(self) -> str:
        if not self.columns:
            return "arrival"
        inside = f" inside blocks of {self.block_rows:,} rows" if self.block_rows else ""
        return ", ".join(self.columns) + inside


#: Rows as they came.
ARRIVAL = RowOrder()
