"""Sizes and durations as people write them, and back."""

from __future__ import annotations

import re
from datetime import datetime

from lakeopt.errors import UsageError

_SIZES = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgtp", start=1):
    _SIZES[_letter] = _SIZES[_letter + "b"] = 1000**_power
    _SIZES[_letter + "ib"] = 1024**_power
#: More than anyone waits; dates that far away cannot be told any more.
_LONGEST = 1000 * 365.25 * 86400.0
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|[smhdw])")
_DURATIONS = re.compile(rf"(?:{_DURATION.pattern}\s*)+")


def parse_size(text: str) -> int:
    """Bytes of a size such as ``512MB`` (10^6), ``512MiB`` (2^20) or ``4096``.

    >>> parse_size("512MB"), parse_size("1.5GiB"), parse_size("4096")
    (512000000, 1610612736, 4096)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in _SIZES:
        raise UsageError(f"not a size: {text!r}", hint="write sizes as 512MB, 4GiB or a number of bytes")
    size = round(float(match[1]) * _SIZES[match[2].lower()])
    if size <= 0:
        raise UsageError(f"a size must be above zero: {text!r}", hint="write sizes as 512MB, 4GiB or a number of bytes")
    return size


def format_size(size: float) -> str:
    """A size for people, in powers of ten.

    >>> format_size(0), format_size(999), format_size(1_234_567)
    ('0 B', '999 B', '1.2 MB')
    """
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if abs(value) < 999.95 or unit == "PB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def parse_duration(text: str) -> float:
    """Seconds of a duration such as ``30m``, ``24h``, ``7d``, ``90s`` or ``1h30m``.

    >>> parse_duration("1h30m"), parse_duration("7d")
    (5400.0, 604800.0)
    """
    if not _DURATIONS.fullmatch(text.strip()):
        raise UsageError(f"not a duration: {text!r}", hint="write durations as 90s, 30m, 24h or 7d")
    parts = _DURATION.findall(text)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > _LONGEST:
        raise UsageError(f"a duration of more than 1000 years: {text!r}", hint="write durations as 90s, 30m, 24h or 7d")
    return seconds


def format_duration(seconds: float) -> str:
    """A duration for people.

    >>> format_duration(0.0421), format_duration(75), format_duration(7300), format_duration(200000)
    ('0.04 s', '1 min 15 s', '2 h 1 min', '2 d 7 h')
    """
    if seconds < 59.5:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.0f} s"
    whole = round(seconds)
    for unit, size, lower, lower_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // lower_size
            return f"{whole // size} {unit}" + (f" {rest} {lower}" if rest else "")
    raise AssertionError(seconds)


def parse_moment(text: str, now_ms: int) -> int:
    """Milliseconds since the epoch of a moment: so long before ``now_ms``, or an ISO 8601 time with its zone.

    >>> parse_moment("5d", 432_000_001), parse_moment("1970-01-01T01:00:00+01:00", 0)
    (1, 0)
    """
    if _DURATIONS.fullmatch(text.strip()):
        return now_ms - round(parse_duration(text) * 1000)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"neither a duration nor a time: {text!r}", hint="write 5d, or 2026-11-24T08:00:00+00:00"
        ) from None
    if moment.tzinfo is None:
        raise UsageError(
            f"the time {text!r} has no zone: it means another moment on every machine",
            hint=f"write {text.strip()}+00:00 for UTC"
            if "T" in text or ":" in text
            else f"write {text}T00:00:00+00:00",
        )
    return round(moment.timestamp() * 1000)
