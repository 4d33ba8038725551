"""Files of older partition specs: they are pruned, and rewritten, apart from the others."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.compute as pc

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding


def partition_specs(table: TableState) -> Iterator[Finding]:
    """Live data files are in more than one partition spec."""
    counted = {row["values"]: row["counts"] for row in pc.value_counts(table.files["spec_id"]).to_pylist()}
    if len(counted) < 2:
        return
    newest = max(counted)
    fix = table.arrange()
    older = sum(count for spec, count in counted.items() if spec != newest)
    yield Finding(
        "mixed-partition-specs",
        "info",
        f"{older:,} of {table.files.num_rows:,} data files are in older partition specs than {newest}; "
        "a rewrite keeps each file in its own unless --to-current-spec is given",
        {"files_by_spec": {str(spec): count for spec, count in sorted(counted.items())}},
        fix if fix is None else f"{fix} --to-current-spec",
    )


CHECK: Check = partition_specs
