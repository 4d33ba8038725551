"""The writer of a chosen order fitted to the queries: rows of a page and of a row group, and Bloom filters.

Small pages and row groups are left out more often, and filters leave out those that bounds admit. All cost bytes, so
that a goal says how much: ``storage`` gives none, ``balanced`` what is left of the 3 % that it may lose.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lakeopt.layout.bloom_filters import MAX_BYTES, Lookup, bloom_filters, filter_bytes, merged
from lakeopt.layout.granularity import FEWEST_ROWS, TOLERANCE, Run, block_rows, rows_read, sizes
from lakeopt.model.plan import Goal
from lakeopt.parquet.bloom_filters import can_be_filtered
from lakeopt.workflows.layout_search import Tuned

if TYPE_CHECKING:
    from lakeopt.workflows.study import Study

#: Where pages take too many bytes, ones with so many times as many rows are tried.
PAGE_STEP = 4


@dataclass(frozen=True, slots=True)
class FittedWriter:
    """A writer, the bytes of the sample with it, and why it is as it is, sentence by sentence."""

    tuned: Tuned
    why: tuple[str, ...] = ()


def fitted_writer(study: Study, tuned: Tuned, goal: Goal, *, most_bytes: float) -> FittedWriter:
    """Fit the writer of an order to the queries; the sample may come to ``most_bytes`` in all."""
    if study.pruning is None or goal == "storage" or not study.rows:
        return FittedWriter(tuned)
    paged = _pages(study, tuned, most_bytes) if goal == "balanced" else FittedWriter(tuned)
    spare = max(0.0, most_bytes / max(1, paged.tuned.bytes) - 1)
    sized = _row_groups(study, paged.tuned, min(spare, TOLERANCE[goal]))
    left = most_bytes / max(1, sized.tuned.bytes) - 1
    filtered = _filters(study, sized.tuned, min(left, MAX_BYTES[goal]))
    return FittedWriter(filtered.tuned, paged.why + sized.why + filtered.why)


def _pages(study: Study, tuned: Tuned, most_bytes: float) -> FittedWriter:
    """The smallest pages that take no more bytes than may be given, where the order was measured in larger ones."""
    rows = study.judged_page_rows
    while rows < tuned.writer.page_rows and not study.search.out_of_time(0.95):
        found = study.search.tuned(tuned.order, replace(tuned.writer, encodings={}, page_rows=rows))
        if found.bytes <= most_bytes:
            return FittedWriter(found)
        rows *= PAGE_STEP
    if tuned.writer.page_rows == study.judged_page_rows:
        return FittedWriter(tuned)
    smaller = f"{study.judged_page_rows:,}"
    return FittedWriter(tuned, (f"Pages of {smaller} rows would take more bytes than the goal gives.",))


def _row_groups(study: Study, tuned: Tuned, tolerance: float) -> FittedWriter:
    assert study.pruning is not None
    scale, writer = study.opened.sample.scale, tuned.writer
    rows, most = round(study.rows * scale), study.trial.group_rows
    shares = study.pruning.scanned_shares(study.trial.order(tuned.order), study.sampled_page(writer.page_rows))
    runs = [Run(weight, max(1.0, share * rows - writer.page_rows)) for weight, share in shares]
    stored = study.trial.group_bytes(tuned.order, writer, sizes(min(most, study.rows), FEWEST_ROWS))
    largest = max(stored)
    size = block_rows(stored, runs, rows, tolerance)
    if size == largest:
        return FittedWriter(tuned)
    growth = stored[size] / stored[largest]
    fewer, more = (sum(run.weight * rows_read(run.rows, held, rows) for run in runs) for held in (size, largest))
    why = (
        f"Row groups of {size:,} rows instead of {largest:,} take {growth - 1:.1%} more bytes, and its queries read "
        f"about {fewer * growth / more:.1%} of what they would."
    )
    sized = Tuned(tuned.order, replace(writer, row_group_rows=size), round(tuned.bytes * growth))
    return FittedWriter(sized, (why,))


def _filters(study: Study, tuned: Tuned, share: float) -> FittedWriter:
    assert study.pruning is not None
    scale, writer = study.opened.sample.scale, tuned.writer
    group_rows = min(study.trial.group_rows, writer.row_group_rows)
    sampled = max(1, round(group_rows / scale))
    schema = study.opened.sample.rows.schema
    lookups = []
    for met in study.pruning.lookups(study.trial.order(tuned.order), sampled):
        if can_be_filtered(schema.field(met.column).type):
            # A sample has fewer values than the table, in fewer row groups: at most by as much as it is thinner.
            values = study.trial.distinct_values(met.column, tuned.order, sampled)
            holding = min(met.touched, met.holding * scale)
            lookups.append(Lookup(met.column, met.weight, met.touched, holding, min(group_rows, round(values * scale))))
    by_column = {lookup.column: lookup for lookup in merged(lookups)}
    group_bytes = tuned.bytes * min(1.0, sampled / study.rows) * scale
    filters = bloom_filters(by_column.values(), most_bytes=max(0.0, share) * group_bytes)
    if not filters:
        return FittedWriter(tuned)
    grown = sum(filter_bytes(distinct) for distinct in filters.values()) / group_bytes
    why = tuple(
        f"A Bloom filter on {name} leaves out {by_column[name].saving:.1%} of the row groups for queries that look up "
        "its values, which the order does not."
        for name in filters
    )
    held = Tuned(tuned.order, replace(writer, bloom_filters=filters), round(tuned.bytes * (1 + grown)))
    return FittedWriter(held, why)
