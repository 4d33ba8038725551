"""Files of pyarrow's file systems for an engine that reads ranges of them, from many threads at once.

DuckDB calls one handle of a Python file system from many threads, even with one thread of its own. So a handle keeps
a position per thread, and reads with ``read_at``, which moves no position that others share.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from fsspec import AbstractFileSystem  # type: ignore[import-untyped]

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs


class RangeFile:
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


class RangeFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Files, read only, under names of an own protocol; :meth:`locate` says what a name stands for."""

    cachable = False
    root_marker = ""

    def locate(self, path: str) -> tuple[fs.FileSystem, str]:
        """File system and path of a file, whose name comes with or without the protocol."""
        raise NotImplementedError

    def open(self, path: str, mode: str = "rb", **options: Any) -> RangeFile:
        """A handle that many threads may read at once."""
        if mode != "rb":
            raise PermissionError(f"{path} is only read")
        filesystem, inner = self.locate(path)
        return self.handle(filesystem.open_input_file(inner), path)

    def handle(self, file: pa.NativeFile, path: str) -> RangeFile:
        """The handle over an open file."""
        return RangeFile(file)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Name, size and type of a file."""
        filesystem, inner = self.locate(path)
        return {"name": path, "size": filesystem.get_file_info(inner).size, "type": "file"}

    def modified(self, path: str) -> Any:
        """When a file was last written."""
        filesystem, inner = self.locate(path)
        return filesystem.get_file_info(inner).mtime

    def glob(self, path: str, **options: Any) -> list[str]:
        """The path itself, its ``[*]`` read as ``*``: file lists hold no patterns, but engines ask."""
        for wild in "*?[":
            path = path.replace(f"[{wild}]", wild)
        return [path]
