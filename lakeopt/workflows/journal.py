"""The journal: what lakeopt did to a table, one immutable object an event.

``<state dir>/journal/<table uuid>/<plan id>/<nnnn>-<run>-<event>.json``. A plan may be run more than once, also at
the same time: ``run`` is the token of one run, which its files bear too. Events of a run, in this order:

``started`` (with the whole plan and the process), for each file group ``staging`` (before its first file exists:
where its files will lie and how their names begin) and ``staged`` (written and proved), ``committing`` (with the
snapshot id, before the first attempt); with partial progress ``group-committed`` or ``group-failed`` for each group;
then one end: ``committed`` (with the whole result), ``failed``, ``interrupted``, ``nothing-to-do`` (other runs were at
all of it) or ``unknown``. A run that was killed wrote no end: it counts as interrupted, or as unknown where it may
have been committed, until a later run settles it (:mod:`lakeopt.workflows.settle`), which may write ``marked`` first.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

from lakeopt.config import Settings
from lakeopt.model.orphans import require_plain_id
from lakeopt.model.serde import Document, to_data
from lakeopt.tables.base import Table
from lakeopt.workflows.processes import has_ended, process_identity, seems_ended
from lakeopt.workflows.state import object_names, read_object, read_objects, state_location, write_object

#: Events after which a run does nothing more, and nothing is left to be found out.
ENDS = ("committed", "failed", "interrupted", "nothing-to-do")


class Planned(Protocol):
    """A plan that can be journalled: any top-level value with an id."""

    @property
    def plan_id(self) -> str:
        """Names the plan's folder in the journal."""


def now() -> str:
    """The time as the journal writes it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass
class JournalWriter:
    """Writes the events of one run of a plan."""

    table: Table
    location: str
    token: str
    count: int = field(default=0)

    def write(self, event: str, **values: Any) -> None:
        """Append one event."""
        self.count += 1
        name = f"{self.location}/{self.count:04d}-{self.token}-{event}.json"
        write_object(self.table, name, {"event": event, "at": now(), "run": self.token, **values})


def new_plan_id() -> str:
    """A plan's name: when it was made (UTC), and what tells it from others of that second."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def new_token() -> str:
    """What tells one run of a plan from another, in the journal and in the names of its files."""
    return secrets.token_hex(4)


def start(table: Table, plan: Planned, command: str, settings: Settings, *, token: str | None = None) -> JournalWriter:
    """Begin a run of a plan; the events of earlier runs of it are numbered before its own.

    :raises UsageError: the plan's id is no plain name: it would lead out of the journal.
    """
    require_plain_id(plan.plan_id)
    location = f"{folder(table, settings)}/{plan.plan_id}"
    writer = JournalWriter(table, location, token or new_token(), count=len(object_names(table, location)))
    writer.write("started", command=command, plan=to_data(plan), process=process_identity())
    return writer


def folder(table: Table, settings: Settings) -> str:
    """Where the plans of a table are journalled."""
    return f"{state_location(table, settings)}/journal/{table.uuid}"


