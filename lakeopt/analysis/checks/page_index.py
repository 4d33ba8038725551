"""Files without a page index: readers can skip row groups, but no pages."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding

#: Share of the sampled files from which a rewrite is worth a thought for this alone.
MISSING_SHARE = 0.5
#: A row group of a few pages has nothing to skip.
MIN_ROWS = 100_000


def page_index(table: TableState) -> Iterator[Finding]:
    """Most sampled files that are large enough to profit have no page index."""
    large = [facts for facts in table.footers.values() if max(facts.row_group_rows, default=0) >= MIN_ROWS]
    without = sum(not facts.page_index for facts in large)
    if not large or without < MISSING_SHARE * len(large):
        return
    yield Finding(
        "no-page-index",
        "info",
        f"{without:,} of {len(large):,} sampled files with row groups of {MIN_ROWS:,} rows and more have no page index",
        {"files_without": without, "files": len(large)},
        table.rewrite(),
    )


CHECK: Check = page_index
