"""Files of a Hive table that Iceberg tables name too: those that were made of it in place, as its journal tells, and
those of its metastore that say so themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from lakeopt.config import Settings
from lakeopt.errors import Refused
from lakeopt.model.migration import MigrationPlan
from lakeopt.tables.base import Table
from lakeopt.workflows.journal import JournalledRun, runs

if TYPE_CHECKING:
    from lakeopt.tables.hive.table import HiveTable


def shared_files(table: Table, settings: Settings, marks: Mapping[str, str]) -> dict[str, str]:
    """Of marked files (with their kinds) those that another table reaches, whatever its name is now, with the reason.

    :raises Refused: a catalog does not tell whether such a table is still there.
    :raises Unreachable: the journal or a catalog cannot be read.
    """
    from lakeopt.tables.committer import upkeep
    from lakeopt.tables.hive.neighbours import borrowers
    from lakeopt.tables.iceberg.deletion.neighbours import name_of
    from lakeopt.tables.open import open_table

    if table.keeps_snapshots or not marks:
        return {}
    others: dict[str, str] = {}
    if table.format == "hive":
        others |= {name: f"{name} reads it" for name in borrowers(cast("HiveTable", table))}
    for run in runs(table, settings):
        made = _made_in_place(run)
        name = None if made is None else name_of(made["to"], made["uuid"], settings)
        if name is not None:
            others[name] = f"{name} was made of this table in place and reads it"
    held: dict[str, str] = {}
    for name, reason in others.items():
        other = open_table(name, settings)
        held |= dict.fromkeys(upkeep(other).holding(other, marks).reached, reason)
    return held


def require_unshared(table: Table, settings: Settings, locations: Iterable[str]) -> None:
    """Before files go from where they are: no other table reads them there.

    :raises Refused: one does, or nobody knows.
    """
    if not table.moves_replaced_files:
        return
    shared = shared_files(table, settings, dict.fromkeys(locations, "replaced"))
    if shared:
        path, reason = next(iter(shared.items()))
        raise Refused(
            f"{path} cannot be put elsewhere: {reason}",
            hint="rewrite that table instead, or drop it first; a table in a metastore can be rewritten beside it",
        )


def _made_in_place(run: JournalledRun) -> Mapping[str, str] | None:
    """Name and UUID of the table that a run made of the files as they are, or may have made."""
    plan = run.started.get("plan") or {}
    if plan.get("kind") != MigrationPlan.kind or plan.get("mode") != "in-place":
        return None
    return next(iter(run.of("creating")), None)
