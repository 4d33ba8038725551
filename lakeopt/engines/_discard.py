"""Delete staged files that will not be committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lakeopt.parquet.footers import data_file_error

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs


def discard(staged: pa.Table, resolve: Callable[[str], tuple[fs.FileSystem, str]]) -> int:
    """Delete the staged files; the number deleted. A missing file is no error.

    :raises Unreachable: the storage refuses; the files already deleted stay deleted.
    """
    deleted = 0
    for location in staged.column("file_path").to_pylist():
        filesystem, path = resolve(location)
        try:
            filesystem.delete_file(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise data_file_error(location, error) from error
        deleted += 1
    return deleted
