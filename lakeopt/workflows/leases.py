"""Leases: that two lakeopt runs never do the same work twice. Safety never rests on one.

``<state dir>/leases/<table uuid>/<key>/<nnnn>.json``, created exclusively; the highest number holds. The key stands
for a branch, a partition spec and a partition, so that groups of different plans that share a file share a key: what
two plans make of one partition would only conflict. A lease is left in the way of others while its run lives; that
of a run that seems dead is taken over by the next number, and so is one that is older than the grace where nothing is
known of its process.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lakeopt.config import Settings
from lakeopt.errors import CommitConflict, MissingExtra, Notice, Refused, Unreachable
from lakeopt.model.plan import FileGroup, RewritePlan
from lakeopt.tables.base import Table
from lakeopt.workflows.journal import now
from lakeopt.workflows.processes import process_identity, seems_ended
from lakeopt.workflows.state import delete_object, object_names, read_object, state_location

if TYPE_CHECKING:
    import pyarrow as pa

#: How long files and leases of a run are left alone when nothing is known of it (seconds).
GRACE = 24 * 3600.0
#: A run never commits what it began longer ago: by then it must count on being taken for dead.
COMMIT_WITHIN = GRACE / 2


@dataclass
class _Held:
    name: str
    since: float
    since_monotonic: float

    @property
    def age(self) -> float:
        """Seconds since it was taken, by the clock that went further: one may have been set, the other halted."""
        return max(time.time() - self.since, time.monotonic() - self.since_monotonic)


@dataclass
class Leases:
    """The leases of one run, by key. ``unleased`` says why this run has none, where the storage offers none."""

    table: Table
    settings: Settings
    plan: RewritePlan
    token: str
    unleased: str | None = None
    began: _Held = field(default_factory=lambda: _Held("", time.time(), time.monotonic()))
    _held: dict[str, _Held] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """Where the leases of the table are."""
        return leases_folder(self.table, self.settings)

    def take(self, group: FileGroup) -> str | None:
        """Take the lease of a group; None when it is ours, else why it is not.

        :raises Unreachable: the state directory cannot be read or written.
        """
        key = lease_key(self.plan.branch, group)
        if key in self._held or self.unleased is not None:
            return None
        folder = f"{self.folder}/{key}"
        names = object_names(self.table, folder)
        holder = read_object(self.table, f"{folder}/{names[-1]}") if names else None
        if holder is not None and not is_void(holder):
            return _reason(holder)
        name = f"{folder}/{int(names[-1].removesuffix('.json')) + 1 if names else 1:04d}.json"
        held = _Held(name, time.time(), time.monotonic())
        about = {"run": self.token, "plan_id": self.plan.plan_id, "at": now(), "process": process_identity()}
        try:
            made = self._create(name, about | {"partition": group.partition, "branch": self.plan.branch})
            if not made and not self._is_ours(name):
                return "another lakeopt run took it on at the same moment"
        except (Refused, MissingExtra) as error:
            self.unleased = str(error)
            told = f"no leases: {error}; another lakeopt run may do the same work"
            warnings.warn(Notice(told, hint=error.hint), stacklevel=2)
            return None
        self._held[key] = held
        return None

    def _create(self, name: str, value: Mapping[str, Any]) -> bool:
        try:
            return self.table.create_exclusively(name, json.dumps(value, ensure_ascii=False).encode())
        except OSError as error:
            raise Unreachable(
                f"the state directory cannot be written: {name}: {error}",
                hint="set LAKEOPT_STATE_DIR to a location that this user may write",
            ) from error

    def _is_ours(self, name: str) -> bool:
        """Whether we made it after all: where an answer is lost, the client asks again, and finds what it made."""
        found = read_object(self.table, name)
        return found is not None and found.get("run") == self.token

    def confirm(self, groups: Sequence[FileGroup], staged: Mapping[int, pa.Table]) -> None:
        """Directly before a commit: the leases are still ours, we are not too old, and all written files are there.

        :raises CommitConflict: others may have taken this run for dead, and its files away.
        """
        for group in groups:
            held = self._held.get(lease_key(self.plan.branch, group), self.began)
            if held.age > COMMIT_WITHIN:
                raise _taken_for_dead(
                    f"the work on {group.partition} began {held.age / 3600:.1f} hours ago; nothing is committed after "
                    f"{COMMIT_WITHIN / 3600:.0f} hours"
                )
            if held.name:
                self._confirm_lease(held.name, group)
        for files in staged.values():
            _confirm_files(self.table, files)

    def _confirm_lease(self, name: str, group: FileGroup) -> None:
        folder = name.rpartition("/")[0]
        names = object_names(self.table, folder)
        newest = read_object(self.table, f"{folder}/{names[-1]}") if names else None
        if newest is None or newest.get("run") != self.token:
            by = f": {_who(newest)} has it now" if newest else ""
            raise _taken_for_dead(f"the lease of {group.partition} is no longer held by this run{by}")
        if (age := age_of(newest)) > COMMIT_WITHIN:
            raise _taken_for_dead(f"the lease of {group.partition} was taken {age / 3600:.1f} hours ago")

    def release(self) -> None:
        """Give all of them back, older numbers first: until the last is gone, no other run takes one for free."""
        for held in self._held.values():
            folder = held.name.rpartition("/")[0]
            for name in object_names(self.table, folder):
                if f"{folder}/{name}" <= held.name:
                    delete_object(self.table, f"{folder}/{name}")
        self._held.clear()


def leases_folder(table: Table, settings: Settings) -> str:
    """Where the leases of a table are."""
    return f"{state_location(table, settings)}/leases/{table.uuid}"


def forget(table: Table, settings: Settings, token: str) -> None:
    """Remove the leases of a run that holds none any more because it is dead."""
    folder = leases_folder(table, settings)
    for name in object_names(table, folder):
        lease = read_object(table, f"{folder}/{name}")
        if lease is not None and lease.get("run") == token:
            delete_object(table, f"{folder}/{name}")


def lease_key(branch: str, group: FileGroup) -> str:
    """Stands for the branch, spec and partition of a group."""
    text = json.dumps([branch, group.spec_id, group.partition], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def is_void(lease: Mapping[str, Any]) -> bool:
    """Whether a lease keeps nobody away any more: its run seems to have ended, or it is older than the grace.

    Where that is wrong, work is done twice; nothing is lost by it.
    """
    process = lease.get("process")
    return (isinstance(process, dict) and seems_ended(process)) or age_of(lease) > GRACE


def age_of(event: Mapping[str, Any]) -> float:
    """Seconds since the time that a lease or a journal event bears."""
    return (datetime.now(UTC) - datetime.fromisoformat(event["at"])).total_seconds()


def _reason(holder: Mapping[str, Any]) -> str:
    return f"another lakeopt run ({_who(holder)}) is rewriting it"


def _who(holder: Mapping[str, Any]) -> str:
    process = holder.get("process", {})
    return f"plan {holder.get('plan_id')}, host {process.get('host')}, pid {process.get('pid')}"


def _confirm_files(table: Table, staged: pa.Table) -> None:
    sizes = zip(staged["file_path"].to_pylist(), staged["file_size_in_bytes"].to_pylist(), strict=True)
    for location, size in sizes:
        filesystem, path = table.resolve(location)
        try:
            found = filesystem.get_file_info(path)
        except OSError as error:
            raise Unreachable(f"storage does not answer: {location}: {error}", hint="try again later") from error
        if not found.is_file or found.size != size:
            raise _taken_for_dead(f"a file that this run has written is gone: {location}")


def _taken_for_dead(what: str) -> CommitConflict:
    return CommitConflict(f"nothing is committed: {what}", hint="make a new plan, or run it again")
