"""PV buckets: files that are ranges of a skewed column, equally large however skewed it is."""

from __future__ import annotations

from collections.abc import Sequence

from lakeopt.errors import UsageError
from lakeopt.layout.strategies._curve import require_ascending
from lakeopt.layout.strategies.base import Strategy
from lakeopt.layout.strategies.sort import Sort
from lakeopt.model.plan import Layout, SortField


class PvBuckets(Sort):
    """Rewrites a whole partition unless it lies in exactly these buckets.

    The first column is the value that the buckets are ranges of, the second one divides those of a heavy value.
    """

    name = "pv-buckets"
    summary = "a file for each range of a skewed column, all equally large"

    def layout(self, columns: tuple[SortField, ...]) -> Layout:
        """The layout, still without cut points; it needs one or two columns, ascending."""
        super().layout(columns)
        require_ascending(self.name, columns)
        if len(columns) > 2:
            raise UsageError("pv-buckets takes the value's column and a second key", hint="name at most two columns")
        return Layout(self.name, columns)

    def are_well_sized(self, sizes: Sequence[int], target_file_bytes: int) -> bool:
        """Buckets are as large as the plan's counts made them."""
        return True


STRATEGY: Strategy = PvBuckets()
