"""Data files that the metadata names and that are missing or damaged: queries fail, or will."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding

#: What tables whose lists are made of footers call them.
UNREADABLE = "unreadable-files"
#: Files named as evidence.
LISTED = 10


def unreadable_files(table: TableState) -> Iterator[Finding]:
    """Sampled data files whose footer cannot be read."""
    failed = table.unreadable
    if UNREADABLE in table.oddities:  # every footer was read
        count, first_few = table.oddities[UNREADABLE]
        yield Finding(
            "unreadable-files",
            "critical",
            f"{count:,} of {table.files.num_rows:,} data files cannot be read; the first: {first_few[0]}",
            {"unreadable_files": count, "footers_tried": table.files.num_rows, "files": list(first_few)},
            None,
        )
        return
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
