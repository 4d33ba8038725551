"""Delete files: every reader applies them again on every read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.scan import EQUALITY_DELETES
from lakeopt.model.table import Finding

#: Share of data files under deletes from which merge-on-read slows the whole table rather than a corner of it.
LOADED_SHARE = 0.1
#: Delete files that one data file must be read with, from which opening them outweighs reading it.
MANY_PER_FILE = 10


def delete_files(table: TableState) -> Iterator[Finding]:
    """Data files with deletes to apply; any rewrite of the table applies them for good."""
    if not table.deletes.num_rows:
        return
    per_file = np.asarray(pc.fill_null(pc.list_value_length(table.files["delete_files"]), 0))
    loaded, heaviest = int((per_file > 0).sum()), int(per_file.max(initial=0))
    if not loaded:
        return
    share = loaded / len(per_file)
    equality = int(pc.sum(pc.equal(table.deletes["content"], EQUALITY_DELETES)).as_py())
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
        table.arrange(),
    )


CHECK: Check = delete_files
