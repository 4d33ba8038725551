"""What a measurement was made on: a figure without its conditions is not worth publishing."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from lakeopt import __version__
from lakeopt.workflows.resources import cores


def machine() -> Mapping[str, Any]:
    """Processor, cores that this process may use, memory in bytes, operating system."""
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
    }


def versions(packages: Sequence[str] = ("pyiceberg", "pyarrow")) -> dict[str, str]:
    """Versions of Python, lakeopt and these packages."""
    known = {"lakeopt": __version__, "python": platform.python_version()}
    return known | {package: version(package) for package in packages}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, None) or platform.processor() or platform.machine()
