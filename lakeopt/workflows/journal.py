"""The journal: what lakeopt did to a table, one immutable object an event.

``<state dir>/journal/<table uuid>/<plan id>/<nnnn>-<event>.json``, events in this order:
``started`` (with the whole plan), ``staged`` (a group's files are written and proved), ``committing`` (with the
snapshot id, before the first attempt), then one of ``committed`` (with the whole result), ``failed``,
``interrupted`` or ``unknown``; a later run that can tell what became of ``unknown`` adds the end. A run that was
killed wrote no end: it counts as interrupted, or as unknown where it may have been committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lakeopt.config import Settings, load_settings
from lakeopt.errors import UsageError
from lakeopt.model.plan import Layout, RewritePlan
from lakeopt.model.result import History, HistoryEntry, RewriteResult
from lakeopt.model.serde import from_data, to_data
from lakeopt.tables.base import Table
from lakeopt.workflows.processes import has_ended, process_identity
from lakeopt.workflows.state import read_objects, state_location, write_object

#: Status of an entry whose process was killed after this event; while the process lives it is running.
_KILLED = {"started": "interrupted", "staged": "interrupted", "committing": "unknown"}


def now() -> str:
    """The time as the journal writes it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass
class JournalWriter:
    """Writes the events of one plan."""

    table: Table
    location: str
    count: int = field(default=0)

    def write(self, event: str, **values: Any) -> None:
        """Append one event."""
        self.count += 1
        name = f"{self.location}/{self.count:04d}-{event}.json"
        write_object(self.table, name, {"event": event, "at": now(), **values})


def start(table: Table, plan: RewritePlan, command: str, settings: Settings) -> JournalWriter:
    """Begin the journal of a plan; a plan that was begun before goes on where its events end."""
    location = f"{state_location(table, settings)}/journal/{table.uuid}/{plan.plan_id}"
    writer = JournalWriter(table, location, count=len(read_objects(table, location)))
    writer.write("started", command=command, plan=to_data(plan), process=process_identity())
    return writer


def history(table: str | Table, *, settings: Settings | None = None) -> History:
    """Everything that the journal holds about a table, oldest first."""
    from lakeopt.tables.open import open_table

    settings = settings or load_settings()
    opened = open_table(table, settings) if isinstance(table, str) else table
    return History(opened.identifier, tuple(entries(opened, settings)))


def entries(table: Table, settings: Settings) -> Iterable[HistoryEntry]:
    """The plans of the journal in the order in which they were begun."""
    by_plan: dict[str, list[Mapping[str, Any]]] = {}
    for path, event in read_objects(table, f"{state_location(table, settings)}/journal/{table.uuid}"):
        by_plan.setdefault(path.split("/")[0], []).append(event)
    found = [_entry(plan_id, events) for plan_id, events in by_plan.items()]
    return sorted(found, key=lambda entry: (entry.started_at, entry.plan_id))


def unresolved(table: Table, settings: Settings) -> list[tuple[JournalWriter, int]]:
    """Plans whose commit has no known outcome, each with a writer for its end and its snapshot id."""
    base = f"{state_location(table, settings)}/journal/{table.uuid}"
    found = []
    for entry in entries(table, settings):
        if entry.status == "unknown" and entry.snapshot_ids:
            location = f"{base}/{entry.plan_id}"
            writer = JournalWriter(table, location, count=len(read_objects(table, location)))
            found.append((writer, int(entry.snapshot_ids[-1])))
    return found


def _entry(plan_id: str, events: list[Mapping[str, Any]]) -> HistoryEntry:
    first, last = events[0], next((event for event in events if event["event"] == "committed"), events[-1])
    plan, result = first.get("plan"), last.get("result")
    snapshots = result["snapshot_ids"] if result else [e["snapshot_id"] for e in events if e["event"] == "committing"]
    return HistoryEntry(
        plan_id=plan_id,
        command=first.get("command", ""),
        status=_status(events, last),
        started_at=first["at"],
        ended_at=None if last["event"] in _KILLED else last["at"],
        layout=_layout(plan),
        snapshot_ids=tuple(dict.fromkeys(snapshots)),
        bytes_before=result["bytes_before"] if result else None,
        bytes_after=result["bytes_after"] if result else None,
        error=last.get("error"),
        plan=plan,
        result=result,
    )


def _status(events: list[Mapping[str, Any]], last: Mapping[str, Any]) -> str:
    if last["event"] not in _KILLED:
        return str(last["event"])
    process = [event["process"] for event in events if "process" in event][-1:]
    return _KILLED[last["event"]] if process and has_ended(process[0]) else "running"


def _layout(plan: Mapping[str, Any] | None) -> Layout | None:
    """The layout of a journalled plan; a plan of another version shows none rather than hiding the entry."""
    try:
        return from_data(Layout, plan["layout"]) if plan else None
    except (UsageError, KeyError):
        return None


def result_event(result: RewriteResult) -> dict[str, Any]:
    """The values of a ``committed`` event."""
    return {"result": to_data(result)}
