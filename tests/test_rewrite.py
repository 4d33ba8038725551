"""Plan and apply on real tables: same rows, ``replace``, a fixed point, and plans that no longer hold."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from lake import Lake, flights
from pyiceberg.table import Table

import lakeopt
from lakeopt.config import load_settings
from lakeopt.errors import ConfigurationError, StalePlan, UnknownName, Unreachable, UsageError
from lakeopt.model.plan import RewritePlan, SortField
from lakeopt.model.result import RewriteResult
from lakeopt.model.serde import from_json, to_json
from lakeopt.tables.open import open_table
from lakeopt.workflows.state import state_location

KEY = (SortField("dest"), SortField("carrier"))
MEMORY = 4 * 10**9


def rows(table: Table, snapshot_id: int | None = None) -> Counter[str]:
    """The multiset of rows as plain pyiceberg reads them."""
    return Counter(json.dumps(row, default=str) for row in table.scan(snapshot_id=snapshot_id).to_arrow().to_pylist())


def test_sort_keeps_every_row_and_leaves_the_old_snapshot(lake: Lake) -> None:
    table = lake.flights(days=6)
    before, old = rows(table), table.current_snapshot()
    assert old is not None
    result = lakeopt.rewrite("lake.db.flights", strategy="sort", sort_by=KEY, memory_bytes=MEMORY)
    after = lake.load("db.flights")
    snapshot = after.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary.operation.value == "replace"
    assert [str(snapshot.snapshot_id)] == list(result.snapshot_ids)
    assert result.verification is not None
    assert result.verification.matched
    assert result.verification.method == "rows"
    assert rows(after) == before == rows(after, old.snapshot_id)
    assert result.record_count == sum(before.values())
    dests = after.scan().to_arrow()["dest"].to_pylist()
    assert dests == sorted(dests)


def test_second_run_finds_nothing_to_do(lake: Lake) -> None:
    lake.flights(days=6)
    lakeopt.rewrite("lake.db.flights", strategy="sort", sort_by=KEY, memory_bytes=MEMORY)
    again = lakeopt.plan("lake.db.flights", strategy="sort", sort_by=KEY)
    assert again.groups == ()
    assert "already in this order" in again.skipped[0].reason
    result = lakeopt.apply(again)
    assert result.snapshot_ids == ()
    assert result.groups_skipped == 1


@pytest.mark.slow
def test_heavy_value_and_long_common_prefixes_reach_excess_zero(lake: Lake) -> None:
    """At least 16 files, a top value that fills 3 or more, strings that agree in their first 20 characters."""
    random = np.random.default_rng(7)
    count = 120_000
    heavy = np.where(random.random(count) < 0.35, 0, random.integers(1, 400, count))
    data = pa.table(
        {
            "name": pa.array([f"the-same-twenty-chars-{value:04d}" for value in heavy]),
            "when": pa.array(random.integers(0, 10**6, count), pa.int64()),
            "payload": pa.array(random.bytes(16).hex() + str(number) for number in range(count)),
            "noise": pa.array(random.random(count)),
        }
    )
    table = lake.create("db.events", data.schema)
    for part in range(4):
        lake.append(table, data.slice(part * 30_000, 30_000))
    key = (SortField("name"), SortField("when"))
    size = sum(file.file_size_in_bytes for file in lake.files(table)) // 22
    result = lakeopt.rewrite("lake.db.events", sort_by=key, target_file_bytes=size, memory_bytes=MEMORY)
    assert result.added_data_files_count >= 16
    names = [set(_names(file.file_path)) for file in lake.files(table)]
    assert sum("the-same-twenty-chars-0000" in found for found in names) >= 3
    health = lakeopt.inspect("lake.db.events", all_footers=True)
    assert health.sort_key is not None
    assert health.sort_key.max_excess_depth == 0
    assert health.sort_key.unknown_files == 0
    assert lakeopt.plan("lake.db.events", sort_by=key, target_file_bytes=size).groups == ()


def _names(location: str) -> list[str]:
    import pyarrow.parquet as pq

    names: list[str] = pq.read_table(location.removeprefix("file://"), columns=["name"])["name"].unique().to_pylist()
    return names


def test_append_after_the_plan_is_kept_and_delete_makes_it_stale(lake: Lake) -> None:
    table = lake.flights(days=3)
    decided = lakeopt.plan("lake.db.flights", strategy="sort", sort_by=KEY)
    table = lake.append(table, flights(99, 50))
    expected = rows(table)
    lakeopt.apply(decided, memory_bytes=MEMORY)
    assert rows(lake.load("db.flights")) == expected
    decided = lakeopt.plan("lake.db.flights", strategy="sort", sort_by=KEY)
    lake.load("db.flights").delete("dest = 'D01'")
    expected = rows(lake.load("db.flights"))
    with pytest.raises(StalePlan):
        lakeopt.apply(decided, memory_bytes=MEMORY)
    assert rows(lake.load("db.flights")) == expected


def test_saved_plan_reads_back_and_runs_after_a_round_trip(lake: Lake) -> None:
    table = lake.flights(days=6)
    before = rows(table)
    saved = to_json(lakeopt.plan("lake.db.flights", strategy="bin-pack"))
    decided = from_json(RewritePlan, saved)
    assert sum(group.file_count for group in decided.groups) == 6
    assert lakeopt.apply(decided, memory_bytes=MEMORY).added_data_files_count == 1
    assert rows(lake.load("db.flights")) == before
    with pytest.raises(StalePlan):
        lakeopt.apply(decided, memory_bytes=MEMORY)


@pytest.mark.parametrize("where", ["dest = 'D01'", "distance > 4990", "dep_delay is null"])
def test_where_selects_files_and_keeps_every_row_of_them(lake: Lake, where: str) -> None:
    table = lake.flights(days=6)
    before = rows(table)
    lakeopt.rewrite("lake.db.flights", sort_by=KEY, where=where, memory_bytes=MEMORY)
    assert rows(lake.load("db.flights")) == before


def test_progress_tells_of_all_rows(lake: Lake) -> None:
    table = lake.flights(days=4, rows_per_day=2000, partition=[("origin", "identity")])
    total = sum(rows(table).values())
    told: list[tuple[str, int, int]] = []
    lakeopt.rewrite(
        "lake.db.flights", sort_by=KEY, memory_bytes=MEMORY, progress=lambda *progress: told.append(progress)
    )
    assert {end for _, _, end in told} == {total}
    for phase in ("rewriting", "proving"):
        done = [rows for name, rows, _ in told if name == phase]
        assert done == sorted(done)
        assert done[-1] == total


def test_rows_of_equal_key_stay_as_they_arrived(lake: Lake) -> None:
    """Also where columns are named like DuckDB's own ``file_row_number`` and ``file_index``."""
    schema = pa.schema([("key", pa.int32()), ("file_row_number", pa.int64()), ("file_index", pa.int32())])
    table = lake.create("db.ties", schema)
    for part in range(5):
        place = pa.array(range(part * 1000, part * 1000 + 1000), pa.int64())
        columns = [
            pa.array([number % 3 for number in range(1000)], pa.int32()),
            place,
            pa.array([9] * 1000, pa.int32()),
        ]
        lake.append(table, pa.table(columns, schema=schema))
    lakeopt.rewrite("lake.db.ties", sort_by=(SortField("key"),), memory_bytes=MEMORY)
    after = lake.load("db.ties").scan().to_arrow()
    pairs = list(zip(after["key"].to_pylist(), after["file_row_number"].to_pylist(), strict=True))
    assert pairs == sorted(pairs)
    assert len(pairs) == 5000


