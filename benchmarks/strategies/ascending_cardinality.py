"""Sorted by all columns, those of fewest distinct values first."""

from __future__ import annotations

from benchmarks.strategies.base import Subject, key

PLACE = 5
TITLE = "ascending cardinality"
CODECS = QUICK_CODECS = ("zstd-3",)


def options(subject: Subject) -> list[str]:
    columns = sorted(subject.profile(), key=lambda column: column["distinct_count"])
    return ["--strategy", "sort", "--sort-by", key([column["name"] for column in columns])]
