"""The order of the rows: none declared, not written by all files, or not kept across files."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.plan import MAX_DEPTH
from lakeopt.model.sort_fields import format_sort_fields
from lakeopt.model.table import Finding

#: One file in ten out of order is what a day's appends leave behind; more means that nobody keeps the order.
STALE_SHARE = 0.1
#: Mean excess depth: from 1 on, a lookup reads on average a file that good order would have spared.
BADLY_CLUSTERED = 1.0
#: A table of so few files is read whole anyway.
MIN_FILES = 2


def sort_order(table: TableState) -> Iterator[Finding]:
    """No sort order, a stale one, or files that overlap on it."""
    count = table.files.num_rows
    if count < MIN_FILES:
        return
    named = table.named_layout
    if named is not None:
        layout, within = named
        key, stale = format_sort_fields(layout.columns), count - int(within.sum())
        if stale > STALE_SHARE * count:
            yield _stale(table, stale, f"{layout.strategy} layout ({key})")
        return
    if not table.sort_key:
        yield Finding(
            "no-sort-order",
            "info",
            "the table has no sort order: its rows lie as they arrived",
            {"data_files": count},
            table.command("recommend"),
        )
        return
    key = format_sort_fields(table.sort_key)
    stale = count - int(table.in_order.sum())
    if stale > STALE_SHARE * count:
        yield _stale(table, stale, f"sort order ({key})")
    overlap = table.key_overlap
    if overlap is None or overlap.excess_depth is None or (not stale and table.key_depth <= MAX_DEPTH):
        return  # a few sorted runs side by side are what rewrites of appends leave
    if overlap.excess_depth >= BADLY_CLUSTERED:
        yield Finding(
            "badly-clustered",
            "warning",
            f"on {key} a data file overlaps {overlap.excess_depth:.1f} others on average, "
            f"up to {overlap.max_excess_depth:,}",
            {
                "excess_depth": overlap.excess_depth,
                "max_excess_depth": overlap.max_excess_depth,
                "files_at_a_key": table.key_depth,
                "unknown_files": overlap.unknown_files,
            },
            table.arrange(),
        )


def _stale(table: TableState, stale: int, order: str) -> Finding:
    count = table.files.num_rows
    return Finding(
        "stale-sort-order",
        "warning",
        f"{stale:,} of {count:,} data files were not written in the table's {order}",
        {"stale_files": stale, "data_files": count, "sort_order_id": table.sort_order_id},
        table.arrange(),
    )


CHECK: Check = sort_order
