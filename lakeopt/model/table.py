"""What a table is and how healthy it is: the values of ``tables`` and ``inspect``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from lakeopt.model.serde import Document

Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class TableSummary:
    """One row of ``lakeopt tables``. A table that cannot be read carries the reason in ``error``."""

    table: str
    format: str
    format_version: int | None
    data_file_count: int | None
    total_bytes: int | None
    record_count: int | None
    last_changed: str | None  # ISO 8601, UTC
    error: str | None = None


@dataclass(frozen=True)
class TableList(Document):
    """All tables of a catalog or namespace."""

    kind: ClassVar[str] = "table_list"
    catalog: str
    tables: tuple[TableSummary, ...]


@dataclass(frozen=True, slots=True)
class ColumnOverlap:
    """How far the value ranges of files meet, within partitions, for one column (or one whole sort key).

    ``mean_depth``/``max_depth``: files whose closed ranges meet a file's own, itself included (1 = perfect).
    ``excess_depth``: mean number of *other* files that overlap by more than a shared end point (0 = perfect).
    ``unknown_files``: files whose range is not known (no bounds, or truncated bounds that tie); the depths are of
    the other files, and null where there are none.
    """

    column: str
    mean_depth: float | None
    max_depth: int | None
    excess_depth: float | None
    max_excess_depth: int | None
    unknown_files: int


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that costs the owner of a table money or time, with the evidence and the command that mends it."""

    code: str
    severity: Severity
    message: str
    evidence: Mapping[str, Any]
    fix: str | None


@dataclass(frozen=True)
class TableProfile(Document):
    """Health of one table from metadata and footers alone.

    ``sort_key`` is the overlap on the whole key of the table's layout (or default sort order), if it has one.
    """

    kind: ClassVar[str] = "table_profile"
    table: str
    format: str
    format_version: int
    snapshot_id: str | None
    record_count: int
    data_file_count: int
    delete_file_count: int
    total_bytes: int
    partition_count: int
    footers_read: int
    footers_total: int
    sort_key: ColumnOverlap | None
    overlap: tuple[ColumnOverlap, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class TableView(Document):
    """One of ``inspect --view files|partitions|snapshots|refs|manifests``: rows with the same keys."""

    kind: ClassVar[str] = "table_view"
    table: str
    view: str
    snapshot_id: str | None
    rows: tuple[Mapping[str, Any], ...]
