"""Sort: all rows of a partition in the order of a key, across its files."""

from __future__ import annotations

from lakeopt.errors import UsageError
from lakeopt.layout.file_groups import is_well_sized, under_deletes
from lakeopt.layout.strategies.base import Choice, PartitionState, Strategy
from lakeopt.model.plan import Layout, SortField


class Sort:
    """Rewrites a whole partition unless it lies in exactly this order, in files of the right size without deletes."""

    name = "sort"
    summary = "order rows by --sort-by, across files"

    def layout(self, columns: tuple[SortField, ...]) -> Layout:
        """The layout; it needs at least one column, each at most once."""
        if not columns:
            raise UsageError("sort needs columns", hint="give --sort-by a,b or let --strategy auto choose")
        names = [column.name for column in columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"column {twice[0]!r} stands twice in the sort key")
        return Layout(self.name, columns)

    def choose(self, partition: PartitionState, *, target_file_bytes: int, max_group_bytes: int) -> Choice:
        """All files of the partition as one group, or none.

        ``max_group_bytes`` does not split a sort: two groups of one partition would overlap for ever.
        """
        files = partition.files
        sizes = files["file_size_in_bytes"].to_pylist()
        if not sizes:
            return Choice((), "no data files")
        deleted = any(under_deletes(files))
        if not deleted and self._is_in_order(partition) and is_well_sized(sizes, target_file_bytes):
            return Choice((), "already in this order, in files of the right size")
        return Choice((tuple(range(len(sizes))),), "")

    def companions(self, partition: PartitionState, *, target_file_bytes: int) -> tuple[int, ...]:
        """All files: what comes in may lie anywhere among their keys."""
        return tuple(range(partition.files.num_rows))

    @staticmethod
    def _is_in_order(partition: PartitionState) -> bool:
        """Every file was written in this order, and no two overlap by more than a shared end point.

        Where bounds cannot tell, files of one snapshot count as ordered: one rewrite wrote them in key order.
        """
        if not all(partition.in_order):
            return False
        if any(depth > 0 for depth in partition.excess_depth):
            return False
        unknown = any(depth < 0 for depth in partition.excess_depth)
        return not unknown or len(set(partition.files["snapshot_id"].to_pylist())) == 1


STRATEGY: Strategy = Sort()
