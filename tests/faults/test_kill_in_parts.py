"""kill -9 at random instants of a rewrite that commits in parts: the table is right, and every file is explained."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from faults.kills import Kills
from lake import Lake, flights
from pyiceberg.table import Table

from lakeopt.config import load_settings
from lakeopt.tables.open import open_table
from lakeopt.workflows.marks import marked

ROUNDS = 40 if os.environ.get("LAKEOPT_SOAK") else 4
#: By default the log of metadata files forgets the hundredth, which then lies there for good.
REMEMBER = {"write.metadata.previous-versions-max": "100000"}
COMMAND = ["rewrite", "lake.db.flights", "--sort-by", "dest,carrier", "--partial-progress", "--yes", "--json"]


def rows(table: Table) -> pa.Table:
    return table.scan().to_arrow().sort_by([(name, "ascending") for name in table.schema().column_names])


def reached(table: Table) -> set[str]:
    """Every file that the table's metadata names, read by pyiceberg."""
    found = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    for snapshot in table.snapshots():
        found.add(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            found.add(manifest.manifest_path)
            found |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    return {location.removeprefix("file://") for location in found}


def unexplained(lake: Lake) -> list[str]:
    """Files of the table that neither its metadata nor a mark names, nor the journal by the snapshot that was tried.

    The last are metadata files that a catalog wrote for a commit that it then did not make.
    """
    opened = open_table("lake.db.flights")
    known = reached(lake.load("db.flights"))
    known |= {file.path.removeprefix("file://") for some in marked(opened, load_settings()) for file in some.files}
    tried = [json.loads(path.read_text())["snapshot_id"] for path in lake.warehouse.rglob("*-committing.json")]
    left = []
    for path in (lake.warehouse / "db").rglob("*"):
        if path.is_dir() or str(path) in known:
            continue
        if path.name.endswith(".metadata.json") and any(number in path.read_text() for number in tried):
            continue
        left.append(str(path))
    return left


def open_runs(lake: Lake) -> list[Path]:
    """Journals of runs without an end, but of those whose snapshot may still appear."""
    ends = ("-committed.json", "-failed.json", "-interrupted.json", "-nothing-to-do.json", "-marked.json")
    left = []
    for started in lake.warehouse.rglob("_lakeopt/journal/*/*/*-started.json"):
        token = started.name.split("-")[1]
        names = [path.name for path in started.parent.glob(f"*-{token}-*.json")]
        if not any(name.endswith(ends) and "-group-" not in name for name in names):
            left.append(started)
    return left


@pytest.mark.fault
def test_table_and_files_survive_kill_at_any_instant(
    lake: Lake, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    kills = Kills(request, lake.warehouse / "_lakeopt", wanted=ROUNDS, seed=20261124)
    table = lake.flights(days=4, rows_per_day=6000, partition=[("origin", "identity")], properties=REMEMBER)
    kills.finish(COMMAND)
    killed_with: Counter[int] = Counter()
    for round_number in kills.rounds():
        table = lake.append(table, flights(100 + round_number, 1500))
        before, earlier = rows(table), len(table.snapshots())
        kills.kill(COMMAND)
        table = lake.load("db.flights")
        killed_with[len(table.snapshots()) - earlier] += 1
        assert rows(table).equals(before), f"round {round_number}"
        kills.finish(COMMAND)
        table = lake.load("db.flights")
        assert rows(table).equals(before), f"round {round_number}, completed"
        assert unexplained(lake) == [], f"round {round_number}"
        assert open_runs(lake) == []
        assert list(lake.warehouse.rglob("_lakeopt/leases/*/*/*.json")) == []
    record_property("kills after so many commits of the run", dict(sorted(killed_with.items())))
