"""Run a command as a process of its own and take the operating system's account of it."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """One finished process: seconds of wall clock and CPU, and what it printed."""

    wall: float
    cpu: float
    stdout: str


def run(command: Sequence[str], *, stdin: str = "", environment: Mapping[str, str] | None = None) -> Run:
    """Run to the end, with ``stdin`` as its standard input.

    :raises RuntimeError: the command did not exit with 0.
    """
    started = time.perf_counter()
    settings = {**os.environ, **(environment or {})}
    process = subprocess.Popen(command, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(stdin)
    process.stdin.close()
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit {process.returncode}: {' '.join(command)}\n{text}")
    return Run(wall, usage.ru_utime + usage.ru_stime, text)


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Versions of everything whose speed is in the figures."""
    return {"python": sys.version.split()[0]} | {
        name: version(name) for name in ("lakeopt", "pyarrow", "duckdb", "pyiceberg")
    }


def result_path(name: str) -> Path:
    """Where a result file of today belongs: ``results/YYYYMMDD/<machine>-<name>.json``; its folder is made."""
    today = datetime.datetime.now(datetime.UTC)
    path = (
        Path(__file__).parent
        / "results"
        / f"{today:%Y%m%d}"
        / f"{platform.machine()}-{machine()['cores']}c-{name}.json"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
