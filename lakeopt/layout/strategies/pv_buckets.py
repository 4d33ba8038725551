"""PV buckets: files that are ranges of a skewed column, equally large however skewed it is."""

from __future__ import annotations

from lakeopt.errors import UsageError
from lakeopt.layout.strategies._curve import require_ascending
from lakeopt.layout.strategies.base import Strategy
from lakeopt.layout.strategies.sort import Sort
from lakeopt.model.plan import Layout, SortField


class PvBuckets(Sort):
    """Rewrites what does not lie in these buckets, together with all files that it overlaps.

    Buckets are as large as the plan's counts made them, however small that is for the target. The first column is
    the value that the buckets are ranges of, the second one divides those of a heavy value.
    """

    name = "pv-buckets"
    summary = "a file for each range of a skewed column, all equally large"
    merges_small = False

    def layout(self, columns: tuple[SortField, ...]) -> Layout:
        """The layout, still without cut points; it needs one or two columns, ascending."""
        super().layout(columns)
        require_ascending(self.name, columns)
        if len(columns) > 2:
            raise UsageError("pv-buckets takes the value's column and a second key", hint="name at most two columns")
        return Layout(self.name, columns)

    def deepest(self, max_depth: int) -> int:
        """One: a value touches only the files of its buckets."""
        return 1


STRATEGY: Strategy = PvBuckets()
