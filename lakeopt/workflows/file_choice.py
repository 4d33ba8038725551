"""The file groups of a plan: which the strategy chooses, which are worth it, in which order, and which are copied."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lakeopt import registry
from lakeopt.config import Settings
from lakeopt.layout.file_groups import ideal_file_count
from lakeopt.layout.worth import Prices, is_judged, worth
from lakeopt.model.plan import MAX_DEPTH, NOT_WORTH_IT, FileGroup, SkippedGroup
from lakeopt.model.scan import WriterOptions
from lakeopt.tables.base import Table
from lakeopt.workflows.chosen_layout import Chosen, strategy_named
from lakeopt.workflows.copying import CopyChoice
from lakeopt.workflows.partitions import group_files
from lakeopt.workflows.range_boundaries import RangeBoundaries
from lakeopt.workflows.rewrite_rate import rewrite_rate

Groups = tuple[tuple[FileGroup, ...], tuple[SkippedGroup, ...]]


@dataclass(frozen=True, slots=True)
class FileChoice:
    """What a plan says of files. ``level_asked``: the command names a compression level.

    An ``engine`` that names its files itself copies none.
    """

    where: str | None
    target_file_bytes: int
    max_depth: int = MAX_DEPTH
    to_current_spec: bool = False
    queries: str | Path | None = None
    level_asked: bool = False
    engine: str = "duckdb"

    def groups(
        self, table: Table, base: int | None, chosen: Chosen, writer: WriterOptions, settings: Settings
    ) -> Groups:
        """Groups to rewrite, in this order, and what is left alone with the reason."""
        if base is None:
            return (), (SkippedGroup("all", "the table has no snapshot"),)
        layout = chosen.layout
        if layout is None:
            return (), (SkippedGroup("all", chosen.reason),)
        groups, skipped = group_files(
            table,
            base,
            self.where,
            layout,
            strategy_named(layout.strategy),
            self.target_file_bytes,
            to_current_spec=self.to_current_spec,
            max_depth=self.max_depth,
        )
        if chosen.measured is not None:
            groups, left = self._worth_it(table, groups, chosen, settings)
            skipped += left
        if self.queries is not None and layout.columns and len(groups) > 1:
            groups = RangeBoundaries.of(table, base, layout.columns, self.queries).first(groups)
        groups, skipped = table.admit(groups, skipped)
        if registry.load(registry.ENGINES, self.engine).ENGINE.names_files:
            why = f"{self.engine} writes rows anew"
            return tuple(replace(group, method="decode", method_reason=why) for group in groups), skipped
        groups, left = CopyChoice(table, layout, writer, self.target_file_bytes, level_asked=self.level_asked).divide(
            groups
        )
        return groups, skipped + left

    def _worth_it(self, table: Table, groups: tuple[FileGroup, ...], chosen: Chosen, settings: Settings) -> Groups:
        """The groups that gain what they cost; of a layout that was measured, which alone says what is gained."""
        assert chosen.measured is not None
        prices = Prices(
            settings.storage_price,
            settings.compute_price,
            settings.keep_days,
            settings.reads_per_day,
            rewrite_rate(table, settings),
        )
        done: list[FileGroup] = []
        left: list[SkippedGroup] = []
        for group in groups:
            after = max(1, ideal_file_count(round(group.bytes * chosen.measured.bytes_ratio), self.target_file_bytes))
            found = worth(group, chosen.measured, prices, after) if is_judged(group) else None
            if found is None or found.gain >= found.cost:
                done.append(replace(group, group_id=len(done)))
            else:
                left.append(SkippedGroup(group.partition, NOT_WORTH_IT, group.file_count, group.bytes, found))
        return tuple(done), tuple(left)
