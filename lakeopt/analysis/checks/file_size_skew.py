"""Files of very different size: one reader works long after the others are done."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding
from lakeopt.units import format_size

#: Iceberg's own upper limit for a file that needs no rewrite, as a share of the target.
OVERSIZE_SHARE = 1.8
#: Largest over median file from which the largest one sets the pace of a scan.
SKEWED = 10.0
#: The median of fewer files says little.
MIN_FILES = 10


def file_size_skew(table: TableState) -> Iterator[Finding]:
    """The largest file is far above both the median and the target size."""
    sizes, target = table.sizes, table.target_file_bytes
    if len(sizes) < MIN_FILES:
        return
    median, largest = float(np.median(sizes)), int(sizes.max())
    oversize = int((sizes > OVERSIZE_SHARE * target).sum())
    if not oversize or largest < SKEWED * median:
        return
    yield Finding(
        "file-size-skew",
        "warning",
        f"the largest data file ({format_size(largest)}) is {largest / max(median, 1):.0f} times the median "
        f"({format_size(median)}); {oversize:,} are far above the target of {format_size(target)}",
        {
            "largest_bytes": largest,
            "median_bytes": median,
            "p95_bytes": float(np.quantile(sizes, 0.95)),
            "oversize_files": oversize,
            "target_bytes": target,
        },
        table.rewrite(),
    )


CHECK: Check = file_size_skew
