"""Retention: what a partition's age is, by the date that its value names."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[ T_-]?(\d{2}).*)?")


def ended(value: str | None) -> datetime | None:
    """When the day (or hour) that a partition value names was over, in UTC; None where it names none.

    >>> ended("2026-01-31"), ended("20260131"), ended("2026-01-31 05"), ended("JFK")
    (datetime.datetime(2026, 2, 1, 0, 0, tzinfo=datetime.timezone.utc), \
datetime.datetime(2026, 2, 1, 0, 0, tzinfo=datetime.timezone.utc), \
datetime.datetime(2026, 1, 31, 6, 0, tzinfo=datetime.timezone.utc), None)
    """
    found = _DATE.fullmatch(value or "")
    if found is None:
        return None
    try:
        day = date(int(found[1]), int(found[2]), int(found[3]))
        begun = datetime(day.year, day.month, day.day, int(found[4] or 0), tzinfo=UTC)
        return begun + (timedelta(hours=1) if found[4] else timedelta(days=1))
    except (ValueError, OverflowError):
        return None
