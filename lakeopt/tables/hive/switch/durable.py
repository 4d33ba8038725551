"""New files on the disk itself before a partition lies in their folder: a loss of power must not cut them short."""

from __future__ import annotations

import os

from pyarrow import fs

from lakeopt.errors import Unreachable
from lakeopt.tables.base import Table


def make_durable(table: Table, folder: str) -> None:
    """Have the system write out all that was written to a folder, and its names. On local file systems; stores do so.

    :raises Unreachable: the disk fails.
    """
    filesystem, path = table.resolve(folder)
    if not isinstance(filesystem, fs.LocalFileSystem):
        return
    try:
        with os.scandir(path) as found:
            places = [one.path for one in found if one.is_file()]
        for place in [*places, path]:
            descriptor = os.open(place, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        raise Unreachable(f"{folder} cannot be written out: {error.strerror}") from error
