"""One hourly writer: it replaces its partitions' rows time and again, and cleans up after each write.

Usage: python hourly_writer.py ROOT SEED ROUNDS PARTITION… ; prints how each write and each clean-up ended, as JSON.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.exceptions import CommitFailedException, ValidationException

sys.path.insert(0, str(Path(__file__).parents[1]))

from lake import Lake

ROWS = 50


def rows(partition: int, seed: int) -> pa.Table:
    return pa.table({"hour": [partition] * ROWS, "id": range(ROWS), "seed": [seed] * ROWS})


def write(lake: Lake, partition: int, seed: int) -> None:
    """Put new rows in the place of a partition's, as often as it takes."""
    for _ in range(200):
        try:
            lake.load("db.hours").overwrite(rows(partition, seed), overwrite_filter=f"hour == {partition}")
            return
        except (CommitFailedException, ValidationException):
            time.sleep(random.uniform(0.01, 0.1))
        except Exception as error:  # SQLite had no time for us
            if "database is locked" not in str(error):
                raise
    raise RuntimeError("never got through")


def main() -> None:
    from lakeopt.workflows.expire_snapshots import expire_snapshots

    root, seed, rounds, *partitions = sys.argv[1:]
    lake = Lake(Path(root))
    told: list[dict[str, Any]] = []
    for number in range(int(rounds)):
        for partition in map(int, partitions):
            try:
                write(lake, partition, int(seed) + number)
                result = expire_snapshots("lake.db.hours", older_than="0s")
                told.append({"expired": result.expired_snapshots_count, "marked": result.marked_files_count})
            except Exception as error:
                told.append({"error": f"{type(error).__name__}: {error}"})
    print(json.dumps(told))


if __name__ == "__main__":
    main()