@dataclass(frozen=True)
class JournalledRun:
    """The events of one run of a plan, oldest first."""

    plan_id: str
    token: str
    location: str
    events: Sequence[Mapping[str, Any]]

    @cached_property
    def started(self) -> Mapping[str, Any]:
        """The first event: the plan, the command and the process."""
        return self.events[0]

    @cached_property
    def last(self) -> Mapping[str, Any]:
        """The event that says how it ended, else the newest that says how far it came."""
        ended = next((event for event in self.events if event["event"] == "committed"), None)
        return ended or next(event for event in reversed(self.events) if event["event"] != "marked")

    @property
    def newest(self) -> Mapping[str, Any]:
        """The newest sign of life: later runs add what they found out, and say so."""
        return next(event for event in reversed(self.events) if not event.get("settled_later"))

    @cached_property
    def is_dead(self) -> bool:
        """Whether its process is surely gone."""
        process: Mapping[str, Any] | None = self.started.get("process")
        return process is not None and has_ended(process)

    @cached_property
    def seems_dead(self) -> bool:
        """Whether its process is gone as far as its host's name tells."""
        process: Mapping[str, Any] | None = self.started.get("process")
        return process is not None and seems_ended(process)

    @property
    def status(self) -> str:
        """``committed``, ``failed``, ``interrupted``, ``unknown`` or ``running``."""
        event = str(self.last["event"])
        if event in (*ENDS, "unknown"):
            return event
        if not self.seems_dead:
            return "running"
        return "interrupted" if self.pending_snapshot is None else "unknown"

    @property
    def pending_snapshot(self) -> int | None:
        """Id of the snapshot that was being committed when the events end, if there was one."""
        for event in reversed(self.events):
            if event["event"] == "committing":
                return int(event["snapshot_id"])
            if event["event"] in ("group-committed", "group-failed", *ENDS):
                return None
        return None

    def of(self, name: str) -> list[Mapping[str, Any]]:
        """Its events of that name."""
        return [event for event in self.events if event["event"] == name]

    @property
    def snapshot_ids(self) -> tuple[str, ...]:
        """Snapshots that it committed, and the one whose outcome is not known."""
        result = self.last.get("result") or self.last
        ids = [event["snapshot_id"] for event in self.of("group-committed")] + list(result.get("snapshot_ids", ()))
        if self.status in ("unknown", "running") and self.pending_snapshot is not None:
            ids.append(str(self.pending_snapshot))
        return tuple(dict.fromkeys(ids))

    def groups_of(self, snapshot_id: str) -> tuple[int, ...]:
        """Ids of the file groups that were committed with a snapshot, as far as it was one of some groups alone."""
        told = [event for name in ("committing", "group-committed") for event in self.of(name)]
        return next((tuple(e.get("group_ids", ())) for e in told if str(e["snapshot_id"]) == str(snapshot_id)), ())

    def writer(self, table: Table) -> JournalWriter:
        """To add what a later run found out about this one."""
        return JournalWriter(table, self.location, self.token, count=len(object_names(table, self.location)))


def runs(table: Table, settings: Settings, plan_id: str | None = None) -> list[JournalledRun]:
    """The runs that the journal knows, of all plans or of one, in the order in which they were begun."""
    base = folder(table, settings)
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for path, event in read_objects(table, base if plan_id is None else f"{base}/{plan_id}"):
        found.setdefault((plan_id or path.split("/")[0], event.get("run", "")), []).append(event)
    made = [JournalledRun(plan, token, f"{base}/{plan}", events) for (plan, token), events in found.items()]
    return sorted(made, key=lambda run: (run.started["at"], run.plan_id, run.token))


def unfinished(table: Table, settings: Settings) -> Iterator[JournalledRun]:
    """Runs whose events have no end; the names of the journal's objects alone tell those that have one.

    :raises Unreachable: the state directory cannot be read.
    """
    base = folder(table, settings)
    names: dict[tuple[str, str], list[str]] = {}
    ended: set[tuple[str, str]] = set()
    for name in object_names(table, base):
        plan_id, _, rest = name.removesuffix(".json").partition("/")
        _, _, rest = rest.partition("-")
        token, _, event = rest.partition("-")
        names.setdefault((plan_id, token), []).append(name)
        if event in ENDS:
            ended.add((plan_id, token))
    for (plan_id, token), own in sorted(names.items()):
        read = (read_object(table, f"{base}/{name}") for name in own if (plan_id, token) not in ended)
        events = [event for event in read if event is not None]
        if events:
            yield JournalledRun(plan_id, token, f"{base}/{plan_id}", events)


def by_plan(found: Iterable[JournalledRun]) -> dict[str, list[JournalledRun]]:
    """Runs by their plan, oldest first."""
    plans: dict[str, list[JournalledRun]] = {}
    for run in found:
        plans.setdefault(run.plan_id, []).append(run)
    return plans


def result_event(result: Document) -> dict[str, Any]:
    """The values of a ``committed`` event."""
    return {"result": to_data(result)}
