"""What cut points are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakeopt.tables.base import Table

if TYPE_CHECKING:
    import pyarrow as pa

#: A sample for cut points takes at most this, and this share of the memory allowed.
SAMPLE_BYTES, _MEMORY_SHARE = 64_000_000, 8


@dataclass(frozen=True, slots=True)
class CutRequest:
    """What cut points are made from: files of a table, and what was asked for.

    ``counts`` is ``exact``, ``sample``, ``previous`` or the path of a file, None where nothing was said.
    """

    table: Table
    files: pa.Table
    target_file_bytes: int
    memory_bytes: int
    threads: int
    buckets: int | None = None
    counts: str | Path | None = None
    filtered: Sequence[str] = ()

    def sample(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows of the table, some columns of them or all."""
        from lakeopt.analysis.sampling import draw_sample

        budget = min(SAMPLE_BYTES, self.memory_bytes // _MEMORY_SHARE)
        scan = self.table.scan(self.files, stored_only=True)
        return draw_sample(scan, budget_bytes=budget, threads=self.threads, columns=columns).rows
