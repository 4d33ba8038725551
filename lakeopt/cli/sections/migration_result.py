"""What ``lakeopt migrate`` shows when it is done."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, change, count, counted, seconds, size
from lakeopt.cli.section import Cell, Facts, Grid, Item, Items, Section
from lakeopt.cli.sections import storage_comparison
from lakeopt.model.migration import MigrationResult

ROWS = None
_PROOFS = {"rows": "equal by their fingerprint", "counts": "only counted"}


def sections(value: MigrationResult) -> Iterator[Section]:
    """What was made and how it was proved, then the comparison by column."""
    proof = value.verification
    words = f"{count(value.record_count)} rows, {_PROOFS.get(proof.method, proof.method)}" if proof else NOTHING
    phases = ", ".join(f"{name} {seconds(spent)}" for name, spent in value.seconds.items())
    yield Facts(
        f"{value.table} is {value.to} too" if value.mode == "in-place" else f"Made {value.to} of {value.table}",
        (
            ("files", f"{count(value.data_file_count_before)} → {count(value.data_file_count_after)}"),
            ("bytes", f"{size(value.bytes_before)} → {size(value.bytes_after)}"),
            ("size", change(value.bytes_before, value.bytes_after)),
            ("proof", Cell(words, "good" if proof and proof.matched else "warning")),
            ("snapshot", ", ".join(value.snapshot_ids) or NOTHING),
            ("time", f"{seconds(value.elapsed_seconds)} ({phases})" if phases else seconds(value.elapsed_seconds)),
            ("plan", value.plan_id),
        ),
    )
    if value.notes:
        yield Items(counted(len(value.notes), "note"), [Item(Cell("note", "info"), note) for note in value.notes])
    if value.comparison is not None:
        yield from (part for part in storage_comparison.sections(value.comparison) if isinstance(part, Grid))
