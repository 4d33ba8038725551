"""What is measured of one sampled table before a layout is recommended."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.analysis.pruning import PagePruning
from lakeopt.layout.choice import Option
from lakeopt.layout.file_groups import MIN_SMALL_FILES, is_small
from lakeopt.layout.measured import MeasuredOrder
from lakeopt.layout.search import SearchResult
from lakeopt.model.plan import Baseline, Candidate, SortField
from lakeopt.model.row_order import ARRIVAL, RowOrder
from lakeopt.model.scan import WriterOptions
from lakeopt.units import format_size
from lakeopt.workflows.layout_search import LayoutSearch, Tuned
from lakeopt.workflows.sampled import SampledTable

if TYPE_CHECKING:
    from lakeopt.analysis.predicates import Reading

#: Filtered columns that are tried as keys, and in front of the best key.
LEADING_FILTERS = 3


class Study:
    """Trials on a sample of one table, and the queries that it should serve.

    ``writer`` is what orders are measured with, ``encodings`` are those that the table's readers read. Queries are
    judged by pages of ``page_rows``, where these are other than the writer's.
    """

    def __init__(
        self,
        opened: SampledTable,
        queries: str | Path | None,
        writer: WriterOptions,
        encodings: Collection[str],
        *,
        page_rows: int | None = None,
        seed: int,
        time_budget: float | None,
        started: float,
    ) -> None:
        sample = opened.sample
        self.opened, self.rows = opened, sample.rows.num_rows
        self.judged_page_rows = page_rows or writer.page_rows
        self.current_writer = opened.table.writer_options()
        self.search = LayoutSearch(
            sample.rows,
            writer,
            encodings=encodings,
            partition=sample.partition,
            threads=opened.threads,
            seed=seed,
            time_budget=time_budget,
            started=started,
        )
        self.trial = self.search.trial
        #: Queries that cannot be used, and why not, by name.
        self.skipped_queries: Mapping[str, str] = {}
        self.pruning = None if queries is None else self._pruning(queries)

    def _pruning(self, queries: str | Path) -> PagePruning:
        from lakeopt.analysis.predicates import readings
        from lakeopt.workflows.queries import bind, usable_queries

        sample = self.opened.sample
        asked: list[tuple[float, Sequence[Reading]]] = []
        usable, self.skipped_queries = usable_queries(queries, sample.rows.column_names)
        for query in usable:
            bind(query, [self.opened.table.identifier])
            asked.append((query.weight, readings(query.sql, sample.rows.column_names)))
        return PagePruning(
            sample.rows,
            self.trial.codes,
            asked,
            partition=sample.partition,
            page_rows=self.sampled_page(self.judged_page_rows),
        )

    @cached_property
    def wanted(self) -> list[RowOrder]:
        """Orders that the queries ask for: each of the columns they filter most, and the first two together."""
        filtered = self.pruning.columns[:LEADING_FILTERS] if self.pruning else []
        pair = [RowOrder(tuple(filtered[:2]))] if len(filtered) > 1 else []
        return [RowOrder((name,)) for name in filtered] + pair

    def run(self) -> SearchResult:
        """Rank orders by measured bytes."""
        return self.search.run(self.wanted)

    def option(self, measured: MeasuredOrder) -> Option:
        """What an order is judged by."""
        return Option(measured.ratio, self.scanned_ratio(measured.order))

    def scanned_ratio(self, order: RowOrder, writer: WriterOptions | None = None) -> float | None:
        """Share of pages that the queries touch in this order, of those of a writer where one is given; None without
        queries.
        """
        if self.pruning is None:
            return None
        rows = self.judged_page_rows if writer is None else writer.page_rows
        return self.pruning.scanned_ratio(self.trial.order(order), self.sampled_page(rows))

    def sampled_page(self, rows: int) -> int:
        """Rows of the sample that stand for a page of so many rows of the table."""
        return max(1, round(rows / self.opened.sample.scale))

    @cached_property
    def arrival(self) -> Tuned:
        """Arrival order, with the smallest encodings that it can have."""
        return self.search.tuned(ARRIVAL)

    @cached_property
    def plain_arrival(self) -> int:
        """Bytes of the sample in arrival order as the table's own writer encodes it."""
        return self.trial.tuned(ARRIVAL, self.search.rows.verify, self.current_writer, ("dictionary",))[0]

    def candidate(self, measured: MeasuredOrder, tuned: Tuned | None = None) -> Candidate:
        """A measured order as a layout; ``tuned`` where its encodings were chosen for good."""
        ratio = measured.ratio if tuned is None else tuned.bytes / max(1, self.arrival.bytes)
        before = self.trial.column_bytes(ARRIVAL, measured.rows)
        after = self.trial.column_bytes(measured.order, measured.rows)
        gains = {name: before[name] - after[name] for name in before}
        shrunk = [name for name in sorted(gains, key=lambda name: -gains[name])[:3] if gains[name] > 0]
        change = f"{abs(1 - ratio):.1%} {'smaller' if ratio <= 1 else 'larger'} than arrival order encoded alike"
        mostly = f", most saved in {', '.join(shrunk)}" if shrunk and ratio < 1 else ""
        return Candidate(
            "sort",
            tuple(SortField(name) for name in measured.order.columns),
            (self.search.writer if tuned is None else tuned.writer).as_mapping(),
            ratio * self._tuning,
            self.scanned_ratio(measured.order, None if tuned is None else tuned.writer),
            change + mostly,
            measured.order.block_rows,
        )

    @property
    def _tuning(self) -> float:
        """Bytes of arrival order with the writer that would be used, relative to the table's own."""
        return self.arrival.bytes / self.plain_arrival if self.plain_arrival else 1.0

    def unsorted(self) -> list[Candidate]:
        """The layouts that keep arrival order: nothing done, and small files merged."""
        scanned, baseline = self.scanned_ratio(ARRIVAL), self.baseline
        alone = f"leave it alone: {format_size(baseline.current_bytes)} today"
        merged = f"arrival order kept, small files merged and encoded anew: about {format_size(baseline.tuned_bytes)}"
        own, tuned = self.current_writer.as_mapping(), self.arrival.writer.as_mapping()
        return [
            Candidate("none", (), own, 1.0, scanned, alone),
            Candidate("bin-pack", (), tuned, self._tuning, scanned, merged),
        ]

    @cached_property
    def baseline(self) -> Baseline:
        """Today's bytes, and the measured bytes of the sample in arrival order, scaled to the table."""
        files, scale = self.opened.files, self.opened.sample.scale
        sampled, tuned = (self.plain_arrival, self.arrival.bytes) if self.rows else (0, 0)
        return Baseline(
            current_bytes=int(pc.sum(files["file_size_in_bytes"]).as_py() or 0),
            bin_packed_bytes=round(sampled * scale),
            tuned_bytes=round(tuned * scale),
            sampled_rows=self.rows,
            sampled_bytes=sampled,
        )

    def has_small_files(self) -> bool:
        """Whether some partition holds enough small files for bin-pack to merge them."""
        target = self.opened.table.target_file_bytes()
        files = self.opened.files.select(["spec_id", "partition", "file_size_in_bytes"])
        sizes = files["file_size_in_bytes"].to_pylist()
        small = pa.array([is_small(size, target) for size in sizes], pa.bool_())
        counted = files.filter(small).group_by(["spec_id", "partition"]).aggregate([([], "count_all")])
        return int(pc.max(counted["count_all"]).as_py() or 0) >= MIN_SMALL_FILES
