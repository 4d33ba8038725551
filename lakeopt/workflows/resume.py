"""Go on with a plan that was stopped half-way: which of its groups are done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeopt.config import Settings
from lakeopt.model.plan import RewritePlan
from lakeopt.tables.base import Table
from lakeopt.workflows.journal import runs


def groups_committed(table: Table, plan: RewritePlan, settings: Settings) -> set[int]:
    """Ids of the groups that earlier runs of this plan have committed, each with a snapshot of its own.

    The journal alone does not tell: one whose snapshot was rolled back is to be done again.
    """
    if not plan.partial_progress or not plan.groups:
        return set()
    found = [event for run in runs(table, settings, plan.plan_id) for event in run.of("group-committed")]
    if not found:
        return set()
    if not table.keeps_snapshots:
        return {number for event in found for number in event["group_ids"] if _is_in_force(table, plan, event, number)}
    kept = _ancestors(table, plan.branch)
    return {number for event in found if event["snapshot_id"] in kept for number in event["group_ids"]}


def _is_in_force(table: Table, plan: RewritePlan, event: Mapping[str, Any], number: int) -> bool:
    from lakeopt.tables.committer import committer

    groups = [group for group in plan.groups if group.group_id == number]
    return committer(plan.committer).find(table, int(event["snapshot_id"]), groups)


def _ancestors(table: Table, branch: str) -> set[str]:
    parents = {row["snapshot_id"]: row["parent_id"] for row in table.view("snapshots").to_pylist()}
    head = table.snapshot_id(branch)
    found: set[str] = set()
    at = str(head) if head is not None else None
    while at is not None and at in parents:
        found.add(at)
        at = parents[at]
    return found
