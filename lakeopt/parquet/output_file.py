"""Create a file on any file system so that nobody else's is overwritten, and remove it again."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, cast

from lakeopt.errors import NoSpace, Unreachable
from lakeopt.parquet.footers import unreachable

if TYPE_CHECKING:
    from pyarrow import fs

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


def create(filesystem: fs.FileSystem, path: str) -> IO[bytes]:
    """A new file for writing, made exclusively on a local disk. Object stores show it once it is closed."""
    from pyarrow import fs

    if isinstance(filesystem, fs.LocalFileSystem):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return open(path, "xb")
    return cast(IO[bytes], filesystem.open_output_stream(path))


def remove(filesystem: fs.FileSystem, path: str) -> None:
    """Delete a file that may be absent."""
    with contextlib.suppress(FileNotFoundError):
        filesystem.delete_file(path)


@contextlib.contextmanager
def disk_errors(location: str) -> Iterator[None]:
    """Say plainly what keeps a file from being written.

    :raises NoSpace: the disk is full.
    :raises Unreachable: the store does not answer, or does not let us write.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL_DISK:
            raise NoSpace(f"no space left while writing {location}", hint="free disk space and run it again") from error
        if error.errno in _FORBIDDEN:
            raise Unreachable(
                f"{location} may not be written: {os.strerror(error.errno)}",
                hint="check the permissions of this user, and how the disk is mounted",
            ) from error
        if away := unreachable(location, error):
            raise away from error
        raise
