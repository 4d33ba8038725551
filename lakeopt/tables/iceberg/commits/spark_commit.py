"""Commits of what Spark staged, through Java: format version 3, whose row lineage pyiceberg cannot write."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
from pyiceberg.table import Table as Iceberg

from lakeopt.errors import CommitOutcomeUnknown, LakeoptError, Refused, StalePlan, UsageError
from lakeopt.model.plan import RewritePlan
from lakeopt.model.scan import POSITION_DELETES
from lakeopt.tables.base import Committed, Table
from lakeopt.tables.iceberg.commits.commit_outcome import LOOKS, is_there
from lakeopt.tables.iceberg.commits.layout_saving import LayoutSaving
from lakeopt.tables.iceberg.commits.replace_commit import ReplaceCommitter
from lakeopt.tables.iceberg.commits.replacement import staged_groups
from lakeopt.tables.iceberg.commits.summary import layout_properties
from lakeopt.tables.iceberg.commits.window import open_window
from lakeopt.tables.iceberg.commits.writable import PATIENCE, pyiceberg_table, reload

if TYPE_CHECKING:
    import pyarrow as pa

#: The engine's side, which alone knows Spark.
_JAVA_SIDE = "lakeopt.engines.spark.replace_files"


class SparkCommitter(ReplaceCommitter):
    """The committer named ``iceberg-spark``: tables that Spark has staged files of in this process."""

    name = "iceberg-spark"

    def check(self, table: Table, plan: RewritePlan) -> None:
        """Raise :class:`StalePlan` if the plan no longer holds; appends never make it stale.

        :raises Refused: it asks for what is not done through Java.
        :raises UsageError: the plan contradicts itself.
        """
        plan.require_consistent()
        if plan.set_default_sort_order:
            raise Refused("a sort order is not set by the Spark engine", hint="leave out --set-default-sort-order")
        fresh = table.refresh()
        window = open_window(pyiceberg_table(fresh).metadata, plan)
        before, after = (_deletes(fresh, plan, one.snapshot_id) for one in (window.base, window.head))
        gone = sorted(before.keys() - after.keys())
        if gone:
            raise StalePlan(f"a planned data file is no longer in the table: {gone[0]}", hint="make a new plan")
        touched = [path for path in before if not after[path] <= before[path]]
        if touched:
            raise StalePlan(f"rows of a planned data file were deleted meanwhile: {touched[0]}", hint="make a new plan")

    def commit(
        self,
        table: Table,
        plan: RewritePlan,
        staged: Mapping[int, pa.Table],
        *,
        on_snapshot_id: Callable[[int], None],
        before_attempt: Callable[[], None] = lambda: None,
    ) -> Committed:
        """Commit the staged files as one ``replace`` snapshot; errors as of :class:`ReplaceCommitter`."""
        if not staged:
            raise UsageError("there is nothing to commit")
        fresh = reload(pyiceberg_table(table), time.monotonic() + PATIENCE)
        open_window(fresh.metadata, plan)
        groups = staged_groups(plan, staged)
        saving = LayoutSaving.of(groups, staged)
        told: list[int] = []

        def tell(snapshot_id: int) -> None:
            told.append(snapshot_id)
            on_snapshot_id(snapshot_id)

        try:
            snapshot_id, vectors = importlib.import_module(_JAVA_SIDE).replace_files(
                [file.path for group in groups for file in group.data_files],
                [path for files in staged.values() for path in files["file_path"].to_pylist()],
                base_snapshot_id=int(plan.base_snapshot_id or 0),
                branch=plan.branch,
                schema_id=plan.schema_id,
                summary={**layout_properties(plan), **saving.summary},
                properties=_properties(saving, plan, fresh),
                on_snapshot_id=tell,
                before_attempt=before_attempt,
            )
        except CommitOutcomeUnknown:
            if not told or not _appears(fresh, told[-1]):
                raise
            return Committed(told[-1])
        return Committed(snapshot_id, vectors)


def _deletes(table: Table, plan: RewritePlan, snapshot_id: int) -> dict[str, set[str]]:
    """The position deletes and deletion vectors that apply to each planned file in a snapshot that has it."""
    import pyarrow as pa

    wanted = pa.array([file.path for group in plan.groups for file in group.data_files], pa.string())
    listed = [
        path
        for part in table.files(snapshot_id, content="deletes")
        for path in part.filter(pc.equal(part["content"], POSITION_DELETES))["file_path"].to_pylist()
    ]
    positions = set(listed)
    found: dict[str, set[str]] = {}
    for part in table.files(snapshot_id):
        some = part.filter(pc.is_in(part["file_path"], wanted))
        for path, deletes in zip(some["file_path"].to_pylist(), some["delete_files"].to_pylist(), strict=True):
            found[path] = positions & set(deletes or ())
    return found


def _properties(saving: LayoutSaving, plan: RewritePlan, table: Iceberg) -> dict[str, str]:
    """What the commit sets of the table's properties."""
    updates: list[Any] = saving.updates(plan, table.properties)
    return {name: value for update in updates for name, value in update.updates.items()}


def _appears(table: Iceberg, snapshot_id: int) -> bool:
    """Whether the snapshot is in the table within a few seconds, however the answer to its commit was lost."""
    for wait in LOOKS:
        time.sleep(wait)
        try:
            if is_there(table, snapshot_id):
                return True
        except LakeoptError:
            raise
        except Exception:  # the catalog is away: look again; never take that for an answer
            continue
    return False
