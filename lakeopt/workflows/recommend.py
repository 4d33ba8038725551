"""``recommend``: which layout a table should have, by measuring what each candidate takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lakeopt.config import Settings
from lakeopt.errors import UsageError
from lakeopt.layout import readers
from lakeopt.layout.choice import NEARLY_SMALLEST, choose
from lakeopt.layout.search import MIN_GAIN
from lakeopt.model.layout_record import remembered
from lakeopt.model.plan import Candidate, Goal, LayoutRecommendation
from lakeopt.model.row_order import ARRIVAL
from lakeopt.model.scan import WriterOptions
from lakeopt.tables.base import Table
from lakeopt.workflows.sampled import SEARCHED_BYTES, SEARCHED_ROWS, sampled_table

if TYPE_CHECKING:
    from lakeopt.layout.measured import MeasuredOrder
    from lakeopt.layout.search import SearchResult
    from lakeopt.workflows.layout_search import Tuned
    from lakeopt.workflows.study import Study

#: Sort keys that are reported, beside the chosen one and those that the queries ask for.
SHOWN = 10


def recommend(
    table: str | Table,
    *,
    goal: Goal = "storage",
    queries: str | Path | None = None,
    compatible_with: Sequence[str] = readers.DEFAULT,
    compression_level: int | None = None,
    time_budget: float | None = None,
    memory: int | None = None,
    threads: int | None = None,
    sample_rows: int | None = None,
    settings: Settings | None = None,
    seed: int = 0,
) -> LayoutRecommendation:
    """Candidate layouts of a table with measured bytes, best first; "leave it alone" wins below 2 %.

    ``queries`` is a file of named SQL; goals ``reads`` and ``balanced`` need one. Encodings are taken that all of
    ``compatible_with`` read (:func:`lakeopt.layout.readers.allowed`). ``time_budget`` is in seconds, ``memory`` in
    bytes of the whole process. Without a time budget the same seed gives the same result.

    :raises UnknownName: no such table or reader.
    :raises UsageError: a goal without the queries it needs, or a file of queries of which none can be used.
    :raises DataFileError: a data file is missing or damaged.
    """
    from lakeopt.workflows.study import Study

    started, encodings = time.monotonic(), readers.allowed(compatible_with)
    if goal != "storage" and queries is None:
        raise UsageError(f"the goal {goal!r} needs queries", hint="give a file of named queries with --queries")
    opened = sampled_table(
        table,
        sample_rows=sample_rows or SEARCHED_ROWS,
        sample_bytes=SEARCHED_BYTES,
        time_budget=time_budget,
        memory=memory,
        threads=threads,
        settings=settings,
    )
    writer, pages = _writer(opened.table, compression_level, goal)
    study = Study(
        opened, queries, writer, encodings, page_rows=pages, seed=seed, time_budget=time_budget, started=started
    )
    found = study.run()
    candidates, chosen, reason = _choice(study, found, goal)
    return LayoutRecommendation(
        table=opened.table.identifier,
        snapshot_id=None if opened.snapshot_id is None else str(opened.snapshot_id),
        goal=goal,
        baseline=study.baseline,
        candidates=tuple(candidates),
        chosen=None if chosen is None else candidates.index(chosen),
        reason=reason,
        trials=found.trials,
        elapsed_seconds=time.monotonic() - started,
        options=_options(opened.table, goal, queries, compatible_with, compression_level),
    )


def _writer(table: Table, level: int | None, goal: Goal) -> tuple[WriterOptions, int]:
    """What orders are measured with, and rows of the pages that queries are judged by."""
    writer = table.writer_options(level=level, goal=goal)
    if goal != "balanced":
        return writer, writer.page_rows
    # What an order may lose is told from the smallest, which is written as for storage.
    smallest = table.writer_options(level=writer.level, goal="storage")
    wide = replace(writer, page_rows=smallest.page_rows, dictionary_bytes=smallest.dictionary_bytes)
    return wide, writer.page_rows


def _choice(study: Study, found: SearchResult, goal: Goal) -> tuple[list[Candidate], Candidate | None, str]:
    """What is shown, best first, which of it is taken (None: leave it alone), and why."""
    from lakeopt.workflows import reasons

    baseline = study.baseline
    candidates, chosen, why = _candidates(study, found, goal)
    if chosen is not None:
        reason = " ".join([reasons.gain(study, chosen, found, baseline), *why])
    elif study.has_small_files() and baseline.tuned_bytes <= (1 - MIN_GAIN) * baseline.current_bytes:
        (chosen,) = [candidate for candidate in candidates if candidate.strategy == "bin-pack"]
        reason = reasons.no_gain(study, found) + reasons.merged(baseline)
    else:
        reason = reasons.no_gain(study, found) + reasons.encoded_anew(baseline)
        reason += reasons.left_small() if study.has_small_files() else ""
    return candidates, chosen, reason + reasons.measured_as(study) + reasons.skipped(study)


def _options(
    table: Table,
    goal: Goal,
    queries: str | Path | None,
    compatible_with: Sequence[str],
    compression_level: int | None,
) -> dict[str, str]:
    """What was asked for beside defaults, as ``rewrite`` takes it; it would take what the table remembers instead."""
    given = {
        "--goal": None if goal == "storage" else goal,
        "--queries": queries,
        "--compatible-with": None if tuple(compatible_with) == readers.DEFAULT else ",".join(compatible_with),
        "--compression-level": compression_level,
        "--search-again": None if remembered(table.properties) is None else "",
    }
    return {option: str(value) for option, value in given.items() if value is not None}


def _candidates(
    study: Study, found: SearchResult, goal: Goal
) -> tuple[list[Candidate], Candidate | None, tuple[str, ...]]:
    """What is shown, best first, which of the orders among them is taken, and why its writer is as it is."""
    from lakeopt.workflows.fitted_writer import fitted_writer

    orders, best, tuned = _decided(study, found, goal)
    why: tuple[str, ...] = ()
    if tuned is not None and best is not None:
        smallest = min(orders, key=lambda order: order.ratio).order
        balanced = goal == "balanced"
        most = (1 + NEARLY_SMALLEST) * study.search.tuned(smallest).bytes if balanced else 2.0 * tuned.bytes
        fitted = fitted_writer(study, tuned, goal, most_bytes=most)
        tuned, why = fitted.tuned, fitted.why
    shown = {n: order for n, order in enumerate(orders) if n < SHOWN or n == best or order.order in study.wanted}
    sorts = {n: study.candidate(order, tuned if n == best else None) for n, order in shown.items()}
    candidates = sorted([*sorts.values(), *study.unsorted()], key=lambda candidate: _rank(candidate, goal))
    return candidates, None if best is None else sorts[best], why


def _decided(study: Study, found: SearchResult, goal: Goal) -> tuple[list[MeasuredOrder], int | None, Tuned | None]:
    """The orders that compare, which of them is best (None: none gains enough), and its encodings."""
    # Only orders that were judged on the same rows compare with each other.
    orders = [order for order in found.ranked if order.rows == found.ranked[0].rows]
    best = choose([study.option(order) for order in orders], study.scanned_ratio(ARRIVAL), goal)
    if best is None:
        return orders, None, None
    tuned = study.search.tuned(orders[best].order)
    if goal == "storage" and tuned.bytes > (1 - MIN_GAIN) * study.arrival.bytes:
        return orders, None, None
    return orders, best, tuned


def _rank(candidate: Candidate, goal: Goal) -> float:
    scanned = candidate.scanned_ratio if goal == "reads" else None
    return candidate.bytes_ratio * (1.0 if scanned is None else scanned)
