"""With ``LAKEOPT_SOAK=1`` fault tests run in full, and what each did is written below ``benchmarks/results/``."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

#: The result file that this run has written.
_WRITTEN: list[Path] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if os.environ.get("LAKEOPT_SOAK") and report.when == "call" and item.get_closest_marker("fault"):
        done = {"test": item.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 1)}
        _write(done | dict(report.user_properties))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for path in _WRITTEN[-1:]:
        counts = ", ".join(f"{verb}: {count}" for verb, count in json.loads(path.read_text())["kills"].items())
        terminalreporter.write_line(f"kills: {{{counts}}}")


def _write(done: Mapping[str, Any]) -> None:
    """Add a test to the result file of the day; it takes the place of an earlier run of the same test."""
    from benchmarks.measure import machine, result_path, versions

    path = result_path("soak")
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # another run may add its own now
        earlier = json.loads(path.read_text())["tests"] if path.exists() else []
        tests = {test["test"]: test for test in [*earlier, done]}
        report = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": versions(),
            "kills": kill_counts(tests.values()),
            "tests": list(tests.values()),
        }
        whole = path.with_suffix(f".{os.getpid()}")
        whole.write_text(json.dumps(report, indent=1) + "\n")
        whole.replace(path)
    finally:
        os.close(folder)
    _WRITTEN.append(path)


def kill_counts(tests: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Kills by verb over all tests, and their total; of a test that failed too."""
    counts: Counter[str] = Counter()
    for test in tests:
        for verb, told in test.get("kills", {}).items():
            if isinstance(told, dict):
                counts[verb] += told["total"]
    return {**dict(sorted(counts.items())), "total": counts.total()}
