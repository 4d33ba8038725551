"""What two tables of the same rows take, column by column, and why one of them takes more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from lakeopt.model.serde import Document


@dataclass(frozen=True, slots=True)
class ColumnForm:
    """How one column is stored. ``bytes`` are on disk, ``encoded_bytes`` those before compression, null where unknown.

    ``codecs`` and ``encodings`` are in words, those with most bytes first. ``dictionary_share`` is the share of its
    bytes in pages of dictionary codes; ``overflowed_share`` that in chunks whose dictionary outgrew its limit, so that
    the values behind that are plain.
    """

    bytes: int
    encoded_bytes: int | None
    codecs: tuple[str, ...]
    encodings: tuple[str, ...]
    dictionary_share: float
    overflowed_share: float


@dataclass(frozen=True, slots=True)
class ComparedTable:
    """One side: its files, and how many of their footers tell of its columns."""

    table: str
    format: str
    snapshot_id: str | None
    data_file_count: int
    record_count: int
    bytes: int
    footers_read: int
    codecs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ColumnComparison:
    """One column on both sides; a side that does not hold it is null.

    ``bytes_before`` and ``bytes_after`` are of all files, by what the footers read say. ``ratio`` is of bytes a row,
    after to before; null where a side has none.
    """

    name: str
    bytes_before: int
    bytes_after: int
    ratio: float | None
    before: ColumnForm | None
    after: ColumnForm | None
    why: str


@dataclass(frozen=True)
class StorageComparison(Document):
    """Storage of two tables by column, the largest growth first, then the largest saving.

    ``ratio`` is of bytes a row, after to before; null where a side has no rows.
    """

    kind: ClassVar[str] = "storage_comparison"
    table: str
    against: str
    before: ComparedTable
    after: ComparedTable
    ratio: float | None
    columns: tuple[ColumnComparison, ...]
