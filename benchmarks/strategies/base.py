"""What a strategy of the suite is: one module of this folder with the names of :class:`Strategy`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.measure import run


class Profile:
    """Figures of the columns of a landed table, as ``lakeopt profile`` prints them; asked for once, if at all."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier
        self._columns: list[dict[str, Any]] = []
        self.seconds = 0.0

    def columns(self) -> list[dict[str, Any]]:
        """One mapping a column."""
        if not self._columns:
            done = run([str(Path(sys.executable).with_name("lakeopt")), "profile", self._identifier, "--json"])
            self._columns, self.seconds = json.loads(done.stdout)["columns"], done.wall
        return self._columns


@dataclass
class Subject:
    """What a strategy may know: columns that the queries filter by, their file, and the profile of the table.

    ``asked_seconds`` are those of the profile, where the strategy took it.
    """

    columns: tuple[str, ...]
    queries: Path
    _profile: Profile
    asked_seconds: float = 0.0

    def profile(self) -> list[dict[str, Any]]:
        """Figures of each column."""
        found = self._profile.columns()
        self.asked_seconds = self._profile.seconds
        return found


class Strategy(Protocol):
    """One way to lay out a table."""

    #: Its place in tables, and what it is called there.
    PLACE: int
    TITLE: str
    #: Codecs that it is written with, zstd 3 first: in all, and in a quick run.
    CODECS: tuple[str, ...]
    QUICK_CODECS: tuple[str, ...]

    def options(self, subject: Subject) -> Sequence[str] | None:
        """Options of ``lakeopt rewrite``; None leaves the table as it is. What it asks of lakeopt counts as search."""


def key(columns: Sequence[str]) -> str:
    """Columns as ``--sort-by`` takes them."""
    return ",".join('"' + name.replace('"', '""') + '"' for name in columns)
