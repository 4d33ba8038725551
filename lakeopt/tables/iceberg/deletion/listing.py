"""What really lies below a location, as the table's own store lists it: Arrow tables, a bounded number of rows each.

Links are named and never followed: what they lead to is not the table's. Everything else is listed, hidden folders
and names with an underscore too. A store's folders, also those that are objects of zero bytes, are no files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from lakeopt.errors import NoSpace, Unreachable, first_line

#: ``path`` below the folder; ``form`` is ``file``, or why an entry is none that may be moved.
SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("modified", pa.timestamp("us", "UTC")),
        ("form", pa.string()),
    ]
)
#: Rows of one table.
BATCH = 65_536
#: What Hadoop's S3 file system makes to stand for a folder.
_HADOOP_MARKER = "_$folder$"

#: Parts of a key that are none of a path: empty, ``.`` and ``..``.
_ODD_PART = re.compile(r"/\.{0,2}(?:/|$)")

Row = tuple[str, int | None, int | None, str]


def list_files(filesystem: fs.FileSystem, folder: str, *, batch: int = BATCH) -> Iterator[pa.Table]:
    """Every file below a folder (:data:`SCHEMA`), in no order; a folder that is not there has none.

    A folder that vanishes meanwhile is left out; one that may not be read is an error, since files that are not
    seen cannot be judged.

    :raises Unreachable: the store does not answer, or does not let us list.
    """
    local = isinstance(filesystem, fs.LocalFileSystem)
    rows = _local(folder) if local else _stored(filesystem, folder)
    try:
        while part := list(islice(rows, batch)):
            yield _table(part)
    except OSError as error:
        raise Unreachable(
            f"{folder} cannot be listed: {first_line(error)}", hint="check the permissions of this user"
        ) from error


def _table(rows: list[Row]) -> pa.Table:
    path, size, modified, form = zip(*rows, strict=True)
    return pa.table(
        [
            pa.array(path, pa.string()),
            pa.array(size, pa.int64()),
            pa.array(modified, pa.int64()).cast(pa.timestamp("us", "UTC")),
            pa.array(form, pa.string()),
        ],
        schema=SCHEMA,
    )


def _local(folder: str) -> Iterator[Row]:
    """Entries of a local folder; one folder is open at a time and nothing is held but the names of those to come."""
    waiting = [folder]
    start = len(folder.rstrip("/")) + 1
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except (FileNotFoundError, NotADirectoryError):
            continue
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                with contextlib.suppress(FileNotFoundError):
                    yield _entry(entry, start)


def _entry(entry: os.DirEntry[str], start: int) -> Row:
    found = entry.stat(follow_symlinks=False)
    form = "link" if entry.is_symlink() else "file" if entry.is_file(follow_symlinks=False) else "special"
    path = entry.path[start:]
    try:
        path.encode()
    except UnicodeEncodeError:
        path, form = os.fsencode(path).decode("utf-8", "backslashreplace"), "unnamable"
    return path, found.st_size, found.st_mtime_ns // 1000, form


def _stored(filesystem: fs.FileSystem, folder: str) -> Iterator[Row]:
    """Objects below a prefix. pyarrow holds a whole answer at once, so that two levels are gone down by hand."""
    start = len(folder.rstrip("/")) + 1
    for branch in _branches(filesystem, folder, 2):
        for info in branch:
            if info.type == fs.FileType.Directory:
                continue
            dated = info.mtime_ns is not None
            yield info.path[start:], info.size, info.mtime_ns // 1000 if dated else None, _form(info)


def _form(info: fs.FileInfo) -> str:
    if info.path.endswith(_HADOOP_MARKER):
        return "marker"
    if _ODD_PART.search(info.path):  # pyarrow lists such a key and takes it for no path, or another, in anything else
        return "unaddressable"
    return "file" if info.mtime_ns is not None else "undated"


def _branches(filesystem: fs.FileSystem, folder: str, depth: int) -> Iterator[Iterable[fs.FileInfo]]:
    if depth == 0:
        yield filesystem.get_file_info(fs.FileSelector(folder, recursive=True, allow_not_found=True))
        return
    infos = filesystem.get_file_info(fs.FileSelector(folder, recursive=False, allow_not_found=True))
    if any(info.path.rstrip("/") == folder.rstrip("/") for info in infos):  # keys with // behind the folder's name
        yield from _branches(filesystem, folder, 0)
        return
    yield infos
    for info in infos:
        if info.type == fs.FileType.Directory:
            yield from _branches(filesystem, info.path, depth - 1)


def store_time(filesystem: fs.FileSystem, folder: str) -> datetime:
    """The time by the clock that stamps what is written to a folder: that of a file written just now.

    :raises NoSpace: there is no room for it.
    :raises Unreachable: nothing can be written there.
    """
    path = f"{folder.rstrip('/')}/clock-{secrets.token_hex(8)}"
    try:
        filesystem.create_dir(folder, recursive=True)
        try:
            with filesystem.open_output_stream(path) as sink:
                sink.write(b"what time is it?")
            stamped: datetime | None = filesystem.get_file_info(path).mtime
        finally:
            with contextlib.suppress(OSError):
                filesystem.delete_file(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"no space left in {folder}", hint="free disk space") from error
        raise Unreachable(
            f"the store's clock cannot be read: nothing can be written to {folder}: {first_line(error)}"
        ) from error
    if stamped is None:
        raise Unreachable(f"the store says no time for {path}", hint="ages cannot be told on this store")
    return stamped.astimezone(UTC)


def is_one_store(left: tuple[fs.FileSystem, str], right: tuple[fs.FileSystem, str]) -> bool:
    """Whether one clock stamps the files of both folders: the same service, or the same local device."""
    if not left[0].equals(right[0]):
        return False
    return not isinstance(left[0], fs.LocalFileSystem) or _device(left[1]) == _device(right[1])


def _device(path: str) -> int:
    place = Path(os.path.abspath(path))
    while not place.exists():
        place = place.parent
    return place.stat().st_dev
