"""Orphan files: what is to be moved out of a table's location, what was moved, and what was brought back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from lakeopt.errors import UsageError
from lakeopt.model.serde import Document

#: Parts of a path that name no file: empty, ``.`` and ``..``.
_ODD_PART = re.compile(r"/\.{0,2}/")
_PLAN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]*")


def plan_id_is_plain(plan_id: str) -> bool:
    """Whether an id is a plain name: anything else would lead out of the table's folders.

    >>> plan_id_is_plain("20261124T120000-0badcafe"), plan_id_is_plain("../x")
    (True, False)
    """
    return _PLAN_ID.fullmatch(plan_id) is not None


def require_plain_id(plan_id: str) -> None:
    """Refuse an id that is no plain name.

    :raises UsageError: it is none.
    """
    if not plan_id_is_plain(plan_id):
        raise UsageError(f"{plan_id!r} is no plan id", hint="lakeopt history TABLE lists them")


@dataclass(frozen=True, slots=True)
class OrphanFile:
    """A file that nothing reaches. ``path`` lies below the plan's location; ``modified_at`` is ISO 8601, UTC."""

    path: str
    bytes: int
    modified_at: str
    reason: str


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file that stays where it is, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that was to be moved or deleted and could not be."""

    path: str
    error: str


@dataclass(frozen=True)
class OrphanPlan(Document):
    """Orphans that were found below a location and are moved to a quarantine when the plan is carried out.

    ``younger_than`` is the time (ISO 8601, UTC, the store's own clock) after which a file counts as young.
    ``kept_counts`` says for each reason how many listed files stay; ``kept`` has examples of each.
    """

    kind: ClassVar[str] = "orphan_plan"
    plan_id: str
    created_at: str
    table: str
    table_uuid: str
    location: str
    metadata_location: str
    older_than_seconds: float
    younger_than: str
    listed_files_count: int
    listed_bytes: int
    orphan_files_count: int
    orphan_bytes: int
    orphans: tuple[OrphanFile, ...]
    kept_counts: Mapping[str, int]
    kept: tuple[KeptFile, ...]

    def require_consistent(self) -> None:
        """Refuse a plan that was edited into nonsense: a path must not lead out of the location, nor a file be young.

        :raises UsageError: it contradicts itself.
        """
        holds = plan_id_is_plain(self.plan_id) and self.orphan_files_count == len(self.orphans)
        inside = not any(_ODD_PART.search(f"/{file.path}/") for file in self.orphans)
        limit = datetime.fromisoformat(self.younger_than)
        old = all(datetime.fromisoformat(file.modified_at) < limit for file in self.orphans)
        distinct = len({file.path for file in self.orphans}) == len(self.orphans)
        if not (holds and inside and old and distinct):
            raise _contradiction()

    def require_age(self, store_time: datetime) -> None:
        """Refuse a plan whose ``younger_than`` is nearer to now than ``older_than_seconds``, by the store's own clock.

        :raises UsageError: it contradicts itself.
        """
        if datetime.fromisoformat(self.younger_than) > store_time - timedelta(seconds=self.older_than_seconds):
            raise _contradiction()


@dataclass(frozen=True)
class OrphanResult(Document):
    """What was moved to the quarantine, of what was found. ``bytes`` are those that were moved.

    ``restored_files_count`` are orphans that a commit came to need while they were moved, and that are back.
    """

    kind: ClassVar[str] = "orphan_result"
    plan_id: str
    table: str
    quarantine: str
    quarantined_files_count: int
    bytes: int
    restored_files_count: int
    kept_counts: Mapping[str, int]
    kept: tuple[KeptFile, ...]
    failed: tuple[FailedFile, ...]
    elapsed_seconds: float


@dataclass(frozen=True)
class RestorePlan(Document):
    """What a restore would bring back: files from the quarantine, or the table's state before a rewrite.

    ``undone_plan_id`` and ``undone_kind`` say which plan is undone; ``snapshot_id`` is the snapshot that ``branch``
    goes back to, null where files are brought back.
    """

    kind: ClassVar[str] = "restore_plan"
    plan_id: str
    created_at: str
    table: str
    table_uuid: str
    undone_plan_id: str
    undone_kind: str
    files_count: int
    bytes: int
    branch: str | None
    snapshot_id: str | None


@dataclass(frozen=True)
class RestoreResult(Document):
    """What was brought back. Fields as of the plan; ``kept`` are files that never left, or are back already."""

    kind: ClassVar[str] = "restore_result"
    plan_id: str
    table: str
    undone_plan_id: str
    undone_kind: str
    restored_files_count: int
    bytes: int
    branch: str | None
    snapshot_id: str | None
    kept: tuple[KeptFile, ...]
    failed: tuple[FailedFile, ...]
    elapsed_seconds: float


def _contradiction() -> UsageError:
    return UsageError("the plan contradicts itself", hint="look for orphans again")
