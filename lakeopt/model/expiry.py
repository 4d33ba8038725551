"""Expiry of snapshots and the sweep after it: what is known, what is decided, and what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from lakeopt.model.orphans import FailedFile, KeptFile
from lakeopt.model.serde import Document


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """What retention needs to know of a snapshot. ``timestamp_ms`` is since the epoch."""

    snapshot_id: int
    parent_id: int | None
    timestamp_ms: int
    sequence_number: int = 0
    summary: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RefFacts:
    """A branch or tag, with its own retention where it has one (milliseconds)."""

    name: str
    type: Literal["branch", "tag"]
    snapshot_id: int
    min_snapshots_to_keep: int | None = None
    max_snapshot_age_ms: int | None = None
    max_ref_age_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SnapshotDecision:
    """One snapshot, and why it is expired or retained. ``committed_at`` is ISO 8601 in UTC."""

    snapshot_id: str
    committed_at: str
    operation: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class RetainedSnapshot:
    """A snapshot that was kept, and why."""

    snapshot_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class RemovedRef:
    """A branch or tag that goes, and why."""

    name: str
    type: str
    snapshot_id: str
    reason: str


@dataclass(frozen=True)
class ExpiryPlan(Document):
    """Which snapshots expire, and why each one does or does not.

    ``older_than`` is the limit for snapshots without one of their own (ISO 8601 in UTC), ``retain_last`` the number
    that a branch keeps where it has none of its own. ``files_to_mark`` and ``bytes_to_free`` are what nothing reaches
    afterwards; null where that was not measured. With ``partition`` (a filter) only dead files of these partitions are
    marked, and the rest by the next expiry of its partition, or without one.
    """

    kind: ClassVar[str] = "expiry_plan"
    plan_id: str
    created_at: str
    table: str
    table_uuid: str
    base_snapshot_id: str | None
    older_than: str
    retain_last: int
    expired: tuple[SnapshotDecision, ...]
    retained: tuple[SnapshotDecision, ...]
    removed_refs: tuple[RemovedRef, ...]
    files_to_mark: int | None
    bytes_to_free: int | None
    partition: str | None = None


@dataclass(frozen=True)
class ExpiryResult(Document):
    """What an expiry did. It deletes no file: ``bytes_freed_now`` is 0 until a sweep frees what was marked.

    With ``partition`` only dead files of these partitions were marked.
    """

    kind: ClassVar[str] = "expiry_result"
    plan_id: str
    table: str
    bytes_freed_now: int
    expired_snapshots_count: int
    expired: tuple[str, ...]
    removed_refs: tuple[str, ...]
    marked_files_count: int
    marked_bytes: int
    retained: tuple[RetainedSnapshot, ...]
    elapsed_seconds: float
    partition: str | None = None


@dataclass(frozen=True, slots=True)
class SweptFile:
    """A file that is to be deleted. ``bytes`` is null where its size is not known."""

    path: str
    kind: str
    bytes: int | None
    reason: str


@dataclass(frozen=True)
class SweepPlan(Document):
    """What a sweep would delete now, in this order: marked files, and those of the quarantine whose grace has passed.

    ``missing_files_count`` counts marked files that are gone already.
    """

    kind: ClassVar[str] = "sweep_plan"
    plan_id: str
    created_at: str
    table: str
    table_uuid: str
    base_snapshot_id: str | None
    grace_seconds: float
    include_outside: bool
    files: tuple[SweptFile, ...]
    bytes: int
    quarantined_files_count: int
    quarantined_bytes: int
    missing_files_count: int
    kept: tuple[KeptFile, ...]


@dataclass(frozen=True)
class SweepResult(Document):
    """What a sweep did. ``bytes`` is what it freed; marked files that were gone before are counted apart.

    ``kept`` names marked files that stay for now, and quarantined ones that were brought back.
    """

    kind: ClassVar[str] = "sweep_result"
    plan_id: str
    table: str
    deleted_files_count: int
    bytes: int
    missing_files_count: int
    kept: tuple[KeptFile, ...]
    failed: tuple[FailedFile, ...]
    elapsed_seconds: float
