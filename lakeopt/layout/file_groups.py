"""Which files are worth reading together: what is small, and bins."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

#: A file below this share of the target counts as small (Iceberg's own default for rewrites).
SMALL_SHARE = 0.75
#: Fewer small files than this are not worth a rewrite unless they fill a file of the target size.
MIN_SMALL_FILES = 5


def ideal_file_count(total_bytes: int, target_file_bytes: int) -> int:
    """Files of the target size that hold so many bytes.

    >>> ideal_file_count(1000, 300), ideal_file_count(0, 300)
    (4, 0)
    """
    return math.ceil(total_bytes / target_file_bytes)


def is_small(size: int, target_file_bytes: int) -> bool:
    """Whether a file of so many bytes is small for the target."""
    return size < SMALL_SHARE * target_file_bytes


def under_deletes(files: pa.Table) -> list[bool]:
    """Whether delete files apply to each data file of a list, so that every reader must apply them on every read."""
    return [bool(paths) for paths in files["delete_files"].to_pylist()]


def bins(sizes: Sequence[int], max_bytes: int) -> Iterator[tuple[int, ...]]:
    """Runs of consecutive positions whose sizes stay within a bound; a larger file stands alone.

    Order is kept, so that rows that arrived together stay together.

    >>> list(bins([4, 4, 4, 20, 1], 10))
    [(0, 1), (2,), (3,), (4,)]
    """
    run: list[int] = []
    held = 0
    for position, size in enumerate(sizes):
        if run and held + size > max_bytes:
            yield tuple(run)
            run, held = [], 0
        run.append(position)
        held += size
    if run:
        yield tuple(run)
