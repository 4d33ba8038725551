"""Which worker of ``make test`` runs which tests, and in which order."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

#: Services that take long to start: the files that need one go to one worker, which alone starts it.
STARTED_ONCE = {
    "metastore": re.compile(r'service\("Hive metastore"\)|"rest", "hive"'),
    "Spark": re.compile(r'service\("Spark"\)'),
}


@functools.cache
def service_of(file: Path) -> str | None:
    """The service of ``STARTED_ONCE`` that a file of tests needs."""
    text = file.read_text(encoding="utf-8")
    return next((name for name, needed in STARTED_ONCE.items() if needed.search(text)), None)


class ByFileAndService(LoadFileScheduling):
    """A file's tests stay on one worker, and so do all files that need the same service."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return service_of(self.config.rootpath / file) or file


def longest_first(items: list[pytest.Item]) -> None:
    """Files that need such a service, then those with faults, with services, with slow tests: the end is short."""
    ranks: dict[Path, int] = {}
    for item in items:
        if item.path not in ranks:
            ranks[item.path] = 0 if service_of(item.path) else 4
        places = [place for place, name in enumerate(("fault", "service", "slow"), 1) if item.get_closest_marker(name)]
        ranks[item.path] = min([ranks[item.path], *places])
    items.sort(key=lambda item: ranks[item.path])
