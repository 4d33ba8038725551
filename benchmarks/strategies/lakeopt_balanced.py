"""What lakeopt chooses among the orders within 3 % of the smallest: the one that prunes best."""

from __future__ import annotations

from benchmarks.strategies.base import Subject

PLACE = 10
TITLE = "lakeopt balanced"
CODECS = QUICK_CODECS = ("zstd-3",)


def options(subject: Subject) -> list[str]:
    return ["--goal", "balanced", "--queries", str(subject.queries)]
