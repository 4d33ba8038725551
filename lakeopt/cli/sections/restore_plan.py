"""What ``lakeopt restore --dry-run`` shows, and what is asked about before anything is brought back."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import counted, size
from lakeopt.cli.section import Cell, Facts, Section
from lakeopt.model.orphans import RestorePlan

ROWS = None


def sections(value: RestorePlan) -> Iterator[Section]:
    """Which plan is undone, and what comes back."""
    if value.snapshot_id is not None:
        back: tuple[str, Cell | str] = ("goes back", f"{value.branch} to snapshot {value.snapshot_id}")
    else:
        files = f"{counted(value.files_count, 'file')}, {size(value.bytes)}"
        back = ("comes back", files if value.files_count else Cell("nothing is in the quarantine", "warning"))
    yield Facts(
        f"Plan {value.plan_id} for {value.table}", (("undoes", f"{value.undone_plan_id} ({value.undone_kind})"), back)
    )
