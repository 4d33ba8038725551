"""What ``lakeopt rewrite-manifests`` shows when it is done."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import count, seconds, size
from lakeopt.cli.section import Cell, Facts, Section
from lakeopt.cli.sections.manifests_plan import left_alone
from lakeopt.model.manifests import ManifestsResult

ROWS = None


def sections(value: ManifestsResult) -> Iterator[Section]:
    """What changed, then what is left alone and why."""
    if value.snapshot_ids:
        yield Facts(
            f"Rewrote the manifests of {value.table}",
            (
                ("manifests", f"{count(value.manifests_before)} → {count(value.manifests_after)}"),
                ("bytes", f"{size(value.bytes_before)} → {size(value.bytes_after)}"),
                ("proof", Cell(f"{count(value.entries)} entries, each in the same words as before", "good")),
                ("snapshot", ", ".join(value.snapshot_ids)),
                ("time", seconds(value.elapsed_seconds)),
                ("plan", value.plan_id),
            ),
        )
    else:
        yield Facts(
            f"Nothing to rewrite in the manifests of {value.table}",
            (("manifests", count(value.manifests_before)), ("bytes", size(value.bytes_before))),
        )
    if value.left_alone:
        yield left_alone(value.left_alone)
