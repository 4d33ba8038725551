"""What a command may take of the machine: what was asked for, else what is configured, else what there is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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


def peak_rss_bytes() -> int:
    """Largest resident size of this process so far.

    Linux counts it a program (``VmHWM``); ``ru_maxrss`` would start from that of the process which started us.

    >>> peak_rss_bytes() > 1_000_000
    True
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
