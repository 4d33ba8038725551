"""Sort: all rows of a partition in the order of a key, across its files."""

from __future__ import annotations

from lakeopt.errors import UsageError
from lakeopt.layout.file_groups import under_deletes
from lakeopt.layout.sorted_runs import KeyedFile, file_groups
from lakeopt.layout.strategies.base import Choice, PartitionState, Strategy
from lakeopt.model.plan import MAX_DEPTH, Layout, SortField


class Sort:
    """Rewrites the files of a partition that do not lie in this order, and merges those that do where too many meet."""

    name = "sort"
    summary = "order rows by --sort-by, across files"
    #: Whether small files that lie in the layout are merged with their neighbours.
    merges_small = True

    def layout(self, columns: tuple[SortField, ...]) -> Layout:
        """The layout; it needs at least one column, each at most once."""
        if not columns:
            raise UsageError(f"{self.name} needs columns", hint="give --sort-by a,b or let --strategy auto choose")
        names = [column.name for column in columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"column {twice[0]!r} stands twice in the sort key")
        return Layout(self.name, columns)

    def choose(
        self, partition: PartitionState, *, target_file_bytes: int, max_group_bytes: int, max_depth: int = MAX_DEPTH
    ) -> Choice:
        """Files chosen by how they overlap on the key (:mod:`lakeopt.layout.sorted_runs`).

        ``max_group_bytes`` does not split a sort: two groups of the same keys would overlap for ever. A file under
        deletes that lies in the layout is written anew by itself: it stays within its own bounds.
        """
        if not partition.files.num_rows:
            return Choice((), "no data files")
        files = [
            KeyedFile(*file)
            for file in zip(
                partition.files["file_size_in_bytes"].to_pylist(),
                partition.ranges,
                partition.in_order,
                partition.files["snapshot_id"].to_pylist(),
                under_deletes(partition.files),
                strict=True,
            )
        ]
        depth = self.deepest(max_depth)
        groups = file_groups(files, target_file_bytes=target_file_bytes, max_depth=depth, merge_small=self.merges_small)
        if groups:
            return Choice(tuple(groups), "")
        return Choice((), f"already in this order, at most {depth} files at a key")

    def deepest(self, max_depth: int) -> int:
        """Files of this layout that may meet at a key, where so many were asked for."""
        return max_depth

    def companions(self, partition: PartitionState, *, target_file_bytes: int) -> tuple[int, ...]:
        """All files: what comes in may lie anywhere among their keys."""
        return tuple(range(partition.files.num_rows))


STRATEGY: Strategy = Sort()
