"""Files go from one place to another so that a crash at any instant leaves each whole in at least one of the two.

Within one local file system a move is a rename; elsewhere a copy, which is compared before the original is deleted.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyarrow import fs

_READ = 1 << 20
#: What a file system answers that cannot give a file a second name in another place, or at all.
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place for one file: a file system and a path on it."""

    filesystem: fs.FileSystem
    path: str

    @property
    def local(self) -> bool:
        """Whether this machine's own file system keeps it."""
        return bool(self.filesystem.type_name == "local")

    def state(self) -> tuple[int, int] | None:
        """Size and time of the last change (microseconds since 1970); None where no plain file is there."""
        if self.local:
            try:
                found = os.lstat(self.path)
            except (FileNotFoundError, NotADirectoryError):
                return None
            plain = os.path.isfile(self.path) and not os.path.islink(self.path)
            return (found.st_size, found.st_mtime_ns // 1000) if plain else None
        info = self.filesystem.get_file_info(self.path)
        return (info.size, (info.mtime_ns or 0) // 1000) if info.is_file else None

    def taken(self) -> bool:
        """Whether anything has this name."""
        if self.local:
            return os.path.lexists(self.path)
        return int(self.filesystem.get_file_info(self.path).type) != 0

    def delete(self) -> None:
        """Remove the file; one that is gone is no error."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(self.path)

    def digest(self) -> bytes:
        """A hash of the content."""
        seen = hashlib.blake2b(digest_size=16)
        with self.filesystem.open_input_stream(self.path, compression=None) as source:
            while block := source.read(_READ):
                seen.update(block)
        return seen.digest()


class Changed(Exception):
    """The file is not the one that was listed, or something is where it should go: nothing was moved."""


def set_aside(source: Spot, target: Spot, size: int, modified_us: int) -> None:
    """Move a file to a place of its own, if it is still as it was listed.

    :raises Changed: it is gone, was written since, or is no plain file.
    :raises OSError: it could not be moved; it is where it was.
    """
    if source.state() != (size, modified_us):
        raise Changed
    try:
        _set_aside(source, target, size, modified_us)
    except FileNotFoundError:
        if source.state() is not None:
            raise
        raise Changed from None  # another run was quicker


def _set_aside(source: Spot, target: Spot, size: int, modified_us: int) -> None:
    if source.local and target.local:
        Path(target.path).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.rename(source.path, target.path)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        else:
            if target.state() != (size, modified_us):  # written between the look and the move
                put_back(target, source)
                raise Changed
            return
    _set_aside_copy(source, target)
    if source.state() != (size, modified_us):
        target.delete()
        raise Changed
    source.delete()


def put_back(source: Spot, target: Spot) -> None:
    """Move a file back to where it was, never over another one.

    :raises Changed: the name is taken by a file with other content.
    :raises OSError: it could not be moved; it is where it was.
    """
    part = _part(source, target)
    if target.local:  # of a run that was killed; never written over, as it may be the target by another name
        part.delete()
    if target.taken():
        if target.state() is None or target.digest() != source.digest():
            raise Changed
        source.delete()  # a move that was interrupted between copy and delete
        return
    if not target.local:
        _copy(source, target)
        source.delete()
        return
    Path(target.path).parent.mkdir(parents=True, exist_ok=True)
    if source.local and _link(source.path, target.path):
        source.delete()
        return
    try:
        _copy(source, part)
        if not _link(part.path, target.path):
            if target.taken():
                raise Changed
            os.rename(part.path, target.path)
    finally:
        part.delete()
    source.delete()


def _part(source: Spot, target: Spot) -> Spot:
    """Where a copy is made until it is whole: the same place each time, nobody else's, and never too long a name."""
    own = hashlib.blake2b(os.fsencode(source.path), digest_size=16).hexdigest()
    return Spot(target.filesystem, f"{target.path.rpartition('/')[0]}/{own}.part")


def _set_aside_copy(source: Spot, target: Spot) -> None:
    """Copy to a place of its own; on a local file system it has its name only once it is whole."""
    if not target.local:
        _copy(source, target)
        return
    part = Spot(target.filesystem, f"{target.path}.part")
    _copy(source, part)
    os.rename(part.path, target.path)


def _link(source: str, target: str) -> bool:
    """Give a local file a second name, which must be free; False where the file system cannot."""
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise Changed from None
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


def _copy(source: Spot, target: Spot) -> None:
    """Copy a file and compare what arrived; a copy that is not whole is removed."""
    parent = target.path.rpartition("/")[0]
    if parent and target.local:
        Path(parent).mkdir(parents=True, exist_ok=True)
    try:
        if source.filesystem.equals(target.filesystem) and not source.local:
            source.filesystem.copy_file(source.path, target.path)
            found, wanted = target.state(), source.state()
            same = found is not None and wanted is not None and found[0] == wanted[0]
        else:
            with (
                source.filesystem.open_input_stream(source.path, compression=None) as read,
                target.filesystem.open_output_stream(target.path, compression=None) as write,
            ):
                shutil.copyfileobj(read, write, _READ)
            same = target.digest() == source.digest()
    except BaseException:
        with contextlib.suppress(OSError):
            target.delete()
        raise
    if not same:
        target.delete()
        raise OSError(errno.EIO, "the copy is not equal to the original", source.path)
    if source.local and target.local:
        shutil.copystat(source.path, target.path)
        with open(target.path, "rb") as written:
            os.fsync(written.fileno())
