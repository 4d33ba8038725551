"""With ``LAKEOPT_SOAK=1`` fault tests run in full, and what they did is written below ``benchmarks/results/``."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator

import pytest

_DONE: list[dict[str, object]] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if os.environ.get("LAKEOPT_SOAK") and report.when == "call" and item.get_closest_marker("fault"):
        done = {"test": item.nodeid, "outcome": report.outcome, "seconds": round(report.duration, 1)}
        _DONE.append(done | dict(report.user_properties))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _DONE:
        from benchmarks.measure import machine, result_path, versions

        report = {"date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "machine": machine()}
        path = result_path("soak")
        path.write_text(json.dumps(report | {"versions": versions(), "tests": _DONE}, indent=1) + "\n")
