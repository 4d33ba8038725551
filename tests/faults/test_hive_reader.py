"""A reader counts the rows of a partition all the while that it is rewritten again and again."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hive_lake import Folder, HiveDatabase, HiveParquet, rows, visible

import lakeopt
from lakeopt.model.plan import SortField

REWRITES = 50 if os.environ.get("LAKEOPT_SOAK") else 5
#: Looks a second.
OFTEN = 20


class Reader:
    """Counts rows, from the partition's place as it is told at that moment to the end of its files."""

    def __init__(self, table: Folder) -> None:
        self.table, self.counts, self.missing = table, Counter[int](), 0
        self.errors: list[Exception] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._done.is_set():
            began = time.monotonic()
            try:
                listed = visible(self.table.place("a"))
                self.counts[sum(pq.ParquetFile(path).read(columns=["id"]).num_rows for path in listed)] += 1
            except FileNotFoundError:
                self.missing += 1
            except Exception as error:  # of the metastore's client, or of a file that is half there
                self.errors.append(error)
            self._done.wait(max(0.0, 1 / OFTEN - (time.monotonic() - began)))


@pytest.mark.fault
@pytest.mark.parametrize("kind", ["folder", pytest.param("metastore", marks=pytest.mark.service("Hive metastore"))])
def test_a_reader_counts_right_through_rewrites(
    kind: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(tmp_path / "state"))
    table = Folder(tmp_path / "hive" / "t")
    if kind == "metastore":
        database = HiveDatabase(request.getfixturevalue("hive").uri, tmp_path / "hive")
        for name, value in database.environment.items():
            monkeypatch.setenv(name, value)
        table = HiveParquet(database, "t")
    table.add("a", *(rows(1000 * file, 1000) for file in range(4)))
    with Reader(table) as reader:
        for number in range(REWRITES):
            key = (SortField(("word", "id")[number % 2]),)
            assert lakeopt.apply(lakeopt.plan(table.name, strategy="sort", sort_by=key)).groups_done == 1
    assert reader.errors == []
    assert set(reader.counts) == {4000}
    record_property("looks", reader.counts.total())
    record_property("files that were gone when they were opened", reader.missing)
    if kind == "metastore":
        assert reader.missing == 0
