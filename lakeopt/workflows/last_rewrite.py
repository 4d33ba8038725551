"""The last rewrite that lakeopt made in the history of a snapshot, as the snapshots themselves record it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lakeopt.config import Settings
from lakeopt.errors import LakeoptError, UsageError
from lakeopt.tables.base import Table

#: Key of a snapshot summary under which the committer leaves the plan's id.
PLAN_ID = "lakeopt.plan-id"
_HINT = "name a snapshot id, branch or tag with --before"


@dataclass(frozen=True, slots=True)
class LastRewrite:
    """Snapshot before the rewrite's first commit; seconds that it took, if the journal knows."""

    plan_id: str
    before: int
    seconds: float | None


def last_rewrite(table: Table, head: int, settings: Settings) -> LastRewrite:
    """The nearest rewrite among a snapshot and its ancestors; one that committed in parts counts as one.

    :raises UsageError: there is none, or the snapshot before it has expired.
    """
    by_id = {row["snapshot_id"]: row for row in table.view("snapshots").to_pylist()}
    row = by_id.get(str(head))
    while row is not None and _plan_id(row) is None:
        row = by_id.get(row["parent_id"])
    if row is None:
        raise UsageError(f"lakeopt has not rewritten {table.identifier} up to snapshot {head}", hint=_HINT)
    plan_id = str(_plan_id(row))
    while row is not None and _plan_id(row) == plan_id:
        before, row = row["parent_id"], by_id.get(row["parent_id"])
    if row is None:
        raise UsageError(
            f"the snapshot before the last rewrite of {table.identifier} ({before}) has expired", hint=_HINT
        )
    return LastRewrite(plan_id, int(row["snapshot_id"]), _seconds(table, plan_id, settings))


def _plan_id(row: dict[str, Any]) -> str | None:
    return dict(row["summary"] or ()).get(PLAN_ID)


def _seconds(table: Table, plan_id: str, settings: Settings) -> float | None:
    from lakeopt.workflows.history import entries

    try:
        results = [entry.result for entry in entries(table, settings) if entry.plan_id == plan_id and entry.result]
    except LakeoptError:  # no journal to be found: the figure is not known, the bench is none the worse
        return None
    return float(results[-1]["elapsed_seconds"]) if results else None
