"""Bin-pack: merge small files of a partition into files of the target size, rows in the order they arrived."""

from __future__ import annotations

from lakeopt.errors import UsageError
from lakeopt.layout.file_groups import MIN_SMALL_FILES, bins, ideal_file_count, is_small, under_deletes
from lakeopt.layout.strategies.base import Choice, PartitionState, Strategy
from lakeopt.model.plan import MAX_DEPTH, Layout, SortField


class BinPack:
    """Rewrites files that are small for the target or under delete files; all others stay as they are."""

    name = "bin-pack"
    summary = "merge small files and apply deletes, rows in arrival order"

    def layout(self, columns: tuple[SortField, ...]) -> Layout:
        """The layout; it takes no columns."""
        if columns:
            raise UsageError("bin-pack takes no columns", hint="use --strategy sort to order rows by columns")
        return Layout(self.name)

    def choose(
        self, partition: PartitionState, *, target_file_bytes: int, max_group_bytes: int, max_depth: int = MAX_DEPTH
    ) -> Choice:
        """Small files and files under deletes, in arrival order, in groups of at most ``max_group_bytes``.

        Files of any size are rewritten with the deletes that apply to them; no delete applies to what is written.
        """
        sizes = partition.files["file_size_in_bytes"].to_pylist()
        deleted = under_deletes(partition.files)
        rows = self.companions(partition, target_file_bytes=target_file_bytes)
        total = sum(sizes[row] for row in rows)
        if not any(deleted) and len(rows) < MIN_SMALL_FILES and total < target_file_bytes:
            return Choice((), f"{len(rows)} small files are too few to merge")
        runs = bins([sizes[row] for row in rows], max_group_bytes)
        groups = tuple(tuple(rows[position] for position in run) for run in runs)
        worth = tuple(
            group
            for group in groups
            if any(deleted[row] for row in group)
            or ideal_file_count(sum(sizes[row] for row in group), target_file_bytes) < len(group)
        )
        return Choice(worth, "" if worth else "merging would not make fewer files")

    def companions(self, partition: PartitionState, *, target_file_bytes: int) -> tuple[int, ...]:
        """Small files and files under deletes: what comes in may be small as well."""
        sizes = partition.files["file_size_in_bytes"].to_pylist()
        deleted = under_deletes(partition.files)
        return tuple(row for row, size in enumerate(sizes) if deleted[row] or is_small(size, target_file_bytes))


STRATEGY: Strategy = BinPack()
