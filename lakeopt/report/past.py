"""What lakeopt did to the table, latest first."""

from __future__ import annotations

from lakeopt.figures import NOTHING, key, percent, size
from lakeopt.model.report import TableReport
from lakeopt.model.result import HistoryEntry
from lakeopt.report.grid import Column, grid
from lakeopt.report.markup import Markup, absent, join, section, tag

_HEADINGS = (
    Column("started (UTC)"),
    Column("command"),
    Column("status"),
    Column("layout", prose=True),
    Column("before", True),
    Column("after", True),
    Column("ratio", True),
    Column("plan"),
)
_STYLES = {"committed": "good", "failed": "critical", "unknown": "critical", "interrupted": "warning"}


def past(value: TableReport) -> Markup:
    """One row a plan."""
    title, history = "What lakeopt did", value.history
    if history is None:
        return section("history", title, absent(value.reason("history") or "the journal was not read"))
    if not history.entries:
        return section("history", title, tag("p", "Nothing yet: the journal holds no plan for this table."))
    rows = [_row(entry) for entry in reversed(history.entries)]
    return section("history", title, grid("Plans, latest first", _HEADINGS, rows))


def _row(entry: HistoryEntry) -> list[str]:
    layout, before, after = entry.layout, entry.bytes_before, entry.bytes_after
    by = "" if layout is None else f"{layout.strategy} {key(layout.columns) if layout.columns else ''}".rstrip()
    status = tag("span", entry.status, class_=_STYLES.get(entry.status))
    return [
        entry.started_at[:19].replace("T", " "),
        entry.command,
        join((status, f": {entry.error}")) if entry.error else status,
        by or NOTHING,
        size(before),
        size(after),
        percent(after / before) if before and after is not None else NOTHING,
        entry.plan_id,
    ]
