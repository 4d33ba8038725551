"""Data files that the metadata names and that are missing or damaged: queries fail, or will."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding

#: Files named as evidence.
LISTED = 10


def unreadable_files(table: TableState) -> Iterator[Finding]:
    """Sampled data files whose footer cannot be read."""
    failed = table.unreadable
    if not failed:
        return
    tried, first = len(failed) + len(table.footers), next(iter(failed.values()))
    yield Finding(
        "unreadable-files",
        "critical",
        f"{len(failed):,} of {tried:,} sampled data files cannot be read; the first: {first}",
        {
            "unreadable_files": len(failed),
            "footers_tried": tried,
            "files": dict(list(failed.items())[:LISTED]),
        },
        None,  # a lost file comes back from a backup or an older snapshot, not from a rewrite
    )


CHECK: Check = unreadable_files
