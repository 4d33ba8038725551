"""Columns without bounds in the manifests: no file can be left out by a filter on them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.analysis.overlap import field_ids
from lakeopt.analysis.single_values import comparable
from lakeopt.model.table import Finding

#: Share of a column's files from which filters on it hardly prune.
MISSING_SHARE = 0.5
#: Columns that Iceberg keeps bounds of unless the table names more.
DEFAULT_COLUMNS = 100
#: Names listed as evidence.
LISTED = 10


def column_metrics(table: TableState) -> Iterator[Finding]:
    """Columns whose bounds are absent from most files, for another reason than nulls or NaN."""
    if not table.files.num_rows:
        return
    sortable = [name for name, kind in table.field_types.items() if comparable(kind)]
    without: list[str] = []
    for name in sortable:
        ((field_id, kind),) = field_ids(table.schema, table.field_types, [name]).items()
        bounds = table.metrics.column(field_id, kind)
        absent = ~np.asarray(bounds.lower.is_valid()) & ((bounds.nulls < 0) | (bounds.nulls != bounds.values))
        if kind in ("float", "double"):
            absent &= bounds.values < 0  # a float column with NaN has counts, but no bounds
        if absent.mean() >= MISSING_SHARE:
            without.append(name)
    if not without:
        return
    keyed = [part.name for part in table.sort_key if part.name in without]
    wide = f" (Iceberg keeps those of the first {DEFAULT_COLUMNS})" if len(table.field_types) > DEFAULT_COLUMNS else ""
    yield Finding(
        "missing-bounds",
        "warning" if keyed else "info",
        f"{len(without):,} of {len(sortable):,} columns have no bounds in the manifests{wide}: "
        + ", ".join(without[:LISTED])
        + (", …" if len(without) > LISTED else ""),
        {"columns": without[:LISTED], "columns_without_bounds": len(without), "sort_columns_without_bounds": keyed},
        None,  # what is kept is said by write.metadata.metrics.*, which lakeopt leaves to the table's owner
    )


CHECK: Check = column_metrics
