"""All that lakeopt can say about one table: the value of ``report``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from lakeopt.model.plan import LayoutRecommendation
from lakeopt.model.profile import ColumnProfiles
from lakeopt.model.result import BenchReport, History
from lakeopt.model.serde import Document
from lakeopt.model.table import TableProfile

#: What a report may have to do without.
Part = Literal["column_bytes", "profile", "recommendation", "last_rewrite", "bench", "history"]


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """Bytes that a top-level column takes in the data files; footers and page indexes are spread over the columns."""

    name: str
    type: str
    bytes: int


@dataclass(frozen=True, slots=True)
class StoredPartition:
    """Data files of one partition of one spec. ``bytes`` are those of the data files."""

    partition: str
    spec_id: int
    data_file_count: int
    record_count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """Where the bytes of a table lie, largest first.

    ``footers_read`` is 0 where manifests record the sizes of all columns; else they are those of so many footers,
    spread evenly over the files.
    """

    columns: tuple[StoredColumn, ...]
    partitions: tuple[StoredPartition, ...]
    footers_read: int


@dataclass(frozen=True, slots=True)
class MissingPart:
    """A part that a report does without, and why."""

    part: Part
    reason: str


@dataclass(frozen=True)
class TableReport(Document):
    """Everything that is known of one table at one moment; what could not be had is in ``missing`` with its reason.

    ``created_at`` is ISO 8601, UTC. ``before_rewrite`` is the health of the snapshot before the last rewrite, judged
    by the table's sort key of today. ``bench`` is a report that was made before and handed in.
    """

    kind: ClassVar[str] = "table_report"
    table: str
    created_at: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    health: TableProfile
    stored: StoredBytes
    profile: ColumnProfiles | None
    recommendation: LayoutRecommendation | None
    before_rewrite: TableProfile | None
    bench: BenchReport | None
    history: History | None
    missing: tuple[MissingPart, ...]

    def reason(self, part: Part) -> str | None:
        """Why a part is missing, None where it is there."""
        return next((missing.reason for missing in self.missing if missing.part == part), None)
