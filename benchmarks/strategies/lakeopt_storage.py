"""What lakeopt chooses for the fewest bytes, in the encodings that all readers of its default matrix read."""

from __future__ import annotations

from benchmarks.strategies.base import Subject

PLACE = 7
TITLE = "lakeopt storage"
CODECS = ("zstd-3", "zstd-9", "snappy")
QUICK_CODECS = ("zstd-3",)


def options(subject: Subject) -> list[str]:
    return ["--goal", "storage"]
