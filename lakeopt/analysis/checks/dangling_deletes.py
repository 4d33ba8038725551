"""Dangling delete files: they apply to no live data file, yet every plan of a query reads of them."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.compute as pc

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding
from lakeopt.units import format_size


def dangling_deletes(table: TableState) -> Iterator[Finding]:
    """Delete files that apply to nothing. There is no command for them alone: any rewrite that commits drops them."""
    used = pc.unique(pc.list_flatten(table.files["delete_files"]))
    dangling = table.deletes.filter(pc.invert(pc.is_in(table.deletes["file_path"], used)))
    if dangling.num_rows:
        total = int(pc.sum(dangling["file_size_in_bytes"]).as_py())
        yield Finding(
            "dangling-deletes",
            "info",
            f"{dangling.num_rows:,} delete files ({format_size(total)}) apply to no live data file; "
            "the next rewrite of any part of the table drops them",
            {"delete_files": dangling.num_rows, "bytes": total},
            None,
        )


CHECK: Check = dangling_deletes
