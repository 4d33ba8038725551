"""What is measured of one sampled table before a layout is recommended, and how that is said in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.analysis.pruning import PagePruning
from lakeopt.analysis.trial import Trial, window_rows
from lakeopt.layout.choice import Option
from lakeopt.layout.file_groups import MIN_SMALL_FILES, is_small
from lakeopt.layout.search import MIN_GAIN, MeasuredOrder, Order, SearchResult, search
from lakeopt.layout.shortlist import shortlist
from lakeopt.model.plan import Baseline, Candidate, SortField
from lakeopt.units import format_size
from lakeopt.workflows.sampled import SampledTable

if TYPE_CHECKING:
    from lakeopt.analysis.predicates import Reading

#: Filtered columns that are tried as keys, and in front of the best key.
LEADING_FILTERS = 3


class Study:
    """Trials on a sample of one table, and the queries that it should serve."""

    def __init__(self, opened: SampledTable, queries: str | Path | None, seed: int) -> None:
        sample = opened.sample
        self.opened, self.rows = opened, sample.rows.num_rows
        self.writer = opened.table.writer_options()
        self.trial = Trial(sample.rows, self.writer, partition=sample.partition, threads=opened.threads, seed=seed)
        self.pruning = None if queries is None else self._pruning(queries)

    def _pruning(self, queries: str | Path) -> PagePruning:
        from lakeopt.analysis.predicates import readings
        from lakeopt.workflows.queries import bind, read_queries

        sample = self.opened.sample
        asked: list[tuple[float, Sequence[Reading]]] = []
        for query in read_queries(queries).queries:
            bind(query, [self.opened.table.identifier])
            asked.append((query.weight, readings(query.sql, sample.rows.column_names)))
        return PagePruning(
            sample.rows,
            self.trial.codes,
            asked,
            partition=sample.partition,
            page_rows=round(self.writer.page_rows / sample.scale),
        )

    @cached_property
    def wanted(self) -> list[Order]:
        """Orders that the queries ask for: each of the columns they filter most, and the first two together."""
        filtered = self.pruning.columns[:LEADING_FILTERS] if self.pruning else []
        return [(name,) for name in filtered] + ([tuple(filtered[:2])] if len(filtered) > 1 else [])

    def search(self, out_of_time: Callable[[], bool]) -> SearchResult:
        """Rank orders by measured bytes: on windows of the sample first, the best on all of it."""
        windows = window_rows(self.opened.sample.rows)
        sizes = self.trial.column_bytes(self.trial.order(()), windows)
        cardinality = {name: codes.cardinality for name, codes in self.trial.codes.items()}
        keys = shortlist(cardinality, sizes, self.rows)
        return search(keys, self.trial.cost, out_of_time, trial_rows=windows, verify_rows=self.rows, wanted=self.wanted)

    def option(self, measured: MeasuredOrder) -> Option:
        """What an order is judged by."""
        return Option(measured.ratio, self.scanned_ratio(measured.order))

    def scanned_ratio(self, order: Order) -> float | None:
        """Share of pages that the queries touch in this order; None without queries."""
        return None if self.pruning is None else self.pruning.scanned_ratio(self.trial.order(order))

    def candidate(self, measured: MeasuredOrder) -> Candidate:
        """A measured order as a layout."""
        before = self._arrival_bytes(measured.rows)
        after = self.trial.column_bytes(self.trial.order(measured.order), measured.rows)
        gains = {name: before[name] - after[name] for name in before}
        shrunk = [name for name in sorted(gains, key=lambda name: -gains[name])[:3] if gains[name] > 0]
        change = f"{abs(1 - measured.ratio):.1%} {'smaller' if measured.ratio <= 1 else 'larger'} than arrival order"
        mostly = f", most saved in {', '.join(shrunk)}" if shrunk and measured.ratio < 1 else ""
        option = self.option(measured)
        fields = tuple(SortField(name) for name in measured.order)
        writer = self.writer.as_mapping()
        return Candidate("sort", fields, writer, option.bytes_ratio, option.scanned_ratio, change + mostly)

    @cache  # noqa: B019 (a study lives as long as one recommendation)
    def _arrival_bytes(self, rows: int) -> dict[str, int]:
        return self.trial.column_bytes(self.trial.order(()), rows)

    def unsorted(self, baseline: Baseline) -> list[Candidate]:
        """The layouts that keep arrival order: nothing done, and small files merged."""
        scanned, writer = self.scanned_ratio(()), self.writer.as_mapping()
        alone = f"leave it alone: {format_size(baseline.current_bytes)} today"
        merged = f"arrival order kept, small files merged: about {format_size(baseline.bin_packed_bytes)}"
        return [
            Candidate("none", (), writer, 1.0, scanned, alone),
            Candidate("bin-pack", (), writer, 1.0, scanned, merged),
        ]

    def baseline(self) -> Baseline:
        """Today's bytes, and the measured bytes of the sample in arrival order, scaled to the table."""
        files = self.opened.files
        sampled = self.trial.cost((), self.rows) if self.rows else 0
        return Baseline(
            current_bytes=int(pc.sum(files["file_size_in_bytes"]).as_py() or 0),
            bin_packed_bytes=round(sampled * self.opened.sample.scale),
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

    def sampled(self) -> str:
        """On how many rows was measured, in words."""
        total = self.opened.sample.record_count
        return f"all {self.rows:,} rows" if self.opened.sample.whole else f"{self.rows:,} of {total:,} rows"

    def no_gain(self, found: SearchResult) -> str:
        """Why no order is taken, with the figures of the best."""
        if not self.rows:
            return "The table is empty."
        if not found.ranked:
            return (
                "No column tells rows apart in a way that they can be sorted by."
                if found.complete
                else "The time ran out before any order was measured."
            )
        best = found.ranked[0]
        short = "" if found.complete else " before the time ran out"
        return (
            f"No order pays: of {found.trials} trials on {self.sampled()}{short}, the best, "
            f"by {', '.join(best.order)}, takes {best.ratio:.1%} of arrival order's bytes; "
            f"a rewrite is worth it from {MIN_GAIN:.0%} less."
        )

    def merged(self, baseline: Baseline) -> str:
        """What merging small files alone gains, in words."""
        now, then = format_size(baseline.current_bytes), format_size(baseline.bin_packed_bytes)
        return f" Merging small files alone makes about {then} of the {now} it takes today."

    def gain(self, best: Candidate, found: SearchResult, baseline: Baseline) -> str:
        """Why an order is taken, with its figures."""
        after = round(baseline.bin_packed_bytes * best.bytes_ratio)
        scanned, before = best.scanned_ratio, self.scanned_ratio(())
        reads = "" if scanned is None else f" Its queries touch {scanned:.1%} of the pages instead of {before:.1%}."
        short = "" if found.complete else " The time ran out before the search was through."
        return (
            f"Sorted by {', '.join(field.name for field in best.columns)} the table takes {best.bytes_ratio:.1%} of "
            f"its bytes in arrival order, about {format_size(after)} instead of "
            f"{format_size(baseline.bin_packed_bytes)} (today {format_size(baseline.current_bytes)}), "
            f"measured on {self.sampled()} with the table's own writer.{reads}{short}"
        )
