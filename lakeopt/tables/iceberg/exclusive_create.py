"""Create an object only where there is none: what a lease rests on."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import secrets
from pathlib import Path
from typing import Any

from pyarrow import fs
from pyiceberg.io import FileIO

from lakeopt.errors import MissingExtra, Refused
from lakeopt.tables.iceberg.storage import resolve

#: What a file system says that knows no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


def create_exclusively(io: FileIO, location: str, body: bytes) -> bool:
    """Write an object if its name is free; False where it is taken. A reader sees all of it or nothing.

    :raises Refused: the storage offers no such thing.
    :raises MissingExtra: it does, but through a package that is not installed.
    :raises OSError: the storage cannot be written.
    """
    filesystem, path = resolve(io, location)
    if isinstance(filesystem, fs.LocalFileSystem):
        return _local(Path(path), body)
    return _s3(io, filesystem, location, path, body)


def _local(path: Path, body: bytes) -> bool:
    """A hard link is made or not, and its file is whole already; without links the name itself is claimed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(body)
        os.link(part, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _claimed(path, body)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return True


def _claimed(path: Path, body: bytes) -> bool:
    try:
        claim = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(claim, "wb") as sink:
        sink.write(body)
    return True


def _s3(io: FileIO, filesystem: fs.FileSystem, location: str, path: str, body: bytes) -> bool:
    """``If-None-Match: *``, which pyarrow does not send: s3fs does, with the table's own properties."""
    store = _s3fs(io, filesystem, location)
    try:
        store.pipe_file(path, body, mode="create")
    except FileExistsError:
        return False
    return True


def _s3fs(io: FileIO, filesystem: fs.FileSystem, location: str) -> Any:
    scheme = location.partition("://")[0]
    if scheme not in ("s3", "s3a", "s3n"):
        raise Refused(f"nothing can be created exclusively at {location}")
    if isinstance(filesystem, fs.PyFileSystem) and isinstance(filesystem.handler, fs.FSSpecHandler):
        return filesystem.handler.fs
    if importlib.util.find_spec("s3fs") is None:
        raise MissingExtra("s3fs", "s3")
    from pyiceberg.io.fsspec import FsspecFileIO

    return FsspecFileIO(io.properties).get_fs(scheme)
