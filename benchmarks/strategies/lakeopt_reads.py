"""What lakeopt chooses for the fewest bytes that the queries read."""

from __future__ import annotations

from benchmarks.strategies.base import Subject

PLACE = 9
TITLE = "lakeopt reads"
CODECS = QUICK_CODECS = ("zstd-3",)


def options(subject: Subject) -> list[str]:
    return ["--goal", "reads", "--queries", str(subject.queries)]
