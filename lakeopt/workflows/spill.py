"""A folder for what does not fit in memory, removed at the end, and after a killed run by the next one."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "lakeopt-spill-"


@contextlib.contextmanager
def spill_directory() -> Iterator[str]:
    """A new folder below the system's temporary folder (``TMPDIR``), for the time of the block."""
    import psutil

    me = psutil.Process()
    root = Path(tempfile.gettempdir())
    _remove_dead(root)
    name = tempfile.mkdtemp(prefix=f"{_PREFIX}{me.pid}-{int(me.create_time())}-", dir=root)
    try:
        yield name
    finally:
        shutil.rmtree(name, ignore_errors=True)


def _remove_dead(root: Path) -> None:
    """Remove the folders of runs whose process (pid and start time) is gone."""
    import psutil

    for folder in root.glob(f"{_PREFIX}*"):
        pid, _, rest = folder.name.removeprefix(_PREFIX).partition("-")
        started = rest.partition("-")[0]
        try:
            alive = int(psutil.Process(int(pid)).create_time()) == int(started)
        except (psutil.NoSuchProcess, ValueError):
            alive = False
        except psutil.AccessDenied:
            alive = True
        if not alive:
            shutil.rmtree(folder, ignore_errors=True)
