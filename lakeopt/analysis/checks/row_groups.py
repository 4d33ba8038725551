"""Row groups that are too small (no room for compression, many requests) or too large (one reader, much memory)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding
from lakeopt.units import format_size

#: Below both, dictionaries and pages do not amortise; a file that is itself so small is another finding.
SMALL_BYTES, SMALL_ROWS = 8_000_000, 65_536
#: Compressed bytes above which one task holds half a gigabyte and more when it decodes a row group.
LARGE_BYTES = 512_000_000
#: Share of the sampled row groups from which the writer, not chance, made them so.
COMMON_SHARE = 0.5


def row_groups(table: TableState) -> Iterator[Finding]:
    """Small row groups in files that have several, and very large ones."""
    several = [facts for facts in table.footers.values() if len(facts.row_group_rows) > 1]
    rows = np.array([count for facts in several for count in facts.row_group_rows[:-1]], np.int64)
    size = np.array([total for facts in several for total in facts.row_group_bytes[:-1]], np.int64)
    small = (rows < SMALL_ROWS) & (size < SMALL_BYTES)
    if len(rows) and small.mean() >= COMMON_SHARE:
        yield Finding(
            "small-row-groups",
            "warning",
            f"row groups are small: {int(small.sum()):,} of {len(rows):,} sampled (the last of each file apart) hold "
            f"fewer than {SMALL_ROWS:,} rows, {format_size(float(size[small].mean()))} on average",
            {"small_row_groups": int(small.sum()), "row_groups": len(rows), "mean_rows": float(rows.mean())},
            table.rewrite(),
        )
    every = np.array([total for facts in table.footers.values() for total in facts.row_group_bytes], np.int64)
    large = every > LARGE_BYTES
    if large.any():
        yield Finding(
            "large-row-groups",
            "info",
            f"{int(large.sum()):,} of {len(every):,} sampled row groups are larger than {format_size(LARGE_BYTES)}",
            {"large_row_groups": int(large.sum()), "row_groups": len(every), "largest_bytes": int(every.max())},
            table.rewrite(),
        )


CHECK: Check = row_groups
