"""A Hilbert curve over the first three columns that the queries filter by."""

from __future__ import annotations

from benchmarks.strategies.base import Subject, key

PLACE = 3
TITLE = "Hilbert"
CODECS = QUICK_CODECS = ("zstd-3",)


def options(subject: Subject) -> list[str]:
    return ["--strategy", "hilbert", "--sort-by", key(subject.columns[:3])]
