"""What ``lakeopt restore`` shows when it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lakeopt.cli.figures import counted, seconds, size
from lakeopt.cli.section import Cell, Facts, Item, Items, Section
from lakeopt.cli.sections.kept_files import kept_files
from lakeopt.model.orphans import RestoreResult

ROWS = None


def sections(value: RestoreResult) -> Iterator[Section]:
    """What came back, what was there already, what failed."""
    if value.snapshot_id is not None:
        back: tuple[str, Cell | str] = ("went back", f"{value.branch} to snapshot {value.snapshot_id}")
    else:
        back = ("came back", f"{counted(value.restored_files_count, 'file')}, {size(value.bytes)}")
    yield Facts(
        f"Restored {value.table}",
        (
            ("undone", f"{value.undone_plan_id} ({value.undone_kind})"),
            back,
            ("time", seconds(value.elapsed_seconds)),
            ("plan", value.plan_id),
        ),
    )
    yield from kept_files(Counter(kept.reason for kept in value.kept), value.kept)
    if value.failed:
        yield Items("Failed", [Item(Cell(one.path, "critical"), one.error) for one in value.failed])
