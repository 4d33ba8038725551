"""Small files merged in arrival order, decoded and encoded once: a level that is asked for forbids copies."""

from __future__ import annotations

from benchmarks.strategies.base import Subject

PLACE = 1
TITLE = "bin-pack"
CODECS = ("zstd-3", "zstd-9", "snappy")
QUICK_CODECS = ("zstd-3",)


def options(subject: Subject) -> list[str]:
    return ["--strategy", "bin-pack"]
