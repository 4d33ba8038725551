"""``recommend``: which layout a table should have, by measuring what each candidate takes."""

from __future__ import annotations

import time
from pathlib import Path

from lakeopt.config import Settings
from lakeopt.errors import UsageError
from lakeopt.layout.choice import choose
from lakeopt.layout.search import MIN_GAIN
from lakeopt.model.plan import Candidate, Goal, LayoutRecommendation
from lakeopt.tables.base import Table
from lakeopt.workflows.sampled import sampled_table

#: Sort keys that are reported, beside the chosen one and those that the queries ask for.
SHOWN = 10


def recommend(
    table: str | Table,
    *,
    goal: Goal = "storage",
    queries: str | Path | None = None,
    time_budget: float | None = None,
    memory: int | None = None,
    threads: int | None = None,
    sample_rows: int | None = None,
    settings: Settings | None = None,
    seed: int = 0,
) -> LayoutRecommendation:
    """Candidate layouts of a table with measured bytes, best first; "leave it alone" wins below 2 %.

    ``queries`` is a file of named SQL; goals ``reads`` and ``balanced`` need one. ``time_budget`` is in seconds,
    ``memory`` in bytes of the whole process. Without a time budget the same seed gives the same result.

    :raises UnknownName: no such table.
    :raises UsageError: a goal without the queries it needs, or a file of queries that cannot be read.
    :raises DataFileError: a data file is missing or damaged.
    """
    from lakeopt.workflows.study import Study

    started = time.monotonic()
    if goal != "storage" and queries is None:
        raise UsageError(f"the goal {goal!r} needs queries", hint="give a file of named queries with --queries")
    opened = sampled_table(table, sample_rows=sample_rows, memory=memory, threads=threads, settings=settings)
    study = Study(opened, queries, seed)
    found = study.search(lambda: time_budget is not None and time.monotonic() - started > time_budget)
    baseline = study.baseline()
    # Only orders that were judged on the same rows compare with each other.
    orders = [order for order in found.ranked if order.rows == found.ranked[0].rows]
    best = choose([study.option(order) for order in orders], study.scanned_ratio(()), goal)
    shown = {n: order for n, order in enumerate(orders) if n < SHOWN or n == best or order.order in study.wanted}
    sorts, unsorted = {n: study.candidate(order) for n, order in shown.items()}, study.unsorted(baseline)
    chosen: Candidate | None = None
    reason = study.no_gain(found)
    if best is not None:
        chosen = sorts[best]
        reason = study.gain(chosen, found, baseline)
    elif study.has_small_files() and baseline.bin_packed_bytes <= (1 - MIN_GAIN) * baseline.current_bytes:
        chosen = unsorted[-1]
        reason += study.merged(baseline)
    candidates = sorted([*sorts.values(), *unsorted], key=lambda candidate: _rank(candidate, goal))
    return LayoutRecommendation(
        table=opened.table.identifier,
        snapshot_id=None if opened.snapshot_id is None else str(opened.snapshot_id),
        goal=goal,
        baseline=baseline,
        candidates=tuple(candidates),
        chosen=None if chosen is None else candidates.index(chosen),
        reason=reason,
        trials=found.trials,
        elapsed_seconds=time.monotonic() - started,
    )


def _rank(candidate: Candidate, goal: Goal) -> float:
    scanned = candidate.scanned_ratio if goal == "reads" else None
    return candidate.bytes_ratio * (1.0 if scanned is None else scanned)
