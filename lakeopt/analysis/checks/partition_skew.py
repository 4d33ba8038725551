"""Partitions of very different size, or too small ones: the partitioning does not fit the data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding
from lakeopt.units import format_size

#: Fewer partitions have no distribution to speak of.
MIN_PARTITIONS = 5
#: Largest over median partition from which one partition sets the pace of a job that runs one task a partition.
SKEWED = 10.0
#: A median partition below this share of the target file can never be one file of good size.
TINY_SHARE = 0.1
#: Tiny partitions hurt by their number.
MANY_PARTITIONS = 100


def partition_skew(table: TableState) -> Iterator[Finding]:
    """A few partitions hold most bytes, or most partitions are smaller than a file should be."""
    if not len(table.partition):
        return
    total = np.bincount(table.partition, weights=table.sizes)
    median, largest, target = float(np.median(total)), float(total.max()), table.target_file_bytes
    evidence = {"partitions": len(total), "largest_bytes": largest, "median_bytes": median, "target_bytes": target}
    if len(total) >= MIN_PARTITIONS and largest >= SKEWED * median and largest > target:
        yield Finding(
            "partition-skew",
            "info",
            f"the largest of {len(total):,} partitions ({format_size(largest)}) is {largest / max(median, 1):.0f} "
            f"times the median ({format_size(median)})",
            evidence,
            None,
        )
    if len(total) >= MANY_PARTITIONS and median < TINY_SHARE * target:
        yield Finding(
            "tiny-partitions",
            "warning",
            f"half of {len(total):,} partitions hold less than {format_size(median)}: no rewrite can make good files "
            "of them; a coarser partition spec would",
            evidence,
            None,
        )


CHECK: Check = partition_skew
