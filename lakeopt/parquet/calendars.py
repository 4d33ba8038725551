"""What key-values of Parquet footers make of dates and timestamps: Spark's calendars, Hive's zones.

Spark takes a file of its own for one of the old calendar by its version or by keys of its own, else for one of the new
(``DataSourceUtils.datetimeRebaseSpec`` and ``int96RebaseSpec``); Hive converts timestamps as its own keys say. Files
that are read in two ways cannot become one, unless they hold nothing that the ways differ in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow.parquet as pq

#: Days and microseconds before which the calendars differ: the switch of 1582; local mean time, in some zone, of 1900.
FIRST_DAY, FIRST_MICRO = -141_427, -2_208_902_400_000_000
_VERSION, _ZONE = "org.apache.spark.version", "org.apache.spark.timeZone"
_OLD_DATES, _OLD_INT96 = "org.apache.spark.legacyDateTime", "org.apache.spark.legacyINT96"
_HIVE = ("writer.time.zone", "writer.date.proleptic", "writer.zone.conversion.legacy", "writer.model.name")
_OLD = "old calendar"
#: Microseconds of each unit of a timestamp, as numerator and denominator.
_UNITS = {"milliseconds": (1, 1000), "microseconds": (1, 1), "nanoseconds": (1000, 1)}
#: ``None`` says: nothing in this file depends on it.
Steering = tuple[object, object, object, object]


@dataclass(frozen=True, slots=True)
class Dated:
    """What of a file depends on calendars: INT96 timestamps, and others or dates that are old, or may be."""

    has_int96: bool
    may_be_old: bool


def steering(key_values: Mapping[str, str], created_by: str) -> Steering:
    """How Spark reads dates and timestamps, how it reads INT96, how Hive reads them, and whether Java wrote them."""
    return (
        _mode(key_values, _OLD_DATES, "3.0.0"),
        _mode(key_values, _OLD_INT96, "3.1.0"),
        tuple(key_values.get(key) for key in _HIVE),
        # Hive, and Spark where it is told to, convert an INT96 of other writers from the zone of the reader.
        created_by.startswith("parquet-mr"),
    )


def is_old(ways: Steering) -> tuple[bool, bool]:
    """Whether a file's dates and timestamps, and its INT96, count days before 1582 by the Julian calendar.

    >>> is_old(steering({"org.apache.spark.version": "3.0.1"}, "parquet-mr")), is_old(steering({}, "parquet-cpp"))
    ((False, True), (False, False))
    """
    dates, int96 = (isinstance(way, tuple) and way[0] == _OLD for way in ways[:2])
    hive = ways[2]
    by_hive = isinstance(hive, tuple) and hive[_HIVE.index("writer.date.proleptic")] == "false"
    return dates or by_hive, int96 or by_hive


def dated(footer: pq.FileMetaData) -> Dated:
    """What of a file depends on calendars."""
    leaves = range(footer.num_columns)
    return Dated(
        footer.num_rows > 0 and any(footer.schema.column(leaf).physical_type == "INT96" for leaf in leaves),
        any(may_be_old(footer, leaf) for leaf in leaves),
    )


def may_be_old(footer: pq.FileMetaData, leaf: int) -> bool:
    """Whether a stored column has dates or timestamps (INT96 aside) that are old, or may be."""
    said = json.loads(footer.schema.column(leaf).logical_type.to_json())
    if said["Type"] == "Date":
        first = FIRST_DAY
    elif said["Type"] == "Timestamp":
        up, down = _UNITS[said["timeUnit"]]
        first = FIRST_MICRO * up // down
    else:
        return False
    chunks = (footer.row_group(group).column(leaf) for group in range(footer.num_row_groups))
    return any(not _is_recent(chunk, first) for chunk in chunks)


def _is_recent(chunk: pq.ColumnChunkMetaData, first: int) -> bool:
    """Whether all values of a column chunk are known to be at or above this one."""
    statistics = chunk.statistics if chunk.is_stats_set else None
    if statistics is None:
        return False
    if statistics.has_null_count and statistics.null_count == chunk.num_values:
        return True
    return bool(statistics.has_min_max and statistics.min_raw >= first)


def _mode(key_values: Mapping[str, str], key: str, since: str) -> tuple[str, str | None]:
    version = key_values.get(_VERSION)
    if version is None:
        return "as the session says", None
    if version < since or key in key_values:
        return _OLD, key_values.get(_ZONE)
    return "new calendar", None


def model(files: Sequence[tuple[Steering, Dated]]) -> int | None:
    """The last file that is read in a way that is right for all; None where there is none.

    >>> recent, old = Dated(False, False), Dated(False, True)
    >>> model([(("new", 0, 0, 0), recent), (("old", 0, 0, 0), old)]), model([(("new", 0, 0, 0), old)] * 2)
    (1, 1)
    >>> model([(("new", 0, 0, 0), old), (("old", 0, 0, 0), old)])
    """
    needed: list[set[object]] = [set(), set(), set(), set()]
    for ways, dated in files:
        counts = (dated.may_be_old, dated.has_int96, dated.has_int96 or dated.may_be_old, dated.has_int96)
        for place, counted in enumerate(counts):
            if counted:
                needed[place].add(ways[place])
    if any(len(ways) > 1 for ways in needed):
        return None
    fit = [
        number
        for number, (ways, _) in enumerate(files)
        if all(not need or ways[place] in need for place, need in enumerate(needed))
    ]
    return fit[-1] if fit else None
