"""Exchange two directories in one system call: between the two, no reader finds neither of them.

Linux alone has it (``renameat2`` with ``RENAME_EXCHANGE``), and not on every file system, so it is tried first beside
the directories that it is for. Two renames in its place would leave a moment in which a partition is not there.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import platform
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: How the folders of a trial begin.
_TRIAL = ".exchange-"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
#: Numbers of the system call, for C libraries that do not wrap it.
_NUMBERS = {"x86_64": 316, "aarch64": 276}
_RENAMEAT2 = Callable[[bytes, bytes], int]


def exchange(left: str, right: str) -> None:
    """Let two directories of one file system take each other's name, at once.

    :raises OSError: it is not done: one is gone, they lie apart, or the system knows no exchange.
    """
    if (call := _renameat2()) is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(os.fsencode(left), os.fsencode(right)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), left, None, right)


def why_no_exchange(folder: str) -> str | None:
    """Why directories below ``folder`` (which is made if it is not there) cannot be exchanged; None if they can.

    Two directories are made there, exchanged and removed.

    :raises OSError: nothing can be written there.
    """
    if _renameat2() is None:
        return "this system exchanges no directories (Linux with renameat2 does)"
    _forget_old(Path(folder))
    made = Path(folder, f"{_TRIAL}{secrets.token_hex(4)}")
    left, right = made / "left", made / "right"
    (left / "here").mkdir(parents=True)
    right.mkdir()
    try:
        exchange(str(left), str(right))
        held = (right / "here").is_dir() and not (left / "here").exists()
        return None if held else "its file system exchanged nothing"
    except OSError as error:
        return f"its file system exchanges no directories: {error.strerror}"
    finally:
        _remove(made)


def _remove(trial: Path) -> None:
    for empty in ("left/here", "right/here", "left", "right", "."):
        with contextlib.suppress(OSError):
            (trial / empty).rmdir()


def _forget_old(folder: Path) -> None:
    """Remove what trials that were killed have left; none lasts an hour."""
    for trial in folder.glob(f"{_TRIAL}*"):
        with contextlib.suppress(OSError):
            if trial.stat().st_mtime < time.time() - 3600:
                _remove(trial)


@functools.cache
def _renameat2() -> _RENAMEAT2 | None:
    """The system call as a function of two paths that gives 0 or sets ``errno``; None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if (wrapped := getattr(library, "renameat2", None)) is not None:
        return lambda left, right: int(wrapped(_AT_FDCWD, left, _AT_FDCWD, right, ctypes.c_uint(_RENAME_EXCHANGE)))
    number = _NUMBERS.get(platform.machine())
    if number is None:
        return None
    return lambda left, right: int(
        library.syscall(ctypes.c_long(number), _AT_FDCWD, left, _AT_FDCWD, right, ctypes.c_uint(_RENAME_EXCHANGE))
    )
