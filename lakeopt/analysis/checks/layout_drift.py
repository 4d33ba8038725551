"""The layout that was chosen by measuring saves clearly less of the rows that came last: they have changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.figures import percent
from lakeopt.model.layout_record import (
    ARRIVAL_BYTES,
    ARRIVAL_RECORDS,
    LAYOUT_PROPERTY,
    WRITTEN_BYTES,
    remembered,
    without_cuts,
)
from lakeopt.model.table import Finding

_COUNTS = (ARRIVAL_BYTES, ARRIVAL_RECORDS, WRITTEN_BYTES)

#: Rewrites that are looked at, the newest first, and the fewest bytes that say anything: footers have a size as well.
LAST, MIN_BYTES = 5, 100_000
#: A saving below this share of the remembered one, by so much of the bytes at least, has fallen clearly.
FALLEN, BY = 0.75, 0.03
#: Rows that are written as small as ever have not changed, however their files arrived.
WIDER = 1.05


def layout_drift(table: TableState) -> Iterator[Finding]:
    """The last rewrites into the remembered layout saved clearly less than the one that it was chosen in."""
    held = remembered(table.properties)
    if held is None or held.arrival_bytes < MIN_BYTES or not held.arrival_records:
        return
    layout = without_cuts(held.layout)
    rows = table.snapshots.sort_by([("sequence_number", "descending")]).select(["summary"]).to_pylist()
    found = [summary for row in rows if (summary := dict(row["summary"] or ())).get(LAYOUT_PROPERTY) == layout]
    later = [s for s in found if s.get("lakeopt.plan-id") != held.plan_id and _is_counted(s)][:LAST]
    arrival, records, written = (sum(int(s[name]) for s in later) for name in _COUNTS)
    if arrival < MIN_BYTES or not records:
        return
    then, now = 1 - held.ratio, 1 - written / arrival
    wider = written / records > WIDER * held.written_bytes / held.arrival_records
    if not wider or now >= FALLEN * then or then - now < BY:
        return
    yield Finding(
        "layout-drift",
        "warning",
        f"the layout of {held.measured_at[:10]} saved {percent(then)} of the bytes when it was chosen, and "
        f"{percent(max(0.0, now))} of those of the {records:,} rows that came last",
        {
            "saving_then": then,
            "saving_now": now,
            "bytes_a_row_then": held.written_bytes / held.arrival_records,
            "bytes_a_row_now": written / records,
            "rewrites": len(later),
            "record_count": records,
        },
        table.command("recommend"),
    )


def _is_counted(summary: Mapping[str, str]) -> bool:
    return all(summary.get(name, "").isdecimal() for name in _COUNTS)


CHECK: Check = layout_drift
