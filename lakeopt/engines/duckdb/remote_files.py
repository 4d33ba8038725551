"""Let DuckDB read files that lie on no local disk: through pyarrow's file systems, a range at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lakeopt.engines._range_reads import RangeFileSystem

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyarrow import fs

PROTOCOL = "remote"


class RemotePath(str):
    """The name under which DuckDB knows a file, with the file system and the path that it stands for."""

    __slots__ = ("filesystem", "location", "path")

    filesystem: fs.FileSystem
    location: str
    path: str

    def __new__(cls, location: str, filesystem: fs.FileSystem, path: str) -> RemotePath:
        """``location`` is the file's name in the table's metadata."""
        made = super().__new__(cls, f"{PROTOCOL}://{location}")
        made.location, made.filesystem, made.path = location, filesystem, path
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return RemotePath, (self.location, self.filesystem, self.path)

    def open(self) -> pa.NativeFile:
        """The file, for reading at any place."""
        return self.filesystem.open_input_file(self.path)


def parquet_source(path: str) -> str | pa.NativeFile:
    """What pyarrow opens for a path: itself where it is local, else the open file."""
    return path.open() if isinstance(path, RemotePath) else path


def remote_among(paths: Iterable[str]) -> dict[str, RemotePath]:
    """Those of the paths that are remote, by their names."""
    return {str(path): path for path in paths if isinstance(path, RemotePath)}


def serve(connection: duckdb.DuckDBPyConnection, paths: Iterable[str]) -> None:
    """Let a connection read those of the paths that are remote."""
    if remote := remote_among(paths):
        connection.register_filesystem(RemoteFileSystem(remote))


class RemoteFileSystem(RangeFileSystem):
    """A given set of remote files, read only."""

    protocol = PROTOCOL

    def __init__(self, files: dict[str, RemotePath]) -> None:
        super().__init__()
        self._files = files

    def locate(self, path: str) -> tuple[fs.FileSystem, str]:
        """File system and path of one of the files."""
        found = self._files[path if path.startswith(f"{PROTOCOL}://") else f"{PROTOCOL}://{path}"]
        return found.filesystem, found.path
