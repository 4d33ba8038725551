"""A folder for what does not fit in memory, removed at the end, and after a killed run by the next one."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lakeopt.errors import NoSpace

_PREFIX = "lakeopt-spill-"
_LOCK = "in-use"


@contextlib.contextmanager
def spill_directory() -> Iterator[str]:
    """A new folder below the system's temporary folder (``TMPDIR``), for the time of the block.

    Its owner holds a lock that ends with the process, so that others can tell a live folder from a dead one.

    :raises NoSpace: no temporary folder can be written.
    """
    try:
        root = Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise NoSpace(
            "no temporary folder can be written", hint="free disk space, or set TMPDIR to a folder that has some"
        ) from error
    _remove_dead(root)
    name = tempfile.mkdtemp(prefix=_PREFIX, dir=root)
    try:
        with open(Path(name) / _LOCK, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield name
    finally:
        shutil.rmtree(name, ignore_errors=True)


def _remove_dead(root: Path) -> None:
    """Remove folders whose owner is gone. One without a lock file may be a moment old: it is left alone."""
    for folder in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), open(folder / _LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
