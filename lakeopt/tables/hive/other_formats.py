"""Folders of a table of another format: its log says which of the files count, and a listing does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from lakeopt.errors import Unreachable, first_line
from lakeopt.tables.hive.listing import list_folder
from lakeopt.tables.iceberg.deletion.neighbours import METADATA

if TYPE_CHECKING:
    from pyarrow import fs

_MARKS = {
    "_delta_log": "a Delta table",
    ".hoodie": "a Hudi table",
    "_spark_metadata": "the sink of a Spark stream",
}
#: Folders that are looked at: the table's own and so many above, for Iceberg's ``data`` and partitions named alone.
_LEVELS = 4


def other_format(location: str, resolve: Callable[[str], tuple[fs.FileSystem, str]]) -> str | None:
    """Why files at a location are not what a listing shows, or None: a log lies in its folder, or in one above.

    :raises Unreachable: the storage does not answer.
    """
    filesystem, path = resolve(location.rstrip("/"))
    for _ in range(_LEVELS):
        if not path.strip("/"):
            break
        if (found := _log(filesystem, path)) is not None:
            return found
        path = path.rpartition("/")[0]
    return None


def _log(filesystem: fs.FileSystem, path: str) -> str | None:
    from pyarrow import fs

    try:
        infos = filesystem.get_file_info([f"{path}/{name}" for name in (*_MARKS, "metadata")])
    except OSError as error:
        raise Unreachable(f"folder cannot be read: {path}: {first_line(error)}", hint="try again later") from error
    for info in infos:
        if info.type == fs.FileType.NotFound:
            continue
        if (held := _MARKS.get(info.base_name)) is not None:
            return f"it lies in the folder of {held}, whose log says which files count: {info.path}"
        own = list_folder(filesystem, info.path, recursive=False)
        if (found := next((one.path for one in own if re.search(METADATA, one.path)), None)) is not None:
            return f"it lies in the folder of an Iceberg table, whose metadata says which files count: {found}"
    return None
