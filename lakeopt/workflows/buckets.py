"""PV buckets of a table for the job that writes it: the same cut points as a rewrite's, as SQL."""

from __future__ import annotations

from pathlib import Path

from lakeopt.config import Settings, load_settings
from lakeopt.errors import UnknownName, UsageError
from lakeopt.layout.bucket_sql import Dialect, SqlColumn, bucket_sql, compares_alike
from lakeopt.model.buckets import Bucket, BucketTable
from lakeopt.model.plan import PV_BUCKETS, Layout, SortField
from lakeopt.tables.base import Table
from lakeopt.workflows.cut_points import Cutting


def buckets(
    table: str | Table,
    *,
    column: str,
    by: str | None = None,
    buckets: int | None = None,
    counts: str | Path | None = None,
    queries: str | Path | None = None,
    target_file_bytes: int | None = None,
    memory_bytes: int | None = None,
    settings: Settings | None = None,
) -> BucketTable:
    """Divide a table's rows into buckets by a skewed column, without changing anything.

    ``by`` is the second key that divides the rows of a heavy value; one that engines compare alike is chosen where none
    is named. ``counts`` is ``exact`` (default), ``sample``, ``previous`` (the last partition) or the path of a file.

    :raises UnknownName: no such table or column.
    :raises Refused: engines do not agree on how a column's type compares.
    :raises UsageError: the table has no rows, or counts cannot be read.
    """
    from lakeopt.tables.open import open_table
    from lakeopt.workflows.bucket_plan import plan_buckets

    settings = settings or load_settings()
    opened = open_table(table, settings) if isinstance(table, str) else table
    names = [column] if by is None else [column, by]
    for name in names:
        if name not in opened.field_types:
            raise UnknownName("column", name, opened.field_types)
        SqlColumn("spark", name, opened.field_types[name])
    base = opened.snapshot_id()
    if base is None:
        raise UsageError(f"{opened.identifier} has no rows to count", hint="give it some, or take another table")
    cutting = Cutting(None, target_file_bytes or opened.target_file_bytes(), buckets, counts, queries)
    request = cutting.request(opened, base, memory_bytes, settings)
    asked = Layout(PV_BUCKETS, tuple(SortField(name) for name in names))
    found = plan_buckets(asked, None, request, for_others=True, second_keys=_comparable(opened))
    layout, texts, total = found.layout, list(found.layout.cuts.values()), sum(found.weights) or 1.0
    names = [field.name for field in layout.columns]
    starts = [(None, None), *zip(texts[0], texts[1] if len(texts) > 1 else [None] * len(texts[0]), strict=True)]
    starts += [(None, None)] * (len(found.rows) - len(starts))
    return BucketTable(
        table=opened.identifier,
        snapshot_id=str(base),
        counts=str(counts or "exact"),
        column=column,
        column_type=opened.field_types[column],
        by=names[1] if len(names) > 1 else None,
        by_type=opened.field_types[names[1]] if len(names) > 1 else None,
        buckets=tuple(
            Bucket(number, value, second, rows, weight / total)
            for number, ((value, second), rows, weight) in enumerate(
                zip(starts, found.rows, found.weights, strict=True)
            )
        ),
        seen=layout.seen,
        spark_sql=_sql("spark", opened, layout),
        hive_sql=_sql("hive", opened, layout),
    )


def _comparable(table: Table) -> list[str]:
    return [name for name, kind in table.field_types.items() if compares_alike(kind)]


def _sql(dialect: Dialect, table: Table, layout: Layout) -> str:
    columns = [SqlColumn(dialect, field.name, table.field_types[field.name]) for field in layout.columns]
    return bucket_sql(columns[0], columns[1] if len(columns) > 1 else None, list(layout.cuts.values()), layout.seen)


def as_sql(value: BucketTable) -> str:
    """The expressions as a file of SQL, for people to copy from."""
    heads = {"Spark SQL": value.spark_sql, "Hive": value.hive_sql}
    about = f"{value.table}, snapshot {value.snapshot_id}, column {value.column}".replace("\n", " ")
    return f"-- PV buckets of {about}\n" + "".join(f"\n-- {name}\n{sql}\n" for name, sql in heads.items())
