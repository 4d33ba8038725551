"""Which process a run is or was, and whether it still lives: pids are given out again, so a pid alone does not tell."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


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
    """What tells a later run whether this process still lives: host, boot, pid namespace, pid and start time."""
    pid = os.getpid()
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
    namespace = os.readlink(_PID_NAMESPACE) if _PID_NAMESPACE.is_symlink() else ""
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "boot_id": boot,
        "pid_namespace": namespace,
        "start_time": start_time(pid) or "",
    }


def has_ended(process: Mapping[str, Any]) -> bool:
    """Whether the process of that identity is surely gone.

    Only of one of the same boot of the same host is that known: machines and containers may share a name, and
    containers of one machine do not see each other's processes.

    >>> here = process_identity()
    >>> has_ended(here), has_ended(here | {"start_time": "0"}), has_ended(here | {"start_time": "0", "boot_id": "x"})
    (False, True, False)
    """
    here = process_identity()
    if any(process.get(name) != here[name] for name in ("host", "boot_id", "pid_namespace")):
        return False
    return start_time(int(process.get("pid", 0))) != process.get("start_time")


def seems_ended(process: Mapping[str, Any]) -> bool:
    """Whether it is surely gone, or its host has, by its name, been started anew: enough where nothing is lost by it.

    >>> here = process_identity()
    >>> seems_ended(here), seems_ended(here | {"boot_id": "x"}), seems_ended(here | {"host": "x", "boot_id": "x"})
    (False, True, False)
    """
    here = process_identity()
    rebooted = process.get("host") == here["host"] and process.get("boot_id") != here["boot_id"]
    return rebooted or has_ended(process)
