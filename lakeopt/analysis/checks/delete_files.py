"""Delete files: every reader applies them again on every read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.scan import EQUALITY_DELETES
from lakeopt.model.table import Finding
from lakeopt.units import format_size

#: Share of data files under deletes from which merge-on-read slows the whole table rather than a corner of it.
LOADED_SHARE = 0.1
#: Delete files that one data file must be read with, from which opening them outweighs reading it.
MANY_PER_FILE = 10


def delete_files(table: TableState) -> Iterator[Finding]:
    """Data files with deletes to apply, and delete files that apply to nothing any more."""
    if not table.deletes.num_rows:
        return
    per_file = np.asarray(pc.fill_null(pc.list_value_length(table.files["delete_files"]), 0))
    loaded, heaviest = int((per_file > 0).sum()), int(per_file.max(initial=0))
    share = loaded / max(len(per_file), 1)
    equality = int(pc.sum(pc.equal(table.deletes["content"], EQUALITY_DELETES)).as_py())
    used = pc.unique(pc.list_flatten(table.files["delete_files"]))
    dangling = table.deletes.filter(pc.invert(pc.is_in(table.deletes["file_path"], used)))
    if loaded:
        yield Finding(
            "delete-files",
            "warning" if share >= LOADED_SHARE or heaviest >= MANY_PER_FILE or equality else "info",
            f"{loaded:,} of {len(per_file):,} data files must be read with delete files, up to {heaviest:,} for one",
            {
                "data_files_with_deletes": loaded,
                "data_files": len(per_file),
                "delete_files": table.deletes.num_rows,
                "equality_delete_files": equality,
                "deleted_rows": int(pc.sum(table.deletes["record_count"]).as_py()),
                "most_delete_files_on_one": heaviest,
            },
            None,  # file groups with delete files are skipped by a rewrite
        )
    if dangling.num_rows:
        total = int(pc.sum(dangling["file_size_in_bytes"]).as_py())
        yield Finding(
            "dangling-deletes",
            "info",
            f"{dangling.num_rows:,} delete files ({format_size(total)}) apply to no live data file",
            {"delete_files": dangling.num_rows, "bytes": total},
            None,
        )


CHECK: Check = delete_files
