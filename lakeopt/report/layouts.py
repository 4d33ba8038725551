"""The layouts that were measured, and the trade-off between bytes and reads."""

from __future__ import annotations

from lakeopt.figures import count, key, percent, seconds, size
from lakeopt.model.plan import Candidate, LayoutRecommendation
from lakeopt.model.report import TableReport
from lakeopt.report.frontier import Point, frontier
from lakeopt.report.grid import Column, bar, folded, grid
from lakeopt.report.markup import Markup, absent, join, note, section, tag

_NO_QUERIES = "no queries were given, so nothing says what each layout would read (give a file of them with --queries)"


def layouts(value: TableReport) -> Markup:
    """Baseline, frontier, and the candidates as a table with bars."""
    title, advice = "Layouts that were measured", value.recommendation
    if advice is None:
        return section("layouts", title, absent(value.reason("recommendation") or "not measured"))
    return section("layouts", title, _baseline(advice), _plot(advice), _table(advice), _writer(advice))


def _baseline(advice: LayoutRecommendation) -> Markup:
    base = advice.baseline
    pairs = (
        ("Goal", advice.goal),
        ("Today", size(base.current_bytes)),
        ("Files merged only", size(base.bin_packed_bytes)),
        ("Encoded anew only", size(base.tuned_bytes)),
        ("Measured on", f"{count(base.sampled_rows)} rows"),
        ("Effort", f"{count(advice.trials)} trials, {seconds(advice.elapsed_seconds)}"),
    )
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", fact)) for name, fact in pairs), class_="facts")


def _plot(advice: LayoutRecommendation) -> Markup:
    points = [
        Point(number, described(candidate), candidate.bytes_ratio, candidate.scanned_ratio)
        for number, candidate in enumerate(advice.candidates, start=1)
        if candidate.scanned_ratio is not None
    ]
    heading = tag("h3", "Bytes against reads")
    if not points:
        return join((heading, absent(_NO_QUERIES)))
    chosen = None if advice.chosen is None else advice.chosen + 1
    drawn = frontier(points, chosen if any(point.number == chosen for point in points) else None)
    said = (
        "Further left is smaller, further down is less to read; the line joins what no other candidate beats in both."
    )
    ring = " The ring marks the chosen one." if chosen else ""
    words = note(f"{said}{ring} Numbers are those of the table below.")
    return join((heading, tag("div", drawn, words, class_="split")))


def _table(advice: LayoutRecommendation) -> Markup:
    scanned = any(candidate.scanned_ratio is not None for candidate in advice.candidates)
    headings = [Column("candidate"), Column("bytes", True), Column("of arrival order")]
    headings += [Column("scanned", True)] if scanned else []
    headings.append(Column("why", prose=True))
    longest = max((candidate.bytes_ratio for candidate in advice.candidates), default=1.0)
    rows = []
    for place, candidate in enumerate(advice.candidates):
        name = f"{place + 1}. {described(candidate)}"
        chosen = join((name, " ", tag("strong", "(chosen)", class_="good"))) if place == advice.chosen else name
        row = [chosen, percent(candidate.bytes_ratio), bar(candidate.bytes_ratio / max(longest, 1e-9))]
        row += [percent(candidate.scanned_ratio)] if scanned else []
        rows.append([*row, candidate.why])
    return grid(
        "Candidates, best first; bytes against the same rows in arrival order", headings, rows, mark=advice.chosen
    )


def _writer(advice: LayoutRecommendation) -> Markup | None:
    """Encodings and other choices that belong to the chosen order."""
    writer = {} if advice.chosen is None else advice.candidates[advice.chosen].writer
    if not writer:
        return None
    headings = (Column("option"), Column("value"))
    table = grid("Options of the writer", headings, [(name, text) for name, text in sorted(writer.items())])
    return folded("How the chosen one is written", table)


def described(candidate: Candidate) -> str:
    """Strategy and key of a candidate."""
    blocks = f" within blocks of {count(candidate.block_rows)} rows" if candidate.block_rows else ""
    return f"{candidate.strategy} by {key(candidate.columns)}{blocks}" if candidate.columns else candidate.strategy
