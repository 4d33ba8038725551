"""How far the files overlap on each column: now, and before the last rewrite."""

from __future__ import annotations

from lakeopt.figures import count, counted, decimal, size
from lakeopt.model.report import TableReport
from lakeopt.model.table import ColumnOverlap, TableProfile
from lakeopt.report.grid import Column, bar, grid
from lakeopt.report.markup import Markup, absent, join, note, section

#: Columns that are shown: those whose overlap changed most, or is most.
SHOWN = 25
_NOTE = (
    "Excess depth: the mean number of other files that overlap with a file by more than a shared end point, within "
    "partitions. 0: each value lies in one file, and a reader that looks for it opens no other."
)


def overlap(value: TableReport) -> Markup:
    """Bars of the excess depth of each column, with the figures beside them."""
    now, before = value.health, value.before_rewrite
    title = "Overlap of files, before and after the last rewrite" if before else "Overlap of files"
    missing = None if before else absent(f"what it was before a rewrite: {value.reason('last_rewrite')}")
    if not now.overlap:
        nothing = absent("no column can be ordered by" if now.data_file_count else "the table has no data files")
        return section("overlap", title, nothing, missing)
    old = _by_label(before) if before else {}
    pairs = [(label, old.get(label), found) for label, found in _by_label(now).items()]
    pairs.sort(key=lambda pair: -max(_depth(pair[1]), _depth(pair[2])))
    left = len(pairs) - SHOWN
    more = note(f"{counted(left, 'more column')} in the JSON of this report.") if left > 0 else None
    files = None if before is None else note(f"Before: {_files(before)}. Now: {_files(now)}.")
    return section("overlap", title, note(_NOTE), files, _table(pairs[:SHOWN], before is not None), more, missing)


def _by_label(profile: TableProfile) -> dict[str, ColumnOverlap]:
    key = {f"sort key: {profile.sort_key.column}": profile.sort_key} if profile.sort_key else {}
    return key | {found.column: found for found in profile.overlap}


def _depth(found: ColumnOverlap | None) -> float:
    return found.excess_depth or 0.0 if found else 0.0


def _files(profile: TableProfile) -> str:
    return f"{counted(profile.data_file_count, 'file')}, {size(profile.total_bytes)}"


def _table(pairs: list[tuple[str, ColumnOverlap | None, ColumnOverlap]], both: bool) -> Markup:
    longest = max((_depth(found) for _, *sides in pairs for found in sides), default=0.0) or 1.0
    titles = [Column("before", True)] if both else []
    headings = (Column("column"), *titles, Column("now", True), Column("excess depth"), Column("max now", True))
    rows = []
    for label, old, now in pairs:
        bars = [bar(_depth(old) / longest, "before")] if both else []
        bars.append(bar(_depth(now) / longest))
        former = [_figure(old)] if both else []
        rows.append([label, *former, _figure(now), join(bars), count(now.max_excess_depth)])
    caption = "Excess depth of each column" + ("; upper bar before, lower bar now" if both else "")
    return grid(caption, headings, rows)


def _figure(found: ColumnOverlap | None) -> str:
    if found is None:
        return "no such column"
    return "unknown" if found.excess_depth is None else decimal(found.excess_depth, 1)
