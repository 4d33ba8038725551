"""Sort: all rows of a partition in the order of a key, across its files."""

from __future__ import annotations

from collections.abc import Sequence

from lakeopt.errors import UsageError
from lakeopt.layout.file_groups import is_well_sized, under_deletes
from lakeopt.layout.strategies.base import Choice, PartitionState, Strategy
from lakeopt.model.plan import Layout, SortField


class Sort:
    """Rewrites a whole partition unless it lies in exactly this order, in files of the right size.

    Of one that does, files under deletes are rewritten: alone where they are few, else with all others.
    """

    name = "sort"
    summary = "order rows by --sort-by, across files"

    def layout(self, columns: tuple[SortField, ...]) -> Layout:
        """The layout; it needs at least one column, each at most once."""
        if not columns:
            raise UsageError(f"{self.name} needs columns", hint="give --sort-by a,b or let --strategy auto choose")
        names = [column.name for column in columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"column {twice[0]!r} stands twice in the sort key")
        return Layout(self.name, columns)

    def choose(self, partition: PartitionState, *, target_file_bytes: int, max_group_bytes: int) -> Choice:
        """All files of the partition as one group, or none; in a partition in order, few files under deletes alone.

        ``max_group_bytes`` does not split a sort: two groups of one partition would overlap for ever. A file that is
        written anew by itself stays within its own bounds, though, so that what lies in order does so afterwards.
        """
        files = partition.files
        sizes = files["file_size_in_bytes"].to_pylist()
        if not sizes:
            return Choice((), "no data files")
        deleted = [row for row, under in enumerate(under_deletes(files)) if under]
        if self._is_in_order(partition) and self.are_well_sized(sizes, target_file_bytes):
            if not deleted:
                return Choice((), "already in this order, in files of the right size")
            if self._may_be_alone(partition, deleted, sizes, target_file_bytes):
                return Choice(tuple((row,) for row in deleted), "")
        return Choice((tuple(range(len(sizes))),), "")

    def are_well_sized(self, sizes: Sequence[int], target_file_bytes: int) -> bool:
        """Whether the files of a partition in order may stay as large as they are."""
        return is_well_sized(sizes, target_file_bytes)

    def companions(self, partition: PartitionState, *, target_file_bytes: int) -> tuple[int, ...]:
        """All files: what comes in may lie anywhere among their keys."""
        return tuple(range(partition.files.num_rows))

    @staticmethod
    def _may_be_alone(partition: PartitionState, rows: list[int], sizes: list[int], target_file_bytes: int) -> bool:
        """Whether these files can be written anew one by one, and a second run will find nothing.

        That is so where bounds tell the order, whatever snapshot a file is of, and where the sizes will be right
        even if nothing is left of these files' bytes, or each becomes two: they are about a seventh of all at most.
        """
        if any(depth < 0 for depth in partition.excess_depth):
            return False
        others = set(range(len(sizes))) - set(rows)
        return is_well_sized([sizes[row] for row in others] + [0] * (2 * len(rows)), target_file_bytes)

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
