"""A folder for what does not fit in memory, removed at the end, and after a killed run by the next one."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lakeopt.workflows.processes import start_time

_PREFIX = "lakeopt-spill-"


@contextlib.contextmanager
def spill_directory() -> Iterator[str]:
    """A new folder below the system's temporary folder (``TMPDIR``), for the time of the block."""
    pid = os.getpid()
    root = Path(tempfile.gettempdir())
    _remove_dead(root)
    name = tempfile.mkdtemp(prefix=f"{_PREFIX}{pid}-{start_time(pid)}-", dir=root)
    try:
        yield name
    finally:
        shutil.rmtree(name, ignore_errors=True)


def _remove_dead(root: Path) -> None:
    """Remove the folders of runs whose process (pid and start time) is gone."""
    for folder in root.glob(f"{_PREFIX}*"):
        pid, _, rest = folder.name.removeprefix(_PREFIX).partition("-")
        if not pid.isdecimal() or start_time(int(pid)) != rest.partition("-")[0]:
            shutil.rmtree(folder, ignore_errors=True)
