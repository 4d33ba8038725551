"""What ``lakeopt history`` shows: one line a plan, oldest first."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, change, counted, key, size
from lakeopt.cli.section import Cell, Column, Grid, Item, Items, Section, Style
from lakeopt.model.result import History, HistoryEntry

ROWS = "entries"
_STYLES: dict[str, Style] = {"committed": "good", "failed": "critical", "unknown": "critical", "interrupted": "warning"}


def sections(value: History) -> Iterator[Section]:
    """The plans, then the errors of those that failed."""
    columns = (
        Column("started (UTC)"),
        Column("plan", rank=1),
        Column("command", rank=2),
        Column("status"),
        Column("layout", fit="wrap"),
        Column("before", right=True),
        Column("after", right=True),
        Column("ratio", right=True, rank=3),
        Column("snapshot", rank=4),
    )
    yield Grid(
        f"{value.table}: {counted(len(value.entries), 'plan')}", columns, [_row(entry) for entry in value.entries]
    )
    errors = [
        Item(Cell(entry.plan_id, _STYLES.get(entry.status)), entry.error) for entry in value.entries if entry.error
    ]
    if errors:
        yield Items("Errors", errors)


def _row(entry: HistoryEntry) -> tuple[Cell | str, ...]:
    layout = entry.layout
    return (
        entry.started_at[:19].replace("T", " "),
        entry.plan_id,
        entry.command,
        Cell(entry.status, _STYLES.get(entry.status)),
        NOTHING if layout is None else f"{layout.strategy} {key(layout.columns) if layout.columns else ''}".rstrip(),
        size(entry.bytes_before),
        size(entry.bytes_after),
        change(entry.bytes_before or 0, entry.bytes_after or 0).text.removesuffix(" of before"),
        _snapshots(entry.snapshot_ids),
    )


def _snapshots(ids: tuple[str, ...]) -> str:
    """The only one, or the last of many."""
    return f"{ids[-1]} (+{len(ids) - 1})" if len(ids) > 1 else ", ".join(ids) or NOTHING
