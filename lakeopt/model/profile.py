"""What the columns of a table are like: the values of ``profile``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lakeopt.model.serde import Document


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One column. Definitions: docs of :mod:`lakeopt.analysis.columns`.

    ``width`` is encoded bytes per row in shuffled order; ``skew`` the share of the most frequent value;
    ``effective_values`` is 2^H, the number of equally frequent values with the same entropy;
    ``group_size`` is non-null rows per distinct value. Values of lists, maps and structs are not counted.
    """

    name: str
    type: str
    null_fraction: float
    distinct_count: int | None
    redundancy: float | None
    group_size: float | None
    width: float
    correlation: float | None
    skew: float | None
    effective_values: float | None
    bytes_share: float


@dataclass(frozen=True, slots=True)
class CorrelationMatrix:
    """``values[i][j]``: share of column j's shuffled bytes that sorting by column i saves (null: not sortable)."""

    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class ColumnProfiles(Document):
    """Profile of every column of a table, on a stated number of rows."""

    kind: ClassVar[str] = "column_profiles"
    table: str
    snapshot_id: str | None
    record_count: int
    sampled_rows: int
    exact: bool
    columns: tuple[ColumnProfile, ...]
    correlation_matrix: CorrelationMatrix
