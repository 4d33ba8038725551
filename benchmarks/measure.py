"""Run a command as a process of its own and take the operating system's account of it."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """One finished process: seconds of wall clock and CPU, peak resident bytes, what it printed."""

    wall: float
    cpu: float
    peak_rss_bytes: int
    stdout: str


#: A small process between us and the command: what Linux counts as the peak of a child starts from its parent's.
_LAUNCH = """
import json, os, sys, time
began = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
account = [time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]
os.write(int(sys.argv[1]), json.dumps(account).encode())
sys.exit(os.waitstatus_to_exitcode(status) and 1)
"""


def run(command: Sequence[str], *, stdin: str = "", environment: Mapping[str, str] | None = None) -> Run:
    """Run to the end, with ``stdin`` as its standard input.

    :raises RuntimeError: the command did not exit with 0.
    """
    reader, writer = os.pipe()
    done = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCH, str(writer), *command],
        env={**os.environ, **(environment or {})},
        input=stdin,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[writer],
    )
    os.close(writer)
    with os.fdopen(reader) as account:
        if done.returncode:
            raise RuntimeError(f"failed: {' '.join(command)}\n{done.stdout}")
        wall, cpu, peak = json.load(account)
    return Run(wall, cpu, peak, done.stdout)


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
