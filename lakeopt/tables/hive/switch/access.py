"""Who may read and write the folder that a partition is switched to: those who might the one that it leaves.

A folder that is made anew belongs to who made it, with the modes of that process: others' readers would fail after a
switch, or rows that were kept private would lie open.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from pathlib import Path

from pyarrow import fs

from lakeopt.errors import CommitConflict, Refused
from lakeopt.tables.base import Table
from lakeopt.tables.hive.listing import OWN_FOLDER, is_hidden

_LISTS = ("system.posix_acl_access", "system.posix_acl_default")


def take_over(table: Table, was: str, folder: str) -> None:
    """Give a new folder, its files and the hidden folders above it the mode, group and access lists of what they stand
    for: the folder that is left, its data files, and the table's own. On local file systems; others have no such thing.

    :raises CommitConflict: the folder that is left is gone.
    :raises Refused: a group cannot be given away by this user.
    """
    filesystem, old = table.resolve(was)
    if not isinstance(filesystem, fs.LocalFileSystem):
        return
    left, made = Path(old), Path(table.resolve(folder)[1])
    root = Path(table.resolve(table.location)[1])
    try:
        for one in made.parents:
            if one.name == OWN_FOLDER:
                with contextlib.suppress(PermissionError, Refused):  # it may be of another user, who has seen to it
                    _like(one, [root])
                break
            _like(one, [root])
        data = [one for one in left.iterdir() if one.is_file() and not is_hidden(one.name)]
        for one in made.iterdir():
            if one.is_file():
                _like(one, data)
        _like(made, [left])
    except FileNotFoundError as error:
        raise CommitConflict(f"the partition's folder is gone: {was}", hint="make a new plan") from error
    except OSError as error:
        raise Refused(f"who may read {folder} cannot be said: {error.strerror}", hint="run it as its owner") from error


def _like(made: Path, models: list[Path]) -> None:
    """What all of the models allow; the group and lists of the first."""
    if not models:
        return
    held = [one.stat() for one in models]
    mode = functools.reduce(lambda left, right: left & right, (stat.S_IMODE(one.st_mode) for one in held))
    now = made.stat()
    if now.st_uid != held[0].st_uid:
        with contextlib.suppress(PermissionError):  # none but root gives files away; who owns them may be another
            os.chown(made, held[0].st_uid, -1)
    if now.st_gid != held[0].st_gid:
        try:
            os.chown(made, -1, held[0].st_gid)
        except PermissionError as error:
            raise Refused(
                f"{models[0]} is of group {held[0].st_gid}, and this user cannot give new files to it",
                hint="run it as a member of that group, or as who owns the table",
            ) from error
    if stat.S_IMODE(made.stat().st_mode) != mode:
        os.chmod(made, mode)
    for name in _LISTS:
        with contextlib.suppress(OSError):  # there is none, or the file system knows no such lists
            os.setxattr(made, name, os.getxattr(models[0], name))
