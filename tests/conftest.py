"""Shared fixtures: a lake of Iceberg tables in a temporary folder, found by pyiceberg's own configuration."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by file; this lets them import `lake`

from balance import ByFileAndService, longest_first
from lake import Lake
from servers.fixtures import chromium, hive, hive_port, moto, postgres, rest, rest_on_s3, s3
from servers.process import SHORT_LIVED

__all__ = ["chromium", "hive", "hive_port", "moto", "postgres", "rest", "rest_on_s3", "s3"]


#: Examples of each property in `make check` (``--hypothesis-profile check``); `make test` tries as many as it asks for.
FEW = 10
hypothesis.settings.register_profile("check", max_examples=FEW, deadline=None)  # on busy machines too, as in CI


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFileAndService | None:
    """``--dist loadfile`` also keeps files together that need the same service."""
    return ByFileAndService(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put long tests first where there are several workers, and hold properties to few examples."""
    if hasattr(config, "workerinput"):
        longest_first(items)
    if not os.environ.get("LAKEOPT_SOAK"):
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(pytest.mark.skip(reason="a further case: make soak runs it"))
    _ask_for_less(config, items)


def _ask_for_less(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With the profile ``check``, properties that ask for more than ``FEW`` get ``FEW``: a profile alone does not."""
    if config.getoption("--hypothesis-profile", None) != "check":
        return
    for item in items:
        test = getattr(item, "obj", None)
        test = getattr(test, "__func__", test)
        asked = getattr(test, "_hypothesis_internal_use_settings", None)
        if asked is not None and asked.max_examples > FEW:
            test._hypothesis_internal_use_settings = hypothesis.settings(asked, max_examples=FEW)


def pytest_configure() -> None:
    """Let Ctrl-C be heard, here and in processes that tests start: of a background job it is ignored.

    Each ``java`` that they start takes its options from the environment.
    """
    os.environ.setdefault("JDK_JAVA_OPTIONS", " ".join(SHORT_LIVED))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """An empty lake whose catalog ``lake`` is configured in the environment, so that subprocesses see it too.

    The user's own configuration files are out of sight: home and working folder are temporary.
    """
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("PYICEBERG_HOME", raising=False)
    monkeypatch.chdir(home)
    made = Lake(tmp_path / "lake")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made
