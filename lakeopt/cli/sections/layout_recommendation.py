"""What ``lakeopt recommend`` shows: measured candidates, the choice, and the command that takes it."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import count, in_blocks, key, percent, rewrite_command, seconds, size
from lakeopt.cli.section import Cell, Column, Facts, Grid, Item, Items, Section
from lakeopt.model.plan import LayoutRecommendation

ROWS = "candidates"
SHOWN = 15


def sections(value: LayoutRecommendation) -> Iterator[Section]:
    """What was measured on, the candidates best first, then what to do."""
    base = value.baseline
    yield Facts(
        f"{value.table}, goal {value.goal}",
        (
            ("today", size(base.current_bytes)),
            ("files merged only", size(base.bin_packed_bytes)),
            ("and encoded anew", size(base.tuned_bytes)),
            ("measured on", f"{count(base.sampled_rows)} rows, {size(base.sampled_bytes)} in arrival order"),
            ("effort", f"{value.trials} trial encodings in {seconds(value.elapsed_seconds)}"),
        ),
    )
    columns = (
        Column(""),
        Column("strategy"),
        Column("sorted by", fit="wrap"),
        Column("bytes", right=True),
        Column("scanned", right=True, rank=1),
        Column("why", rank=2, fit="wrap"),
    )
    rows = [_row(value, place) for place in range(min(len(value.candidates), SHOWN))]
    left = len(value.candidates) - SHOWN
    note = "bytes: against the same rows in arrival order, the table's own writer" + (
        f"; {left} more in --json" * (left > 0)
    )
    yield Grid("Candidates, best first", columns, rows, note)
    yield _choice(value)


def _row(value: LayoutRecommendation, place: int) -> tuple[Cell | str, ...]:
    candidate, chosen = value.candidates[place], value.chosen == place
    return (
        Cell("→" if chosen else "", "good"),
        Cell(candidate.strategy, "strong" if chosen else None),
        Cell(key(candidate.columns) + in_blocks(candidate.block_rows), "strong" if chosen else None),
        Cell(percent(candidate.bytes_ratio), "good" if chosen else None),
        percent(candidate.scanned_ratio),
        candidate.why,
    )


def _choice(value: LayoutRecommendation) -> Section:
    if value.chosen is None:
        return Items("", [Item(Cell("leave it alone", "good"), value.reason)])
    return Items("", [Item(Cell("recommended", "good"), value.reason, command=rewrite_command(value))])
