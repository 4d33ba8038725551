"""The committer of ``--in-new-location``: new files are made and proved, and lie where they were made."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from lakeopt.model.plan import FileGroup, RewritePlan
from lakeopt.tables.base import COPYING, Committed, Leaving, Table
from lakeopt.tables.hive.switch.committer import HiveSwitch

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeopt.tables.hive.table import HiveTable


class HiveCopy(HiveSwitch):
    """The committer named ``hive-copy``: the table stays as it is, and whoever asked puts the copy in place."""

    name = COPYING

    def commit(
        self,
        table: Table,
        plan: RewritePlan,
        staged: Mapping[int, pa.Table],
        *,
        on_snapshot_id: Callable[[int], None],
        before_attempt: Callable[[], None] = lambda: None,
    ) -> Committed:
        """Leave the staged files where they are. They are not removed any more."""
        number = secrets.randbits(62) + 1
        on_snapshot_id(number)
        before_attempt()
        return Committed(number)

    def find(self, table: Table, snapshot_id: int, groups: Sequence[FileGroup] = ()) -> bool:
        """False: what was killed before it said that a copy is whole leaves none."""
        return False

    def replaced(self, table: Table, snapshot_id: int, groups: Sequence[FileGroup]) -> list[Leaving]:
        """None."""
        return []

    def _why_not(self, hive: HiveTable) -> str | None:
        return None
