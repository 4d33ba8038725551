"""Where bytes lie: locations as Iceberg spells them, as pyarrow file systems and paths."""

from __future__ import annotations

from pyarrow import fs
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFileIO

from lakeopt.errors import Refused, Unreachable


def resolve(io: FileIO, location: str) -> tuple[fs.FileSystem, str]:
    """File system and path of a location, with the properties and credentials of the table's own FileIO.

    Local locations (``/x``, ``file:/x``, ``file:///x``) are taken as they stand: nothing in them is decoded, and
    ``#`` and ``?`` are part of the name.

    :raises Refused: no file system is known for the scheme.
    :raises Unreachable: the file system cannot be set up.
    """
    path = local_path(location)
    if path is not None:
        return fs.LocalFileSystem(), path
    try:
        if isinstance(io, PyArrowFileIO):
            scheme, netloc, path = io.parse_location(location, io.properties)
            return io.fs_by_scheme(scheme, netloc), path
        if hasattr(io, "get_fs"):  # pyiceberg's FileIO over fsspec, which is an optional package
            scheme, _, path = location.partition("://")
            return fs.PyFileSystem(fs.FSSpecHandler(io.get_fs(scheme))), path
    except (ValueError, ImportError) as error:
        raise Refused(f"no file system for {location}: {error}") from error
    except OSError as error:
        raise Unreachable(f"storage cannot be reached: {location}: {error}", hint="check its credentials") from error
    raise Refused(f"files cannot be read through {type(io).__name__}: {location}", hint="unset py-io-impl")


def local_path(location: str) -> str | None:
    """Path of a local location; None where it has another scheme.

    >>> local_path("file:///a b/c"), local_path("file:/a"), local_path("/a#b"), local_path("s3://a/b")
    ('/a b/c', '/a', '/a#b', None)
    """
    if location.startswith("file:"):
        path = location.removeprefix("file:")
        return "/" + path.lstrip("/") if path.startswith("/") else None
    return None if "://" in location else location
