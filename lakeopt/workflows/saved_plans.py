"""Plans of every kind, from their JSON to their result: what ``apply`` takes."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lakeopt.config import Settings
from lakeopt.errors import UsageError
from lakeopt.model.orphans import require_plain_id
from lakeopt.model.serde import Document, from_json

Act = Callable[..., Document]


@dataclass(frozen=True, slots=True)
class PlanKind:
    """Where the plans of a kind are defined and carried out, each as ``module:name``, and the command they are of."""

    verb: str
    model: str
    act: str

    def load(self) -> tuple[type[Document], Act]:
        """The class of the plans, and the function that carries them out."""
        return _named(self.model), _named(self.act)


KINDS = {
    "rewrite_plan": PlanKind("rewrite", "lakeopt.model.plan:RewritePlan", "lakeopt.workflows.apply:apply"),
    "manifests_plan": PlanKind(
        "rewrite-manifests",
        "lakeopt.model.manifests:ManifestsPlan",
        "lakeopt.workflows.rewrite_manifests:apply_manifests",
    ),
    "retention_plan": PlanKind(
        "retention", "lakeopt.model.retention:RetentionPlan", "lakeopt.workflows.retention:apply_retention"
    ),
    "migration_plan": PlanKind(
        "migrate", "lakeopt.model.migration:MigrationPlan", "lakeopt.workflows.migration_run:apply_migration"
    ),
    "expiry_plan": PlanKind(
        "expire-snapshots", "lakeopt.model.expiry:ExpiryPlan", "lakeopt.workflows.expire_snapshots:apply_expiry"
    ),
    "sweep_plan": PlanKind("sweep", "lakeopt.model.expiry:SweepPlan", "lakeopt.workflows.sweep:apply_sweep"),
    "orphan_plan": PlanKind(
        "remove-orphan-files",
        "lakeopt.model.orphans:OrphanPlan",
        "lakeopt.workflows.remove_orphan_files:quarantine_orphan_files",
    ),
    "restore_plan": PlanKind(
        "restore", "lakeopt.model.orphans:RestorePlan", "lakeopt.workflows.restore:carry_out_restore"
    ),
}


def read_plan(text: str) -> Document:
    """The plan that a command saved with ``-o``, whatever its kind.

    :raises UsageError: the text is no JSON, or no plan, or its id would lead out of the table's folders.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}") from error
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise UsageError(f"its kind is {kind!r}, not one of {', '.join(KINDS)}")
    plan = from_json(KINDS[kind].load()[0], text)
    require_plain_id(getattr(plan, "plan_id", ""))
    return plan


def apply(plan: Document, *, settings: Settings | None = None, **more: Any) -> Document:
    """Carry out a saved plan of any kind; ``more`` as the rewrite of :func:`lakeopt.workflows.apply.apply` takes it.

    A sweep or a removal of orphan files within a day is not done from a saved plan: the promise that nothing else
    writes the table was for the command that made it.

    :raises StalePlan: the plan no longer holds.
    :raises Refused: it may not be done now.
    """
    from lakeopt.maintenance.remove_orphan_files import check_age
    from lakeopt.maintenance.sweep import check_grace
    from lakeopt.model.expiry import SweepPlan
    from lakeopt.model.orphans import OrphanPlan

    if isinstance(plan, SweepPlan):
        check_grace(plan.grace_seconds, no_concurrent_writers=False)
    if isinstance(plan, OrphanPlan):
        check_age(plan.older_than_seconds, no_concurrent_writers=False)
    return KINDS[plan.kind].load()[1](plan, settings=settings, **more)


def _named(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)
