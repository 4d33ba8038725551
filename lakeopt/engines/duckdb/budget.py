"""Divide the memory of the whole process between DuckDB, batches in flight and encoders; check the disk first."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from lakeopt.engines.duckdb.connection import LEAST_MEMORY_BYTES
from lakeopt.errors import NoSpace, UsageError
from lakeopt.units import format_size

#: What DuckDB and the allocators hold beyond what they count, measured while sorting with 0.6 to 5 GB: a part that
#: grows with DuckDB's limit, and one that does not.
DUCKDB_OVERSHOOT = 1.1
UNCOUNTED_BYTES = 192 * 1024 * 1024
#: Least that DuckDB needs to sort and spill a wide table.
LEAST_DUCKDB_BYTES = 128 * 1024 * 1024
#: An encoded row group and the buffer that it grows in, as a share of its rows in memory.
ENCODED_SHARE = 0.5
BATCH_BYTES = 16 * 1024 * 1024
BATCH_ROWS = (2_048, 122_880)


@dataclass(frozen=True, slots=True)
class Budget:
    """Shares of ``--memory``: bytes for DuckDB, encoding threads, bytes a row group may take before it is encoded."""

    duckdb_bytes: int
    encoders: int
    row_group_bytes: int


def divide(memory_bytes: int, threads: int, row_group_bytes: int, decoded_bytes: int, held_bytes: int) -> Budget:
    """Shares that fit beside what the process holds already; ``decoded_bytes`` is the size of the input in memory.

    A quarter is taken for the work in any case: what a long-lived process holds may be memory that its allocators
    keep for just this, and a small input needs little.

    :raises UsageError: too little memory to work at all.
    """
    encoders = max(threads, 1)
    group = max(min(row_group_bytes, memory_bytes // 16, 2 * decoded_bytes), 1)
    in_flight = int(group * (encoders + 1 + ENCODED_SHARE * encoders)) + 4 * min(BATCH_BYTES, memory_bytes // 128)
    uncounted = min(UNCOUNTED_BYTES, decoded_bytes)
    left = max(memory_bytes - held_bytes, memory_bytes // 4) - in_flight - uncounted
    least = min(LEAST_DUCKDB_BYTES, LEAST_MEMORY_BYTES + 4 * decoded_bytes)
    if left < least:
        enough = format_size(1.1 * (held_bytes + in_flight + uncounted + least)).replace(" ", "")
        raise UsageError(
            f"{format_size(memory_bytes)} of memory is too little to rewrite with {threads} threads",
            hint=f"give --memory {enough}, or fewer --threads",
        )
    return Budget(int(left / DUCKDB_OVERSHOOT), encoders, min(row_group_bytes, memory_bytes // 16))


def held_bytes() -> int:
    """Resident bytes of this process now."""
    return int(psutil.Process().memory_info().rss)


def batch_rows(memory_bytes: int, decoded_bytes: int, record_count: int) -> int:
    """Rows of one Arrow batch, fewer where rows are wide or memory is short."""
    row_bytes = max(decoded_bytes / max(record_count, 1), 1)
    return int(min(max(min(BATCH_BYTES, memory_bytes // 128) / row_bytes, BATCH_ROWS[0]), BATCH_ROWS[1]))


def check_disk(output_dir: str, output_bytes: int, temp_dir: str, spill_bytes: int) -> None:
    """Refuse to start what the disks cannot hold; output and spill add up where they share one.

    :raises NoSpace: with what is needed and what is free.
    """
    needs: dict[int, tuple[Path, int]] = {}
    for directory, size in ((output_dir, output_bytes), (temp_dir, spill_bytes)):
        path = Path(directory).absolute()
        path = next(parent for parent in (path, *path.parents) if parent.exists())
        device = os.stat(path).st_dev
        needs[device] = (path, size + needs.get(device, (path, 0))[1])
    for path, size in needs.values():
        free = shutil.disk_usage(path).free
        if free < size:
            raise NoSpace(
                f"about {format_size(size)} of disk is needed under {path}, {format_size(free)} is free",
                hint="free disk space there; for files that spill, TMPDIR names another place",
            )
