"""What ``lakeopt rewrite-manifests --dry-run`` shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lakeopt.cli.figures import NOTHING, count, counted, size
from lakeopt.cli.section import Cell, Column, Facts, Grid, Section
from lakeopt.model.manifests import ManifestsPlan

ROWS = "groups"
SHOWN = 20


def sections(value: ManifestsPlan) -> Iterator[Section]:
    """Which manifests become which, then what is left alone and why."""
    entries = sum(group.entries for group in value.groups)
    becomes: Cell | str = f"{count(value.manifests_before)} → {count(value.manifests_after)}"
    yield Facts(
        f"Plan {value.plan_id} for {value.table}",
        (
            ("manifests", becomes if value.groups else Cell("nothing to do", "good")),
            ("entries", count(entries)),
            ("size", f"{size(value.bytes_before)}, {size(value.target_bytes)} a manifest at most"),
            ("base snapshot", f"{value.base_snapshot_id or NOTHING} on {value.branch}"),
        ),
    )
    if value.groups:
        yield _groups(value)
    if value.left_alone:
        yield left_alone(value.left_alone)


def left_alone(reasons: Mapping[str, int]) -> Section:
    """Manifests that stay as they are, by the reason."""
    columns = (Column("reason", fit="wrap"), Column("manifests", right=True))
    return Grid("Left alone", columns, [(reason, count(number)) for reason, number in reasons.items()])


def _groups(value: ManifestsPlan) -> Section:
    columns = (
        Column("content", fit="wrap"),
        Column("spec", right=True),
        Column("manifests", right=True),
        Column("become", right=True),
        Column("entries", right=True),
        Column("packed", right=True),
    )
    rows = [
        (
            group.content,
            count(group.spec_id),
            count(len(group.manifests)),
            count(group.into),
            count(group.entries),
            size(group.bytes),
        )
        for group in value.groups[:SHOWN]
    ]
    left = len(value.groups) - SHOWN
    note = f"{left} more in --json" if left > 0 else None
    return Grid(counted(len(value.groups), "group"), columns, rows, note)
