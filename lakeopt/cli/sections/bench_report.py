"""What ``lakeopt bench`` shows: each query on both sides, and whether the answers agree."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, change, count, counted, named, seconds, size, times
from lakeopt.cli.section import Cell, Column, Facts, Grid, Item, Items, Section
from lakeopt.model.result import BenchReport, Measurement, QueryComparison, SideStorage

ROWS = "queries"


def sections(value: BenchReport) -> Iterator[Section]:
    """Storage and conditions, then the queries, then what failed."""
    before, after = value.storage.before, value.storage.after
    yield Facts(
        f"Bench of {value.table}",
        (
            ("before", _side(before)),
            ("after", _side(after)),
            ("storage", change(before.bytes, after.bytes)),
            ("hot speed-up", _mean(value.hot_speedup)),
            ("rewrite took", seconds(value.rewrite_seconds)),
            ("machine", _listed(value.machine)),
            ("versions", _listed(value.versions)),
            ("settings", _listed(value.settings)),
        ),
    )
    columns = (
        Column("query", fit="wrap"),
        Column("engine", rank=5),
        Column("hot", right=True),
        Column("speed-up", right=True),
        Column("cold", right=True, rank=1),
        Column("scanned", right=True, rank=2),
        Column("files", right=True, rank=3),
        Column("row groups", right=True, rank=4),
        Column("answers"),
    )
    note = "each figure: before → after; hot and cold are medians; scanned is what was read from storage"
    yield Grid("Queries", columns, [_row(query) for query in value.queries], note)
    failed = [
        Item(Cell(f"{query.name} {label}", "critical"), side.error)
        for query in value.queries
        for label, side in (("before", query.before), ("after", query.after))
        if side.error
    ]
    if failed:
        yield Items("Failed", failed)


def _mean(speedup: float | None) -> Cell:
    if speedup is None:
        return Cell("none: no query ran on both sides with equal answers", "warning")
    return Cell(f"{times(speedup)} (geometric mean of the queries with equal answers)", "good" if speedup > 1 else None)


def _side(side: SideStorage) -> str:
    deletes = f" and {counted(side.delete_files, 'delete file')}" if side.delete_files else ""
    return (
        f"{side.label}: {size(side.bytes)} in {counted(side.files, 'file')}{deletes}, {count(side.record_count)} rows"
    )


def _listed(values: object) -> str:
    return named("", values) or NOTHING


def _row(query: QueryComparison) -> tuple[Cell | str, ...]:
    before, after = query.before, query.after
    return (
        query.name,
        query.engine,
        _pair(seconds(before.hot), seconds(after.hot)),
        _speedup(before, after),
        _pair(seconds(before.cold), seconds(after.cold)),
        _pair(size(before.bytes_scanned), size(after.bytes_scanned)),
        _pair(count(before.files_read), count(after.files_read)),
        _pair(count(before.row_groups_read), count(after.row_groups_read)),
        _answers(query.answers_match),
    )


def _pair(before: str, after: str) -> str:
    return NOTHING if before == after == NOTHING else f"{before} → {after}"


def _speedup(before: Measurement, after: Measurement) -> Cell:
    if not before.hot or not after.hot:
        return Cell(NOTHING)
    ratio = before.hot / after.hot
    return Cell(times(ratio), "good" if ratio >= 1.1 else ("warning" if ratio < 0.9 else None))


def _answers(match: bool | None) -> Cell:
    if match is None:
        return Cell("not compared", "warning")
    return Cell("equal", "good") if match else Cell("DIFFER", "critical")