def test_partitions_are_rewritten_apart(lake: Lake) -> None:
    table = lake.flights(days=3, partition=[("origin", "identity")])
    before = rows(table)
    decided = lakeopt.plan("lake.db.flights", strategy="sort", sort_by=KEY)
    assert len(decided.groups) == 3
    assert {json.loads(group.partition)["origin"] for group in decided.groups} == {"EWR", "JFK", "LGA"}
    lakeopt.apply(decided, memory_bytes=MEMORY)
    assert rows(lake.load("db.flights")) == before
    assert len(list(lake.files(table))) == 3


def test_a_file_that_is_listed_twice_is_left_alone(lake: Lake) -> None:
    """Two entries of one file are twice its rows; a rewrite that replaced only one of them would add to them."""
    table = lake.create("db.twice", pa.schema([("id", pa.int64())]))
    file = lake.data_file(table, pa.table({"id": [1, 2]}))
    for _ in range(2):
        table = lake.land(table, file)
    decided = lakeopt.plan("lake.db.twice", sort_by=(SortField("id"),))
    assert decided.groups == ()
    assert "more than once" in decided.skipped[0].reason


def test_unknown_names_are_named(lake: Lake) -> None:
    lake.flights(days=1)
    with pytest.raises(UnknownName, match="dset") as unknown:
        lakeopt.plan("lake.db.flights", sort_by=(SortField("dset"),))
    assert unknown.value.hint == "did you mean 'dest'?"
    with pytest.raises(UnknownName, match="strategy"):
        lakeopt.plan("lake.db.flights", strategy="sortt")
    nested = pa.schema([("id", pa.int64()), ("tags", pa.list_(pa.string()))])
    lake.append(lake.create("db.nested", nested), pa.table({"id": [1], "tags": [["a"]]}, schema=nested))
    with pytest.raises(UsageError, match="cannot be sorted"):
        lakeopt.plan("lake.db.nested", sort_by=(SortField("tags"),))


