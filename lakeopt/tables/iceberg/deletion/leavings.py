"""What a commit that was not finished has left in the metadata folder, and which of a run's files nothing reaches."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from lakeopt.errors import Unreachable
from lakeopt.tables.base import Leaving, Table
from lakeopt.tables.iceberg.commits.writable import pyiceberg_table
from lakeopt.tables.iceberg.deletion.reachable import reachable_files


def commit_leavings(table: Table, snapshot_id: int) -> list[Leaving]:
    """Manifests and manifest lists that name a snapshot's id, committed or not.

    :raises Unreachable: the metadata folder cannot be listed.
    """
    folder = pyiceberg_table(table).location_provider().new_metadata_location("x").rpartition("/")[0]
    filesystem, path = table.resolve(folder)
    try:
        listed = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True))
    except OSError as error:
        raise Unreachable(f"the metadata folder cannot be listed: {folder}: {error}") from error
    kinds = {f"{snapshot_id}-": "manifest", f"snap-{snapshot_id}-": "manifest-list"}
    return [
        Leaving(f"{folder}/{info.base_name}", kind, info.size)
        for info in listed
        for start, kind in kinds.items()
        if info.base_name.startswith(start)
    ]


def unreached(table: Table, names: Collection[str]) -> set[str]:
    """Those file names that nothing in the table bears as the catalog has it now.

    For names that are given once and never again, such as those with a run's token in them: then the folder and how
    it is spelt do not matter.

    :raises DataFileError: a manifest is missing or damaged, so that nothing can be said.
    """
    left = pa.array(sorted(names), pa.string())
    for files in reachable_files(pyiceberg_table(table.refresh())) if names else ():
        if not len(left):
            break
        reached = pc.replace_substring_regex(files["file_path"], ".*/", "")
        left = left.filter(pc.invert(pc.is_in(left, reached.combine_chunks())))
    return set(left.to_pylist())
