"""Figures as people read them: sizes, counts, percentages, durations, sort keys."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from lakeopt.model.plan import LayoutRecommendation, SortField, Worth
from lakeopt.model.sort_fields import format_sort_fields
from lakeopt.units import format_duration, format_size

#: Stands where there is no value.
NOTHING = "–"
#: How to have done what is judged not worth it.
WORTH_WAY_OUT = "prices are those of lakeopt.toml; what --strategy or --sort-by asks for is done at any price"


def size(number: float | None) -> str:
    """Bytes for people."""
    return NOTHING if number is None else format_size(number)


def count(number: int | None) -> str:
    """A whole number with its thousands apart.

    >>> count(336776), count(None)
    ('336,776', '–')
    """
    return NOTHING if number is None else f"{number:,}"


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "plan"), counted(2000, "plan")
    ('1 plan', '2,000 plans')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def percent(ratio: float | None) -> str:
    """A ratio as a percentage, with the digits that still say something.

    >>> percent(0.61), percent(0.0421), percent(1.0), percent(0.99996), percent(0.00001), percent(None)
    ('61 %', '4.2 %', '100 %', '99.9 %', '0.0 %', '–')
    >>> percent(-0.00001)
    '0.0 %'
    """
    if ratio is None:
        return NOTHING
    if 0.995 <= ratio < 1:
        return f"{int(ratio * 1000) / 10:.1f} %"
    return f"{ratio * 100:z.1f} %" if abs(ratio) < 0.0995 and ratio != 0 else f"{ratio * 100:z.0f} %"


def decimal(number: float | None, digits: int = 2) -> str:
    """A plain number with decimals, as long as they say something.

    >>> decimal(9.5), decimal(20000.4, 1), decimal(None)
    ('9.50', '20,000', '–')
    """
    return NOTHING if number is None else f"{number:z,.{digits if abs(number) < 1000 else 0}f}"


def seconds(number: float | None) -> str:
    """A duration for people; below a tenth of a second in milliseconds.

    >>> seconds(0.0123), seconds(1.5), seconds(None)
    ('12 ms', '1.50 s', '–')
    """
    if number is None:
        return NOTHING
    return f"{number * 1000:.0f} ms" if number < 0.0995 else format_duration(number)


def times(ratio: float | None) -> str:
    """How many times as fast.

    >>> times(2.4), times(12.34)
    ('2.4×', '12×')
    """
    if ratio is None:
        return NOTHING
    return f"{ratio:.1f}×" if ratio < 9.95 else f"{ratio:.0f}×"


def key(columns: Iterable[SortField]) -> str:
    """A sort key as it is written on the command line, with a space after each comma."""
    return ", ".join(format_sort_fields([column]) for column in columns) or NOTHING


def in_blocks(block_rows: int | None) -> str:
    """Behind a sort key: that rows are sorted only inside arrival blocks."""
    return f" inside blocks of {count(block_rows)} rows" if block_rows is not None else ""


def rewrite_command(advice: LayoutRecommendation) -> str:
    """The command line that takes what was recommended: ``auto`` alone takes the encodings too, not only the order."""
    given = (word for option in advice.options.items() for word in option if word)
    return shlex.join(["lakeopt", "rewrite", advice.table, *given])


def named(name: str, value: Any) -> str:
    """A value of unknown meaning, read by its name: ``*_bytes`` are sizes, ``*_ratio`` percentages and so on.

    >>> named("file_size_in_bytes", 1_500_000), named("record_count", 1200), named("snapshot_id", "77")
    ('1.5 MB', '1,200', '77')
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{inner} {named(str(inner), item)}" for inner, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(named("", item) for item in value)
    if isinstance(value, int | float):
        return _number(name, value)
    return str(value)


def listed(values: Mapping[str, Any], between: str = ", ") -> str:
    """Names and values for people.

    >>> listed({"cores": 2, "memory_bytes": 4_000_000_000})
    'cores 2, memory bytes 4.0 GB'
    """
    return between.join(f"{name.replace('_', ' ')} {named(name, item)}" for name, item in values.items())


def _number(name: str, value: int | float) -> str:
    words = name.split("_")
    if "bytes" in words or "length" in words:
        return size(value)
    if words[-1] in ("ratio", "fraction", "share"):
        return percent(value)
    if words[-1] == "seconds":
        return seconds(value)
    if isinstance(value, float):
        return decimal(value) if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"
    return str(value) if words[-1] in ("id", "number", "version", "order") else count(value)


def visible(text: str) -> str:
    """The text with control characters written out, so that a name can neither break a line nor steer a terminal.

    >>> visible("a\\x1b[31m\\nb")
    'a\\\\x1b[31m\\\\nb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode("ascii") for c in text)


def worth_words(worth: Worth | None) -> str:
    """What a rewrite would cost and gain, behind the reason why it is left alone; nothing where that is not judged.

    >>> worth_words(Worth(0.25, 0.02, 9.0, 1_000_000, 30.0, 2.0))
    ': costs 0.25, gains 0.02 (1.0 MB saved, kept 30 days, read 2 times a day)'
    """
    if worth is None:
        return ""
    kept = f"{size(worth.saved_bytes)} saved, kept {worth.keep_days:g} days, read {worth.reads_a_day:g} times a day"
    return f": costs {worth.cost:.2g}, gains {worth.gain:.2g} ({kept})"
