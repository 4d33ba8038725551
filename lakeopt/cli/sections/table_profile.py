"""What ``lakeopt inspect`` shows: health, overlap, findings."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.figures import NOTHING, count, counted, decimal, named, size
from lakeopt.cli.section import Cell, Column, Facts, Grid, Item, Items, Section
from lakeopt.model.table import ColumnOverlap, Finding, TableProfile

ROWS = "findings"
#: Columns of the overlap that are shown; a wide table has hundreds.
SHOWN = 20


def sections(value: TableProfile) -> Iterator[Section]:
    """Facts, then how far files overlap, then what should be mended, worst first."""
    mean = value.total_bytes / value.data_file_count if value.data_file_count else 0
    footers = f"{count(value.footers_read)} of {count(value.footers_total)} read"
    yield Facts(
        value.table,
        (
            ("format", f"{value.format} v{value.format_version}"),
            ("snapshot", value.snapshot_id or NOTHING),
            ("rows", count(value.record_count)),
            ("data files", f"{count(value.data_file_count)}, {size(value.total_bytes)}, {size(mean)} each on average"),
            ("delete files", count(value.delete_file_count)),
            ("partitions", count(value.partition_count)),
            ("footers", footers),
        ),
    )
    if value.overlap or value.sort_key:
        yield _overlap(value)
    yield _findings(value)


def _overlap(value: TableProfile) -> Section:
    columns = (
        Column("column", fit="wrap"),
        Column("mean depth", right=True),
        Column("max depth", right=True, rank=2),
        Column("excess depth", right=True),
        Column("max excess", right=True, rank=3),
        Column("unknown files", right=True, rank=1),
    )
    shown = value.overlap[:SHOWN]
    rows = [_row(overlap, overlap.column) for overlap in shown]
    if value.sort_key:
        rows.insert(0, _row(value.sort_key, f"sort key: {value.sort_key.column}"))
    note = "depth: files that a reader of one value meets, itself included; excess 0: files lie in perfect order"
    if len(value.overlap) > SHOWN:
        note = f"{counted(len(value.overlap) - SHOWN, 'more column')} in --json; {note}"
    return Grid("Overlap of files", columns, rows, note)


def _row(overlap: ColumnOverlap, label: str) -> tuple[Cell | str, ...]:
    return (
        label,
        decimal(overlap.mean_depth, 1),
        count(overlap.max_depth),
        Cell(decimal(overlap.excess_depth, 1), "good" if overlap.excess_depth == 0 else None),
        count(overlap.max_excess_depth),
        count(overlap.unknown_files),
    )


def _findings(value: TableProfile) -> Section:
    order = {"critical": 0, "warning": 1, "info": 2}
    found = sorted(value.findings, key=lambda finding: order[finding.severity])
    return Items(f"Findings: {len(found)}" if found else "No findings", [_item(finding) for finding in found])


def _item(finding: Finding) -> Item:
    evidence = " · ".join(f"{name.replace('_', ' ')} {named(name, item)}" for name, item in finding.evidence.items())
    label = Cell(f"{finding.severity} {finding.code}", finding.severity)
    return Item(label, finding.message, evidence or None, finding.fix)
