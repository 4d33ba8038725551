"""Manifests of a table, the decision to regroup them, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from lakeopt.errors import UsageError
from lakeopt.model.orphans import plan_id_is_plain
from lakeopt.model.serde import Document

if TYPE_CHECKING:
    import numpy as np

Content = Literal["data", "deletes"]


@dataclass(frozen=True, slots=True)
class ManifestFacts:
    """What regrouping must know of one manifest; it lives within one process and has no JSON form.

    ``form`` tells manifests apart whose records cannot stand in one file. ``bytes`` is what its live entries take
    when they are written anew: some writers compress each entry by itself. ``ranks`` holds one number a live entry:
    the place of its partition among all partitions of its spec, in order.
    """

    path: str
    content: Content
    spec_id: int
    form: str
    bytes: int
    ranks: np.ndarray


@dataclass(frozen=True, slots=True)
class ManifestGroup:
    """Manifests of one content and one partition spec whose live entries are written anew, ``into`` so many."""

    content: Content
    spec_id: int
    manifests: tuple[str, ...]
    entries: int
    bytes: int
    into: int


@dataclass(frozen=True)
class ManifestsPlan(Document):
    """A regrouping of manifests that was decided and touches nothing until it is applied.

    ``bytes`` are those of all manifests of the snapshot; ``left_alone`` counts manifests by the reason.
    """

    kind: ClassVar[str] = "manifests_plan"
    plan_id: str
    created_at: str
    table: str
    table_uuid: str
    branch: str
    base_snapshot_id: str | None
    target_bytes: int
    groups: tuple[ManifestGroup, ...]
    manifests_before: int
    manifests_after: int
    bytes_before: int
    left_alone: Mapping[str, int]

    def require_consistent(self) -> None:
        """Refuse a plan that was edited into nonsense: a manifest that stands in it twice would double its files.

        :raises UsageError: it contradicts itself.
        """
        paths = [path for group in self.groups for path in group.manifests]
        for holds, what in (
            (plan_id_is_plain(self.plan_id), f"{self.plan_id!r} is no plan id"),
            (self.target_bytes > 0, "the target size must be above zero"),
            (len(set(paths)) == len(paths), "a manifest is named twice"),
        ):
            if not holds:
                raise UsageError(f"the plan contradicts itself: {what}", hint="make a new plan")


@dataclass(frozen=True)
class ManifestsResult(Document):
    """What a regrouping of manifests did; no snapshot where nothing was to be done.

    ``before`` and ``after`` are those of the snapshots on both sides of the commit, appends of others included.
    """

    kind: ClassVar[str] = "manifests_result"
    plan_id: str
    table: str
    snapshot_ids: tuple[str, ...]
    manifests_before: int
    manifests_after: int
    bytes_before: int
    bytes_after: int
    entries: int
    left_alone: Mapping[str, int]
    elapsed_seconds: float
