"""Many small manifests: planning a query opens each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.compute as pc

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding
from lakeopt.units import format_size

#: Iceberg's own default of ``commit.manifest.target-size-bytes``.
TARGET_BYTES = 8 * 1024**2
#: Iceberg's own default of ``commit.manifest.min-count-to-merge``: writers that merge do so from here on.
MANY = 100
#: Manifests that are on average below this share of the target are many for want of merging, not of size.
SMALL_SHARE = 0.25


def manifests(table: TableState) -> Iterator[Finding]:
    """More manifests than writers that merge would leave, small on average."""
    text = table.properties.get("commit.manifest.target-size-bytes", "")
    target = int(text) if text.strip().isdecimal() else TARGET_BYTES
    count = table.manifests.num_rows
    total = pc.sum(table.manifests["bytes"]).as_py() or 0
    if count < MANY or total >= SMALL_SHARE * target * count:
        return
    yield Finding(
        "manifest-growth",
        "warning",
        f"{count:,} manifests of {format_size(total / count)} on average (target {format_size(target)}) are opened to "
        "plan a query",
        {"manifests": count, "bytes": total, "target_bytes": target, "data_files": table.files.num_rows},
        table.command("rewrite-manifests"),
    )


CHECK: Check = manifests
