"""Rows as they arrived. Bytes are those of one file by pyarrow's default writer; reads are of the files that landed."""

from __future__ import annotations

from benchmarks.strategies.base import Subject

PLACE = 0
TITLE = "arrival order"
CODECS = ("zstd-3", "zstd-9", "snappy")
QUICK_CODECS = CODECS


def options(subject: Subject) -> None:
    return None
