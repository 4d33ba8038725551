"""What the queries gained, as a bench measured it."""

from __future__ import annotations

from lakeopt.figures import NOTHING, counted, listed, percent, seconds, size, times
from lakeopt.model.report import TableReport
from lakeopt.model.result import BenchReport, QueryComparison, SideStorage
from lakeopt.report.grid import Column, bar, grid
from lakeopt.report.markup import Markup, absent, join, note, section, tag

_HEADINGS = (
    Column("query"),
    Column("hot before", True),
    Column("hot now", True),
    Column("speed-up", True),
    Column("read before", True),
    Column("read now", True),
    Column("bytes read"),
    Column("answers"),
)


def gains(value: TableReport) -> Markup:
    """Each query on both sides, with bars of what it read."""
    title, bench = "What the queries gained", value.bench
    if bench is None:
        return section("queries", title, absent(value.reason("bench") or "no bench was handed in"))
    longest = max(
        (side.bytes_scanned or 0 for query in bench.queries for side in (query.before, query.after)), default=0
    )
    rows = [_row(query, longest or 1) for query in bench.queries]
    errors = [
        tag("li", tag("strong", f"{query.name}, {label}: "), side.error)
        for query in bench.queries
        for label, side in (("before", query.before), ("now", query.after))
        if side.error
    ]
    made_on = note(
        f"Machine: {listed(bench.machine)}. Versions: {listed(bench.versions)}. Settings: {listed(bench.settings)}."
    )
    table = grid("Queries; upper bar before, lower bar now", _HEADINGS, rows)
    failed = join((tag("h3", "Failed"), tag("ul", *errors))) if errors else None
    return section("queries", title, _summary(bench), table, failed, made_on)


def _summary(bench: BenchReport) -> Markup:
    speed = (
        "none: no query ran on both sides with equal answers" if bench.hot_speedup is None else times(bench.hot_speedup)
    )
    pairs = (
        ("Before", _side(bench.storage.before)),
        ("Now", _side(bench.storage.after)),
        ("Hot speed-up, geometric mean", speed),
        ("The rewrite took", seconds(bench.rewrite_seconds)),
    )
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", fact)) for name, fact in pairs), class_="facts")


def _side(side: SideStorage) -> str:
    return f"{size(side.bytes)} in {counted(side.files, 'file')} ({side.label})"


def _row(query: QueryComparison, longest: int) -> list[str]:
    before, after = query.before, query.after
    bars = (bar((before.bytes_scanned or 0) / longest, "before"), bar((after.bytes_scanned or 0) / longest))
    speed = times(before.hot / after.hot) if before.hot and after.hot else NOTHING
    ratio = (
        f" ({percent(after.bytes_scanned / before.bytes_scanned)})"
        if before.bytes_scanned and after.bytes_scanned is not None
        else ""
    )
    answers = {None: "not compared", True: "equal", False: "DIFFER"}[query.answers_match]
    return [
        f"{query.name} ({query.engine})",
        seconds(before.hot),
        seconds(after.hot),
        speed,
        size(before.bytes_scanned),
        size(after.bytes_scanned) + ratio,
        join(bars),
        tag("span", answers, class_="critical" if query.answers_match is False else None),
    ]
