"""What the clean-up and the undoing of rewrites ask of Iceberg: snapshots, refs and what they reach."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from lakeopt.errors import Refused
from lakeopt.tables.base import Holding, Leaving, Table, Undone


class IcebergUpkeep:
    """Fills :class:`lakeopt.tables.base.Upkeep`."""

    def require_collectable(self, table: Table) -> None:
        """Refuse a table that cannot be written, is encrypted, or says ``gc.enabled=false``."""
        from lakeopt.tables.iceberg.deletion.retention_facts import require_collectable

        require_collectable(table)

    def refuse_twin(self, table: Table) -> None:
        """Refuse where the catalog has a second name with the same table UUID."""
        from lakeopt.tables.iceberg.deletion.neighbours import refuse_twin
        from lakeopt.tables.iceberg.deletion.reach import iceberg_table

        refuse_twin(iceberg_table(table).iceberg)

    def holding(self, table: Table, marks: Mapping[str, str]) -> Holding:
        """The files that any snapshot, the metadata or statistics reach."""
        import pyarrow as pa

        from lakeopt.tables.iceberg.deletion.dead_files import unreached
        from lakeopt.tables.iceberg.deletion.reach import iceberg_table
        from lakeopt.tables.iceberg.deletion.reachable import reachable_files

        files = pa.table({"file_path": pa.array(list(marks), pa.string())})
        dead = unreached(files, reachable_files(iceberg_table(table).iceberg))
        return Holding(frozenset(set(marks) - set(dead["file_path"].to_pylist())))

    def is_unchanged(self, before: Table, after: Table) -> bool:
        """Whether the catalog names the same metadata file."""
        from lakeopt.tables.iceberg.deletion.past_metadata import metadata_location

        return metadata_location(before) == metadata_location(after)

    def tidy(self, table: Table, folders: Collection[str]) -> None:
        """Nothing: folders of a table stay."""

    def late(self, table: Table, folders: Collection[str]) -> dict[str, str]:
        """None: a commit says which files are read."""
        return {}

    def undo(
        self,
        table: Table,
        plan: Mapping[str, Any],
        commits: Sequence[tuple[int, Sequence[int]]],
        *,
        act: bool,
        before: Callable[[Sequence[Leaving]], None] = lambda leavings: None,
    ) -> Undone:
        """Set the plan's branch back to before its snapshots.

        :raises Refused: it made none, or the state before is gone.
        :raises StalePlan: other snapshots came later.
        """
        from lakeopt.tables.iceberg.commits.rollback import plan_rollback, roll_back

        plan_id = str(plan["plan_id"])
        snapshots = [number for number, _ in commits]
        if not snapshots:
            what = str(plan["kind"]).removesuffix("_plan").replace("_", " ")
            raise Refused(
                f"plan {plan_id} ({what}) made no snapshot and moved no file: there is nothing to bring back",
                hint="lakeopt history TABLE says what each plan did",
            )
        branch = str(plan.get("branch", "main"))
        decided = (roll_back if act else plan_rollback)(table, plan_id, snapshots, branch=branch)
        return Undone(decided.snapshot_id)
