"""What plans that are not done yet hold on to: the snapshot that they were made on, and files of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lakeopt.config import Settings
from lakeopt.tables.base import Table
from lakeopt.workflows.journal import JournalledRun, unfinished
from lakeopt.workflows.leases import GRACE, age_of

#: Where the groups of a plan name files.
_LISTS = ("data_files", "delete_files")
#: Kinds of plans that are based on no snapshot: they hold nothing.
_UNBASED = ("expiry_plan", "sweep_plan", "orphan_plan", "retention_plan")


@dataclass(frozen=True)
class OpenRun:
    """A run without a known end: it works, or it is not known whether it has committed."""

    plan_id: str
    base_snapshot_id: int | None
    files: frozenset[str]

    def holds(self, path: str) -> bool:
        """Whether a file is read by the run, or written by it: the names of what it writes begin with its plan."""
        return path in self.files or path.rpartition("/")[2].startswith(self.plan_id)


def open_runs(table: Table, settings: Settings) -> list[OpenRun]:
    """Runs that may still commit. One of which nothing was heard for as long as a run may last is none of them.

    :raises Unreachable: the state directory cannot be read.
    """
    return [_open_run(run) for run in unfinished(table, settings) if _may_commit(run)]


def running(table: Table, settings: Settings, kind: str) -> str | None:
    """The id of a plan of that kind (``sweep_plan``, ``restore_plan``) that is being carried out, if one is.

    Who journals that it begins before it asks for the other kind is seen by the other, or sees it.

    :raises Unreachable: the state directory cannot be read.
    """
    for run in unfinished(table, settings):
        same = (run.started.get("plan") or {}).get("kind") == kind
        if same and run.status == "running" and age_of(run.newest) <= GRACE:
            return run.plan_id
    return None


def _may_commit(run: JournalledRun) -> bool:
    plan: Mapping[str, Any] = run.started.get("plan") or {}
    if plan.get("kind") in _UNBASED or run.status not in ("running", "unknown"):
        return False
    return run.status == "unknown" or age_of(run.newest) <= GRACE


def _open_run(run: JournalledRun) -> OpenRun:
    plan: Mapping[str, Any] = run.started.get("plan") or {}
    base = plan.get("base_snapshot_id")
    files = {file["path"] for group in plan.get("groups", ()) for kind in _LISTS for file in group.get(kind, ())}
    return OpenRun(run.plan_id, int(base) if base else None, frozenset(files))
