"""Named queries that a table is judged by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """One named SQL query; ``weight`` is how often it runs relative to the others."""

    name: str
    sql: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Workload:
    """The queries of one file, in its order."""

    source: str
    queries: tuple[Query, ...]
