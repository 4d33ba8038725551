"""What is found to be an orphan, against plain sets; and random histories of a real table, of which nothing is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake import Lake, flights
from orphans import age, files, folder, plant, reached
from pyiceberg.table import Table

import lakeopt
from lakeopt.config import Settings
from lakeopt.maintenance.remove_orphan_files import REACHABLE, Candidates, decide
from lakeopt.tables.iceberg.deletion.listing import SCHEMA
from lakeopt.tables.iceberg.table import IcebergTable

NOW = datetime(2026, 11, 24, tzinfo=UTC)
name = st.text(st.sampled_from("abü/% "), min_size=1, max_size=6)
rows = st.dictionaries(
    name, st.tuples(st.integers(-5, 5), st.sampled_from(["file", "file", "file", "link", "marker"])), max_size=30
)


def batches(listed: dict[str, tuple[int, str]], size: int) -> list[pa.Table]:
    entries = [
        {"path": path, "bytes": 1, "modified": NOW + timedelta(days=days), "form": form}
        for path, (days, form) in listed.items()
    ]
    return [pa.Table.from_pylist(entries[at : at + size], schema=SCHEMA) for at in range(0, len(entries), size)]


@given(rows, st.lists(st.lists(name, max_size=8), max_size=6), st.integers(1, 7))
def test_orphans_are_the_old_files_that_nothing_reaches(
    listed: dict[str, tuple[int, str]], reach: list[list[str]], size: int
) -> None:
    found = decide(batches(listed, size), [pa.array(paths, pa.string()) for paths in reach], NOW)
    old = {path for path, (days, form) in listed.items() if form == "file" and days < 0}
    wanted = old.difference(*reach)
    assert found.orphans()["path"].to_pylist() == sorted(wanted, key=lambda path: path.encode())
    assert found.listed_count == len(listed) == len(wanted) + sum(found.kept.counts.values())
    assert found.kept.counts[REACHABLE] == len(old) - len(wanted)


@given(rows, st.lists(name, max_size=8), st.lists(name, max_size=8))
def test_rules_only_ever_take_away(listed: dict[str, tuple[int, str]], kept: list[str], reach: list[str]) -> None:
    """In whatever order, every rule leaves a part of what was there, and none brings a file back."""
    candidates = Candidates(NOW, 1.0)
    for batch in batches(listed, 4):
        candidates.add(batch)
    steps: list[Any] = [
        lambda: candidates.keep(pa.array(kept, pa.string()), "kept"),
        lambda: candidates.reach(pa.array(reach, pa.string())),
        lambda: candidates.keep_where("ü", "named"),
        lambda: candidates.keep_of_plans([]),
    ]
    before = set(candidates.orphans()["path"].to_pylist())
    for step in steps:
        step()
        after = set(candidates.orphans()["path"].to_pylist())
        assert after <= before
        before = after
    assert before.isdisjoint([*kept, *reach])


step = st.sampled_from(["append", "delete", "tag", "branch", "rollback", "expire", "drop refs", "plant", "pending"])


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(step, min_size=2, max_size=9), st.booleans())
def test_nothing_that_a_table_reaches_is_ever_quarantined(steps: list[str], delete_old_metadata: bool) -> None:
    with TemporaryDirectory() as root:
        lake = Lake(Path(root))
        kept = {"write.metadata.previous-versions-max": "2"} if delete_old_metadata else {}
        table = lake.create("db.t", flights(0, 1).schema, properties=kept)
        pending = []
        for number, what in enumerate(["append", *steps]):
            table = _take(lake, lake.load("db.t"), what, number)
            if what == "pending":
                pending.append(lake.data_file(table, flights(number, 5)))
        age(folder(table))
        table = lake.load("db.t")
        needed = {path: path.read_bytes() for path in reached(table)}
        whole = files(folder(table))
        chosen = Settings(state_dir=str(Path(root) / "state"))
        result = lakeopt.remove_orphan_files(IcebergTable(table), settings=chosen)
        assert {path: path.read_bytes() for path in needed} == needed
        assert len(whole) - len(files(folder(table))) == result.quarantined_files_count
        assert len(files(folder(table))) == len(needed)  # every other file was an old orphan
        if result.quarantined_files_count:  # a plan that did nothing is not in the journal
            lakeopt.restore(IcebergTable(table), result.plan_id, settings=chosen)
        assert files(folder(table)) == whole


def _take(lake: Lake, table: Table, what: str, number: int) -> Table:
    snapshots = table.metadata.snapshots
    if what == "append":
        table.append(flights(number, 20))
    elif what == "delete":
        table.delete("origin == 'JFK'")
    elif what == "tag":
        table.manage_snapshots().create_tag(snapshots[0].snapshot_id, f"tag{number}").commit()
    elif what == "branch":
        table.manage_snapshots().create_branch(snapshots[-1].snapshot_id, f"side{number}").commit()
        table.append(flights(number, 20), branch=f"side{number}")
    elif what == "rollback":
        table.manage_snapshots().set_current_snapshot(snapshot_id=snapshots[0].snapshot_id).commit()
    elif what == "expire":
        table.maintenance.expire_snapshots().older_than(datetime.now(UTC) + timedelta(days=1)).commit()
    elif what == "drop refs":
        for ref in [ref for ref in table.metadata.refs if ref.startswith("tag")]:
            table.manage_snapshots().remove_tag(ref).commit()
    elif what == "plant":
        plant(table, f"data/dead{number}.parquet", b"dead")
    return lake.load("db.t")
