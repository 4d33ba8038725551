"""Retention of Hive partitions: which go by a rule of age or value, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from lakeopt.errors import UsageError
from lakeopt.model.orphans import KeptFile, plan_id_is_plain
from lakeopt.model.serde import Document

RetentionAction = Literal["drop", "archive"]


@dataclass(frozen=True, slots=True)
class RetiredPartition:
    """A partition that goes. ``values`` are decoded, null for a null; ``listing`` is a digest of its folder's files."""

    name: str
    values: tuple[str | None, ...]
    location: str
    listing: str
    file_count: int
    bytes: int
    reason: str


@dataclass(frozen=True)
class RetentionPlan(Document):
    """Which partitions of a Hive table go. ``kept`` names those that the rule meant and that stay, and why.

    ``column`` is the partition column whose dates ``older_than`` is held against; ``where`` a filter over partition
    columns. A partition goes where all rules that are given hold. ``archive_to`` is where its files are copied before.
    """

    kind: ClassVar[str] = "retention_plan"
    plan_id: str
    created_at: str
    table: str
    table_uuid: str
    action: RetentionAction
    column: str | None
    older_than: str | None
    where: str | None
    archive_to: str | None
    partitions: tuple[RetiredPartition, ...]
    partition_count: int
    bytes: int
    kept: tuple[KeptFile, ...]

    def require_consistent(self) -> None:
        """Refuse a plan that was edited into nonsense.

        :raises UsageError: it contradicts itself.
        """
        names = {one.name for one in self.partitions}
        for holds, what in (
            (plan_id_is_plain(self.plan_id), f"{self.plan_id!r} is no plan id"),
            (len(names) == len(self.partitions), "a partition is named twice"),
            ((self.action == "archive") == (self.archive_to is not None), "an archive needs a place, a drop has none"),
        ):
            if not holds:
                raise UsageError(f"the plan contradicts itself: {what}", hint="make a new plan")


@dataclass(frozen=True)
class RetentionResult(Document):
    """What a retention did. Files are marked, and deleted by a later sweep; until then ``restore`` brings them back.

    ``kept`` names partitions that were planned and stay, and why.
    """

    kind: ClassVar[str] = "retention_result"
    plan_id: str
    table: str
    action: RetentionAction
    dropped: tuple[str, ...]
    marked_files_count: int
    marked_bytes: int
    archived_to: str | None
    kept: tuple[KeptFile, ...]
    elapsed_seconds: float
