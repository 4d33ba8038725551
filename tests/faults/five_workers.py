"""One process of five that work on one table. Usage: five_workers.py ROLE NUMBER SECONDS TABLE PROPERTIES ROOT

It works for that long, and on until it has done something at all; then it prints what it did as JSON. The roles:
``append`` (stock pyiceberg), ``delete`` (single rows, by equality, as change streams do), ``rewrite`` (lakeopt).
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests are imported by file

import pyarrow as pa
from lake import Lake

import lakeopt
from lakeopt.errors import Stale
from lakeopt.model.plan import SortField

PARTITIONS = 4
#: Seconds that a worker without any success may go on for.
HARD = 90.0


def is_conflict(error: Exception) -> bool:
    """Whether a commit was definitely lost to another."""
    return type(error).__name__ in ("CommitFailedException", "ValidationException") or isinstance(error, Stale)


def main(role: str, number: int, seconds: float, name: str, lake: Lake) -> None:
    """Work, then say what was done."""
    done: list[int] = []
    failed = Counter[str]()
    step: Callable[[], list[int]] = {"append": append, "delete": delete, "rewrite": rewrite}[role](number, name, lake)
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds or (not done and passed < HARD):
        try:
            done += step()
        except Exception as error:
            if not is_conflict(error):
                raise
            failed[type(error).__name__] += 1
        time.sleep(0.05)
    print(json.dumps({"role": role, "done": done, "failed": failed}))


def append(number: int, name: str, lake: Lake) -> Callable[[], list[int]]:
    """Three new rows a commit."""
    count = 0

    def step() -> list[int]:
        nonlocal count
        ids = [number * 10**6 + 3 * count + place for place in range(3)]
        lake.load(name).append(pa.table({"id": ids, "p": [i % PARTITIONS for i in ids]}))
        count += 1
        return ids

    return step


def delete(number: int, name: str, lake: Lake) -> Callable[[], list[int]]:
    """The next of the first rows of the table."""
    ids = iter(range(10**6))
    waiting: list[int] = []

    def step() -> list[int]:
        row = waiting.pop() if waiting else next(ids)
        table = lake.load(name)
        like = next(file for file in lake.files(table) if file.partition[0] == row % PARTITIONS)
        try:
            lake.land(table, lake.equality_deletes(table, pa.table({"id": [row]}), like=like))
        except Exception:
            waiting.append(row)
            raise
        return [row]

    return step


def rewrite(number: int, name: str, lake: Lake) -> Callable[[], list[int]]:
    """Half of the partitions into order, one commit for each."""

    def step() -> list[int]:
        result = lakeopt.rewrite(
            f"lake.{name}",
            strategy="sort",
            sort_by=(SortField("id"),),
            where=f"p >= {2 * number} and p < {2 * number + 2}",
            partial_progress=True,
            memory_bytes=2 << 30,
            threads=1,
        )
        return [int(snapshot) for snapshot in result.snapshot_ids]

    return step


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    given = sys.argv[1:]
    main(given[0], int(given[1]), float(given[2]), given[3], Lake(Path(given[5]), properties=json.loads(given[4])))
