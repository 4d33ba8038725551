"""PV buckets as a value of their own: for jobs that write a table, and are to put rows where a rewrite would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lakeopt.model.serde import Document


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket: it begins at a value and a second key, which are null in the first; ``rows`` are those counted.

    ``share`` is that of the encoded bytes, between 0 and 1.
    """

    number: int
    value: str | None
    second: str | None
    rows: int
    share: float


@dataclass(frozen=True)
class BucketTable(Document):
    """Buckets of a column, and expressions that give a row's bucket: 0 is the first, nulls are in it.

    ``seen`` are the values that were counted, where they are few: a row of any other is in the last bucket. Where it
    is null, such a row is where its value sorts. ``spark_sql`` and ``hive_sql`` compute equal numbers.
    """

    kind: ClassVar[str] = "bucket_table"
    table: str
    snapshot_id: str | None
    counts: str
    column: str
    column_type: str
    by: str | None
    by_type: str | None
    buckets: tuple[Bucket, ...]
    seen: tuple[str | None, ...] | None
    spark_sql: str
    hive_sql: str
