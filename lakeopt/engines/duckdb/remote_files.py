"""Let DuckDB read files that lie on no local disk: through pyarrow's file systems, a range at a time.

DuckDB calls one handle of a Python file system from many threads at once, even with one thread of its own. So a
handle keeps a position per thread, and reads with ``read_at``, which moves no position that others share.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from pyarrow import fs

PROTOCOL = "remote"


class RemotePath(str):
    """The name under which DuckDB knows a file, with the file system and the path that it stands for."""

    __slots__ = ("filesystem", "path")

    filesystem: fs.FileSystem
    path: str

    def __new__(cls, location: str, filesystem: fs.FileSystem, path: str) -> RemotePath:
        """``location`` is the file's name in the table's metadata."""
        made = super().__new__(cls, f"{PROTOCOL}://{location}")
        made.filesystem, made.path = filesystem, path
        return made

    def open(self) -> pa.NativeFile:
        """The file, for reading at any place."""
        return self.filesystem.open_input_file(self.path)


def parquet_source(path: str) -> str | pa.NativeFile:
    """What pyarrow opens for a path: itself where it is local, else the open file."""
    return path.open() if isinstance(path, RemotePath) else path


def serve(connection: duckdb.DuckDBPyConnection, paths: Iterable[str]) -> None:
    """Let a connection read those of the paths that are remote."""
    remote = {str(path): path for path in paths if isinstance(path, RemotePath)}
    if remote:
        connection.register_filesystem(RemoteFileSystem(remote))


class RemoteFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """A given set of remote files, read only."""

    protocol = PROTOCOL
    cachable = False
    root_marker = ""

    def __init__(self, files: dict[str, RemotePath]) -> None:
        super().__init__()
        self._files = files

    def open(self, path: str, mode: str = "rb", **options: Any) -> RemoteFile:
        """A handle that many threads may read at once."""
        if mode != "rb":
            raise PermissionError(f"{path} is only read")
        return RemoteFile(self._of(path).open())

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Name, size and type of a file."""
        found = self._of(path)
        return {"name": path, "size": found.filesystem.get_file_info(found.path).size, "type": "file"}

    def modified(self, path: str) -> Any:
        """When a file was last written."""
        found = self._of(path)
        return found.filesystem.get_file_info(found.path).mtime

    def glob(self, path: str, **options: Any) -> list[str]:
        """The path itself, its ``[*]`` read as ``*``: file lists hold no patterns, but engines ask."""
        for wild in "*?[":
            path = path.replace(f"[{wild}]", wild)
        return [path]

    def _of(self, path: str) -> RemotePath:
        return self._files[path if path.startswith(f"{PROTOCOL}://") else f"{PROTOCOL}://{path}"]


class RemoteFile:
    """A read handle with one position per thread."""

    def __init__(self, file: pa.NativeFile) -> None:
        self._file = file
        self.size = file.size()
        self._position = threading.local()

    def tell(self) -> int:
        """This thread's position."""
        return getattr(self._position, "value", 0)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        """Move this thread's position; the new one."""
        self._position.value = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self.size}[whence] + position
        return self.tell()

    def read(self, length: int = -1) -> bytes:
        """The bytes from this thread's position on, up to ``length`` of them."""
        start = self.tell()
        left = max(self.size - start, 0)
        wanted = left if length < 0 else min(length, left)
        data: bytes = self._file.read_at(wanted, start) if wanted else b""
        self._position.value = start + len(data)
        return data

    def close(self) -> None:
        """Close the file for all threads."""
        self._file.close()
