"""Create an object only where there is none: what a lease rests on."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from pyarrow import fs
from pyiceberg.io import FileIO

from lakeopt.errors import Refused
from lakeopt.tables.iceberg.s3_creation import SCHEMES, create_on_s3
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
    if location.partition("://")[0] not in SCHEMES:
        raise Refused(f"nothing can be created exclusively at {location}")
    return create_on_s3(io.properties, filesystem, path, body)


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
