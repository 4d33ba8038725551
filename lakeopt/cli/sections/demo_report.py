"""What ``lakeopt demo`` shows in the end: the sum of it."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, count, key, percent, seconds, size, times
from lakeopt.cli.section import Cell, Facts, Section
from lakeopt.model.result import DemoReport, QueryComparison, SideStorage

ROWS = "queries"


def sections(value: DemoReport) -> Iterator[Section]:
    """The three states of the table, and what is proved and gained."""
    equal = sum(query.answers_match is True for query in value.queries)
    yield Facts(
        f"Demo on {value.table}",
        (
            ("as landed", _side(value.landed)),
            ("files merged", _side(value.merged)),
            ("rewritten", f"{_side(value.rewritten)}, sorted by {key(value.layout.columns)}"),
            ("ratio", Cell(f"{percent(value.ratio)} of the merged files: arrival order, same codec", "good")),
            ("", f"{percent(value.ratio_to_landed)} of the files as landed"),
            ("proof", Cell(f"rows equal, fingerprint {value.verification.fingerprint}", "good")),
            ("answers", f"equal in {equal} of {len(value.queries)} queries"),
            ("fastest gain", _fastest(value.queries)),
            ("hot speed-up", f"{times(value.hot_speedup)} (geometric mean)"),
            ("time", seconds(value.elapsed_seconds)),
            ("warehouse", value.directory or "removed (--dir keeps it)"),
        ),
    )


def _side(side: SideStorage) -> str:
    return f"{size(side.bytes)} in {count(side.files)} files"


def _fastest(queries: tuple[QueryComparison, ...]) -> str:
    gains = [
        (query.before.hot / query.after.hot, query.name)
        for query in queries
        if query.answers_match and query.before.hot and query.after.hot
    ]
    return f"{times(max(gains)[0])} ({max(gains)[1]})" if gains else NOTHING
