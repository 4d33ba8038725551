"""The way out for who is refused a write."""

from __future__ import annotations

from lakeopt.tables.base import Table

#: For tables of format version 3.
SPARK_HINT = (
    "`rewrite --engine spark` rewrites v3 tables; for all else Iceberg's own procedures in Spark "
    "(`CALL system.rewrite_manifests(…)`) keep row lineage"
)


def read_only_hint(table: Table) -> str:
    """How a table that lakeopt does not write can be maintained all the same."""
    if table.format_version >= 3:
        return SPARK_HINT
    return "maintain it with what writes it, by its name in the catalog"
