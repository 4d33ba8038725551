"""Folders of a Hive table that are not as readers take them to be: rows that nobody sees, or that may be seen twice."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.model.table import Finding, Severity

#: By code: how bad it is, and what to say, behind the number.
_SAID: dict[str, tuple[Severity, str]] = {
    "changed-types": ("warning", "files hold a column in a type that the table's own cannot be read from"),
    "empty-files": ("warning", "files have no bytes: Spark passes over them, other readers fail"),
    "extra-columns": ("info", "files hold a column that the table does not name"),
    "foreign-names": ("warning", "files are named as of another format than the table's"),
    "foreign-partitions": ("info", "partitions have another format than the table"),
    "missing-columns": ("info", "files lack a column that the table has: it is read as null"),
    "missing-folders": ("warning", "partitions have no folder: some readers fail, others find no rows"),
    "nested-files": ("warning", "files lie in folders below a partition: some readers see them, others do not"),
    "no-folder": ("critical", "partitions are described without a folder"),
    "odd-values": ("warning", "partitions have a value that is none of their column's type, or is spelt in two ways"),
    "outside-partitions": ("info", "partitions lie outside the table's folder"),
    "shared-folders": ("critical", "folders belong to more than one partition: their rows are read more than once"),
    "staging-folders": ("info", "folders of a writer that is at work, or died at it"),
    "stray-files": ("warning", "files in the table's folder belong to no partition: nobody reads them"),
    "unregistered-folders": ("warning", "folders with files are no partition: nobody reads them"),
}
_FIXES = {"unregistered-folders": "MSCK REPAIR TABLE"}


def folders(table: TableState) -> Iterator[Finding]:
    """One finding for each kind of oddity that the table's own listing has found."""
    for code, (count, examples) in sorted(table.oddities.items()):
        if code not in _SAID or not count:
            continue
        severity, said = _SAID[code]
        way_out = f" ({_FIXES[code]} takes them in)" if code in _FIXES else ""
        yield Finding(
            code,
            severity,
            f"{count:,} {said}{way_out}; the first: {examples[0]}",
            {"count": count, "examples": list(examples)},
            None,
        )


CHECK: Check = folders
