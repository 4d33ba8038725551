"""Which marked files may be deleted now, and in which order, so that a crash leaves nothing dangling."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lakeopt.errors import Refused
from lakeopt.units import format_duration

#: Least time between a mark and the deletion while others may write the table, and what is asked for by default.
FLOOR_SECONDS = 24 * 3600.0

#: What is deleted first: nothing is deleted before all that it alone leads to is gone.
ORDER = ("data", "delete", "statistics", "manifest", "manifest-list", "metadata", "version-hint")

REACHED = "the table reaches it"
OUTSIDE = "it lies outside the table's location; --include-outside would delete it"
WRITTEN_ANEW = "it was written anew since it was marked"
NO_FILE = "it is no file"


def check_grace(seconds: float, *, no_concurrent_writers: bool) -> None:
    """Refuse a grace in which a slow writer could still commit what it wrote.

    :raises Refused: it is less than a day, and nobody promises that there are no other writers.
    """
    if seconds < FLOOR_SECONDS and not no_concurrent_writers:
        raise Refused(
            f"a grace of {format_duration(seconds)} is less than {format_duration(FLOOR_SECONDS)}",
            hint="give --grace 24h or more, or --no-concurrent-writers if nothing else writes the table",
        )


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is known of a marked file when it is judged. Times are seconds since the epoch by the store's clock."""

    path: str
    reached: bool
    inside: bool
    is_file: bool
    modified: float | None
    marked: float


def keep_reason(seen: Sighting, *, include_outside: bool, holder: Callable[[str], str | None]) -> str | None:
    """Why a marked file stays; None where it may be deleted. ``holder`` names the running plan that needs a file."""
    if seen.reached:
        return REACHED
    if not seen.inside and not include_outside:
        return OUTSIDE
    if not seen.is_file:
        return NO_FILE
    if seen.modified is not None and seen.modified > seen.marked:
        return WRITTEN_ANEW
    plan = holder(seen.path)
    return None if plan is None else f"in use by the running plan {plan}"


def is_settled(reason: str) -> bool:
    """Whether a file that is kept for this reason needs its mark no more."""
    return reason in (REACHED, WRITTEN_ANEW)


def in_order(kinds: Iterable[str]) -> list[int]:
    """Places of files in the order in which they are deleted, by their kinds; unknown ones last.

    >>> in_order(["manifest-list", "data", "manifest"])
    [1, 2, 0]
    """
    ranked = [(ORDER.index(kind) if kind in ORDER else len(ORDER), place) for place, kind in enumerate(kinds)]
    return [place for _, place in sorted(ranked)]
