"""Sorted by the column that the queries filter by most: what an owner would choose who knows the queries."""

from __future__ import annotations

from benchmarks.strategies.base import Subject, key

PLACE = 4
TITLE = "sort by main column"
CODECS = QUICK_CODECS = ("zstd-3",)


def options(subject: Subject) -> list[str]:
    return ["--strategy", "sort", "--sort-by", key(subject.columns[:1])]
