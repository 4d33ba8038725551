"""rewrite-manifests beside appenders and under kill -9: every entry stays, and the next run ends clean."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from faults.kills import Kills
from lake import Lake, flights
from manifest_words import manifests, says
from pyiceberg.table import Table

sys.path.insert(0, str(Path(__file__).parent))  # tests are imported by file

from second_process import SecondProcess

from lakeopt.errors import CommitConflict
from lakeopt.workflows.rewrite_manifests import plan_manifests, rewrite_manifests

pytestmark = pytest.mark.fault

ROUNDS = 40 if os.environ.get("LAKEOPT_SOAK") else 3
COMMAND = ["rewrite-manifests", "lake.db.flights", "--yes", "--quiet"]

#: A writer that we overtook as often as it tries tries once more: its commit has definitely failed.
AGAIN = """
from pyiceberg.exceptions import CommitFailedException
def again(act):
    while True:
        try:
            return act()
        except CommitFailedException:
            pass
"""


def referenced(table: Table) -> set[str]:
    lists = {snapshot.manifest_list for snapshot in table.metadata.snapshots}
    return lists | {m.manifest_path for snapshot in table.metadata.snapshots for m in snapshot.manifests(table.io)}


def test_killed_at_any_instant(lake: Lake, request: pytest.FixtureRequest) -> None:
    kills = Kills(request, lake.warehouse / "_lakeopt", wanted=ROUNDS, seed=20261124)
    table = lake.flights(days=12, rows_per_day=60, partition=[("origin", "identity"), ("carrier", "identity")])
    before = says(table)
    kills.finish(COMMAND)
    assert says(lake.load("db.flights")) == before
    for round_number in kills.rounds():
        for day in range(3):
            table = lake.append(table, flights(100 + 3 * round_number + day, 60))
        before = says(table)
        kills.kill(COMMAND)
        assert says(lake.load("db.flights")) == before, f"round {round_number}"
        kills.finish(COMMAND)
        table = lake.load("db.flights")
        assert says(table) == before, f"round {round_number}, completed"
        assert plan_manifests("lake.db.flights").groups == ()
        # Each file that no snapshot names bears the id that the killed run's journal holds.
        folder = Path(table.location().removeprefix("file://"), "metadata")
        names = {location.rpartition("/")[2] for location in referenced(table)}
        journal = "".join(event.read_text() for event in lake.warehouse.glob("_lakeopt/journal/*/*/*-committing.json"))
        left = [file.name for file in folder.glob("*.avro") if file.name not in names]
        assert [name for name in left if name.removeprefix("snap-").split("-")[0] not in journal] == []


def test_appends_of_another_process_all_stay(lake: Lake) -> None:
    table = lake.create("db.t", pa.schema([("id", pa.int64()), ("p", pa.int64())]), partition=[("p", "identity")])
    for number in range(6):
        table = lake.append(table, pa.table({"id": [number], "p": [number % 3]}))
    appends = 12
    statements = (
        f"{AGAIN}for number in range(100, 100 + {appends}):\n"
        "    again(lambda: lake.append(table, pa.table({'id': [number], 'p': [number % 3]})))\n"
    )
    done = 0
    with SecondProcess() as other:
        other.run(lake.root, "answer = 1")  # its imports are done
        thread = threading.Thread(target=lambda: other.run(lake.root, statements))
        thread.start()
        while thread.is_alive():
            done += len(rewrite_manifests("lake.db.t").snapshot_ids)
        thread.join()
    rewrite_manifests("lake.db.t")
    table = lake.load("db.t")
    assert Counter(table.scan().to_arrow()["id"].to_pylist()) == Counter([*range(6), *range(100, 100 + appends)])
    assert len(manifests(table)) == 1
    assert done > 0
    numbers = sorted(entry.sequence_number for m in manifests(table) for entry in m.fetch_manifest_entry(table.io))
    appended = [s.sequence_number for s in table.metadata.snapshots if s.summary.operation.value == "append"]
    assert numbers == sorted(appended)


def test_a_row_deleter_is_never_undone(lake: Lake) -> None:
    table = lake.create("db.t", pa.schema([("id", pa.int64()), ("p", pa.int64())]), partition=[("p", "identity")])
    for number in range(0, 60, 10):
        table = lake.append(table, pa.table({"id": range(number, number + 10), "p": [number // 20] * 10}))
    statements = (
        f"{AGAIN}for number in range(0, 60, 7):\n"
        "    again(lambda: lake.load('db.t').delete(f'id == {number}'))\n"
        "    again(lambda: lake.append(table, pa.table({'id': [1000 + number], 'p': [number % 3]})))\n"
    )
    with SecondProcess() as other:
        other.run(lake.root, "answer = 1")
        thread = threading.Thread(target=lambda: other.run(lake.root, statements))
        thread.start()
        while thread.is_alive():
            try:
                rewrite_manifests("lake.db.t")
            except CommitConflict:
                time.sleep(0.05)
        thread.join()
    gone = set(range(0, 60, 7))
    wanted = Counter([*(set(range(60)) - gone), *(1000 + number for number in gone)])
    assert Counter(lake.load("db.t").scan().to_arrow()["id"].to_pylist()) == wanted