def test_empty_table_has_nothing_to_do(lake: Lake) -> None:
    lake.create("db.empty", flights(0, 1).schema)
    assert lakeopt.plan("lake.db.empty", strategy="bin-pack").groups == ()
    assert lakeopt.plan("lake.db.empty").groups == ()


def test_history_holds_plans_and_results_in_full(lake: Lake) -> None:
    lake.flights(days=6)
    result = lakeopt.rewrite("lake.db.flights", sort_by=KEY, memory_bytes=MEMORY)
    decided = lakeopt.plan("lake.db.flights", strategy="sort", sort_by=(SortField("flight"),))
    lake.load("db.flights").delete("dest = 'D01'")
    with pytest.raises(StalePlan):
        lakeopt.apply(decided)
    done = lakeopt.history("lake.db.flights").entries
    assert [entry.status for entry in done] == ["committed"]
    assert done[0].snapshot_ids == result.snapshot_ids
    assert done[0].plan is not None
    assert done[0].plan["groups"][0]["data_files"]
    assert done[0].result is not None
    assert done[0].result["verification"]["matched"] is True


@pytest.mark.slow
def test_a_killed_run_stands_in_no_ones_way(lake: Lake) -> None:
    """Not even in that of the same plan: its files may lie where it left them, its journal says what became of it."""
    table = lake.flights(days=6)
    before = rows(table)
    saved = lake.root / "plan.json"
    saved.write_text(to_json(lakeopt.plan("lake.db.flights", strategy="sort", sort_by=KEY)))
    died = (
        "import os, lakeopt, pathlib; from lakeopt.model.serde import from_json;"
        "from lakeopt.model.plan import RewritePlan;"
        f"plan = from_json(RewritePlan, pathlib.Path({str(saved)!r}).read_text());"
        f"lakeopt.apply(plan, memory_bytes={MEMORY}, progress=lambda phase, *_: phase == 'proving' and os._exit(9))"
    )
    assert subprocess.run([sys.executable, "-c", died], check=False).returncode == 9
    assert [entry.status for entry in lakeopt.history("lake.db.flights").entries] == ["interrupted"]
    lakeopt.apply(from_json(RewritePlan, saved.read_text()), memory_bytes=MEMORY)
    assert [entry.status for entry in lakeopt.history("lake.db.flights").entries] == ["committed"]
    assert rows(lake.load("db.flights")) == before


def test_of_two_runs_of_one_plan_the_second_leaves_the_work_to_the_first(lake: Lake) -> None:
    table = lake.flights(days=6)
    before = rows(table)
    decided = lakeopt.plan("lake.db.flights", strategy="sort", sort_by=KEY)
    inner: list[RewriteResult] = []

    def overtake(phase: str, done: int, total: int) -> None:
        if phase == "proving" and not inner:
            inner.append(lakeopt.apply(decided, memory_bytes=MEMORY))

    outer = lakeopt.apply(decided, memory_bytes=MEMORY, progress=overtake)
    assert len(outer.snapshot_ids) == 1
    assert inner[0].snapshot_ids == ()
    assert inner[0].groups_done == 0
    assert [f"plan {decided.plan_id}" in reason for reason in inner[0].skipped] == [True]
    assert rows(lake.load("db.flights")) == before
    assert [entry.status for entry in lakeopt.history("lake.db.flights").entries] == ["committed"]


def test_a_commit_that_is_not_journalled_is_still_said_to_be_committed(lake: Lake) -> None:
    before = rows(lake.flights(days=3))
    journal = lake.warehouse / "_lakeopt"
    decided = lakeopt.plan("lake.db.flights", strategy="sort", sort_by=KEY)
    opened = open_table("lake.db.flights")
    place = journal / "journal" / opened.uuid / decided.plan_id

    def occupy(phase: str, done: int, total: int) -> None:
        name = next(place.glob("0001-*")).name.replace("0001", "0005").replace("started", "committed")
        (place / name / "in the way").mkdir(parents=True, exist_ok=True)

    with pytest.raises(Unreachable, match="committed as snapshot"):
        lakeopt.apply(decided, memory_bytes=MEMORY, progress=occupy)
    assert rows(lake.load("db.flights")) == before
    assert lake.load("db.flights").current_snapshot().summary.operation.value == "replace"  # type: ignore[union-attr]


def test_state_directory_never_lies_in_the_table(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = lake.flights(days=1)
    opened = open_table("lake.db.flights")
    assert state_location(opened, load_settings()).endswith("/warehouse/_lakeopt")
    for inside in (table.location(), table.location() + "/data/state"):
        monkeypatch.setenv("LAKEOPT_STATE_DIR", inside)
        with pytest.raises(ConfigurationError, match="inside the table"):
            state_location(opened, load_settings())
