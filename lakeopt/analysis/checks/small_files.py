"""Many small files: each costs a request, a footer and a manifest entry, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.plan import PV_BUCKETS
from lakeopt.model.table import Finding, Severity
from lakeopt.units import format_size

#: As in :mod:`lakeopt.layout.file_groups`, so that the command finds what this check reports: a smaller share of the
#: target is small, and fewer files in a partition are worth merging only if they fill a file of the target size.
SMALL_SHARE, MIN_SMALL_FILES = 0.75, 5
#: Below this many files to be saved nobody notices; above this many, planning a query takes seconds.
FEW_FILES, MANY_FILES = 10, 1000


def small_files(table: TableState) -> Iterator[Finding]:
    """Small files that could be merged with others of their partition."""
    sizes, target = table.sizes, table.target_file_bytes
    small = sizes < SMALL_SHARE * target
    if small.any() and (named := table.named_layout) is not None and named[0].strategy == PV_BUCKETS:
        small &= ~named[1]  # a bucket is as large as its counts made it, and stays so
    if not small.any():
        return
    count = np.bincount(table.partition[small])
    total = np.bincount(table.partition[small], weights=sizes[small])
    ideal = np.ceil(total / target)
    worth = ((count >= MIN_SMALL_FILES) | (total >= target)) & (ideal < count)
    avoidable = int((count - ideal)[worth].sum())
    if not avoidable:
        return
    mergeable = int(count[worth].sum())
    severity: Severity = "info" if avoidable < FEW_FILES else "critical" if avoidable >= MANY_FILES else "warning"
    mean = float(total[worth].sum() / mergeable)
    yield Finding(
        "small-files",
        severity,
        f"{mergeable:,} of {len(sizes):,} data files are small ({format_size(mean)} on average, target "
        f"{format_size(target)}); merged they would be {mergeable - avoidable:,}",
        {
            "small_files": mergeable,
            "data_files": len(sizes),
            "avoidable_files": avoidable,
            "partitions": int(worth.sum()),
            "mean_bytes": mean,
            "target_bytes": target,
        },
        table.arrange(),
    )


CHECK: Check = small_files
