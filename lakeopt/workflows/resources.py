"""What a command may take of the machine: what was asked for, else what is configured, else what there is."""

from __future__ import annotations

import os

from lakeopt.config import Settings
from lakeopt.units import parse_size


def memory(asked: int | None, settings: Settings) -> int:
    """Bytes of the whole process: half of what the machine has, where nothing is said.

    >>> memory(None, Settings(memory="2GB")), memory(5, Settings(memory="2GB"))
    (2000000000, 5)
    """
    import psutil

    return asked or (parse_size(settings.memory) if settings.memory else psutil.virtual_memory().total // 2)


def threads(asked: int | None, settings: Settings) -> int:
    """Threads that work at once: all cores, where nothing is said.

    >>> threads(None, Settings(threads=3)), threads(1, Settings(threads=3))
    (3, 1)
    """
    return asked or settings.threads or cores()


def cores() -> int:
    """Cores that this process may use.

    >>> cores() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
