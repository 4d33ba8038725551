"""What lakeopt chooses for the fewest bytes where readers are recent: every encoding may be written."""

from __future__ import annotations

from benchmarks.strategies.base import Subject

PLACE = 8
TITLE = "lakeopt storage, all encodings"
CODECS = ("zstd-3", "zstd-9")
QUICK_CODECS = ("zstd-3",)


def options(subject: Subject) -> list[str]:
    return ["--goal", "storage", "--compatible-with", "spark-iceberg=1.12"]
