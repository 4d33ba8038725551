"""A table of another format that becomes an Iceberg table: the decision, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from lakeopt.errors import UsageError
from lakeopt.model.comparison import StorageComparison
from lakeopt.model.orphans import plan_id_is_plain
from lakeopt.model.plan import Layout, MeasuredLayout
from lakeopt.model.result import Verification
from lakeopt.model.serde import Document

#: ``in-place``: the files stay and both tables name them; ``rewrite``: rows are written anew.
MigrationMode = Literal["in-place", "rewrite"]
MigrationVerify = Literal["rows", "counts"]


@dataclass(frozen=True, slots=True)
class MigratedColumn:
    """A column of the new table and its Iceberg type; ``partition`` columns are its identity partition fields."""

    name: str
    type: str
    partition: bool = False


@dataclass(frozen=True)
class MigrationPlan(Document):
    """A migration that was decided and touches nothing until it is applied. The source is never changed.

    ``base_snapshot_id`` stands for all files of the source when it was planned. ``writer`` and ``layout`` are of the
    mode ``rewrite``. ``notes`` say what the new table does differently.
    """

    kind: ClassVar[str] = "migration_plan"
    plan_id: str
    created_at: str
    table: str
    table_uuid: str
    base_snapshot_id: str | None
    to: str
    mode: MigrationMode
    columns: tuple[MigratedColumn, ...]
    partition_count: int
    file_count: int
    bytes: int
    record_count: int
    footers_checked: int
    layout: Layout
    engine: str
    verify: MigrationVerify
    target_file_bytes: int
    writer: Mapping[str, str]
    properties: Mapping[str, str]
    notes: tuple[str, ...] = ()
    measured: MeasuredLayout | None = None

    def require_consistent(self) -> None:
        """Refuse a plan that was edited into nonsense.

        :raises UsageError: it contradicts itself.
        """
        for holds, what in (
            (plan_id_is_plain(self.plan_id), f"{self.plan_id!r} is no plan id"),
            (self.target_file_bytes > 0, "the target size must be above zero"),
            (self.columns, "it has no columns"),
        ):
            if not holds:
                raise UsageError(f"the plan contradicts itself: {what}", hint="make a new plan")


@dataclass(frozen=True)
class MigrationResult(Document):
    """What a migration made: a table with one snapshot, or none where the source has no rows.

    ``bytes_before`` are of the source's files, ``bytes_after`` of the new table's: the same files where they stay.
    ``comparison`` is by column, null where the files stay.
    """

    kind: ClassVar[str] = "migration_result"
    plan_id: str
    table: str
    to: str
    mode: MigrationMode
    snapshot_ids: tuple[str, ...]
    data_file_count_before: int
    data_file_count_after: int
    bytes_before: int
    bytes_after: int
    record_count: int
    verification: Verification | None
    elapsed_seconds: float
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    comparison: StorageComparison | None = None
