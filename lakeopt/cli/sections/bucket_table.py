"""What ``lakeopt buckets`` shows: where each bucket begins, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator

from lakeopt.cli.section import Cell, Column, Facts, Grid, Section
from lakeopt.figures import counted, percent
from lakeopt.model.buckets import Bucket, BucketTable

ROWS = "buckets"
#: More buckets than this are no longer read: the first and the last of them say enough.
_SHOWN = 20


def sections(value: BucketTable) -> Iterator[Section]:
    """The buckets, heaviest against the mean, and where the SQL is."""
    by = value.by or Cell("none: a heavy value stays in one bucket", "warning")
    held = [bucket.share for bucket in value.buckets if bucket.rows] or [0.0]
    yield Facts(
        f"{counted(len(value.buckets), 'bucket')} of {value.table} by {value.column}",
        (
            ("second key", by),
            ("counts", value.counts),
            ("heaviest / mean", f"{max(held) * len(held) / (sum(held) or 1):.2f}"),
            ("SQL", "in the JSON form, or with -o FILE.sql"),
        ),
    )
    cut = len(value.buckets) > _SHOWN
    shown = [*value.buckets[: _SHOWN // 2], *value.buckets[-_SHOWN // 2 :]] if cut else value.buckets
    columns = (
        Column("bucket", right=True),
        Column("begins at", fit="middle"),
        Column("second key", rank=1, fit="middle"),
        Column("rows", right=True),
        Column("bytes", right=True),
    )
    left = len(value.buckets) - len(shown)
    yield Grid(
        "Buckets", columns, [_row(bucket) for bucket in shown], f"{left} in the middle left out" if cut else None
    )


def _row(bucket: Bucket) -> tuple[str, ...]:
    begins = "" if bucket.value is None else bucket.value
    return (str(bucket.number), begins, bucket.second or "", f"{bucket.rows:,}", percent(bucket.share))
