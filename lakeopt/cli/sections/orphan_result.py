"""What ``lakeopt remove-orphan-files`` shows when it is done."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from lakeopt.cli.figures import counted, seconds, size
from lakeopt.cli.section import Cell, Facts, Item, Items, Section
from lakeopt.cli.sections.kept_files import kept_files
from lakeopt.model.orphans import OrphanResult

ROWS = None


def sections(value: OrphanResult) -> Iterator[Section]:
    """What was moved and where to, what stayed and why, what failed."""
    pairs: list[tuple[str, Cell | str]] = [
        ("quarantined", f"{counted(value.quarantined_files_count, 'file')}, {size(value.bytes)}"),
        ("quarantine", value.quarantine if value.quarantined_files_count else "–"),
        ("time", seconds(value.elapsed_seconds)),
        ("plan", value.plan_id),
    ]
    if value.restored_files_count:
        back = f"{counted(value.restored_files_count, 'file')}: a commit came to need them meanwhile"
        pairs.insert(1, ("brought back", Cell(back, "warning")))
    yield Facts(f"Orphans of {value.table}", pairs)
    if value.quarantined_files_count:
        command = f"lakeopt restore {shlex.quote(value.table)} --plan {value.plan_id}"
        yield Items(
            "To bring them back", [Item(Cell("restore"), "as long as no sweep has deleted them", None, command)]
        )
    yield from kept_files(value.kept_counts, value.kept)
    if value.failed:
        yield Items("Failed", [Item(Cell(one.path, "critical"), one.error) for one in value.failed])
