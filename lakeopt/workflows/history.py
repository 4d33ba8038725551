"""What lakeopt did to a table, plan by plan, as the journal holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lakeopt.config import Settings, load_settings
from lakeopt.errors import UsageError
from lakeopt.model.plan import Layout
from lakeopt.model.result import History, HistoryEntry
from lakeopt.model.serde import from_data
from lakeopt.tables.base import Table
from lakeopt.workflows.journal import ENDS, JournalledRun, by_plan, runs

#: Of several runs of a plan, the one whose status says most about it.
_TELLING = ("committed", "running", "unknown")


def history(table: str | Table, *, settings: Settings | None = None) -> History:
    """Everything that the journal holds about a table, oldest first."""
    from lakeopt.tables.open import open_table

    settings = settings or load_settings()
    opened = open_table(table, settings) if isinstance(table, str) else table
    return History(opened.identifier, tuple(entries(opened, settings)))


def entries(table: Table, settings: Settings) -> list[HistoryEntry]:
    """The plans of the journal in the order in which they were begun."""
    return [_entry(plan_id, found) for plan_id, found in by_plan(runs(table, settings)).items()]


def _entry(plan_id: str, found: Sequence[JournalledRun]) -> HistoryEntry:
    telling = [run for status in _TELLING for run in found if run.status == status]
    chosen, first = (telling or [found[-1]])[0], found[0]
    plan: Mapping[str, Any] | None = first.started.get("plan")
    result: Mapping[str, Any] = chosen.last.get("result") or {}
    return HistoryEntry(
        plan_id=plan_id,
        command=first.started.get("command", ""),
        status=chosen.status,
        started_at=first.started["at"],
        ended_at=chosen.last["at"] if chosen.last["event"] in (*ENDS, "unknown") else None,
        layout=_layout(plan),
        snapshot_ids=tuple(dict.fromkeys(number for run in found for number in run.snapshot_ids)),
        bytes_before=result.get("bytes_before"),
        bytes_after=result.get("bytes_after"),
        error=chosen.last.get("error"),
        plan=plan,
        result=result or None,
    )


def _layout(plan: Mapping[str, Any] | None) -> Layout | None:
    """The layout of a journalled plan; a plan of another version, or without one, shows none."""
    try:
        return from_data(Layout, plan["layout"]) if plan else None
    except (UsageError, KeyError):
        return None
