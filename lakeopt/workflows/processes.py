"""Which process a run is or was, and whether it still lives: pids are given out again, so a pid alone does not tell."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def start_time(pid: int) -> str | None:
    """When a process of this host began, in a unit of the system's own; None where there is no such process.

    >>> start_time(os.getpid()) == start_time(os.getpid()) is not None
    True
    """
    import psutil

    try:
        if _BOOT_ID.exists():  # Linux: clock ticks since boot, which do not move when the clock is set
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return str(int(psutil.Process(pid).create_time()))
    except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        return None


def process_identity() -> dict[str, str | int]:
    """What tells a later run on this host whether this process still lives: host, boot, pid and start time."""
    pid = os.getpid()
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
    return {"host": socket.gethostname(), "pid": pid, "boot_id": boot, "start_time": start_time(pid) or ""}


def has_ended(process: Mapping[str, Any]) -> bool:
    """Whether the process of that identity is surely gone; of one on another host nothing is known.

    >>> has_ended(process_identity()), has_ended(process_identity() | {"start_time": "0"})
    (False, True)
    """
    here = process_identity()
    if process.get("host") != here["host"]:
        return False
    if process.get("boot_id") != here["boot_id"]:
        return True
    return start_time(int(process.get("pid", 0))) != process.get("start_time")
