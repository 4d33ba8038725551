"""Snapshots kept beyond their age: they hold on to data files, and every commit writes their list again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding
from lakeopt.units import format_duration

#: Iceberg's own defaults of ``history.expire.max-snapshot-age-ms`` and ``history.expire.min-snapshots-to-keep``.
MAX_AGE_MS, MIN_TO_KEEP = 5 * 86_400_000, 1
#: Fewer expired ones are the daily business of whoever expires them.
FEW = 20
#: At 210 snapshots a commit was measured to take a fifth of a second longer than at one.
MANY = 200


def snapshots(table: TableState) -> Iterator[Finding]:
    """Many snapshots, or many that the table's own retention would let go."""
    taken = sorted(datetime.fromisoformat(text) for text in table.snapshots["committed_at"].to_pylist())
    age = timedelta(milliseconds=_number(table, "history.expire.max-snapshot-age-ms", MAX_AGE_MS))
    keep = _number(table, "history.expire.min-snapshots-to-keep", MIN_TO_KEEP)
    aged = sum(table.now - moment > age for moment in taken[: max(0, len(taken) - keep)])
    if aged < FEW and len(taken) < MANY:
        return
    oldest = (table.now - taken[0]).total_seconds()
    yield Finding(
        "snapshot-growth",
        "warning",
        f"{len(taken):,} snapshots are kept, the oldest for {format_duration(oldest)}; {aged:,} are older than the "
        f"table's retention of {format_duration(age.total_seconds())}",
        {"snapshots": len(taken), "expirable_snapshots": aged, "oldest_age_seconds": oldest},
        table.command("expire-snapshots"),
    )


def _number(table: TableState, name: str, default: int) -> int:
    text = table.properties.get(name, "")
    return int(text) if text.strip().isdecimal() else default


CHECK: Check = snapshots
