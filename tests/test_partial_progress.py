"""One commit a file group: what goes wrong with one keeps no other, and a stopped plan goes on where it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pyarrow as pa
import pytest
from lake import Lake, flights
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation

import lakeopt
from lakeopt.cli.app import main
from lakeopt.engines.duckdb import DuckDBEngine
from lakeopt.errors import StalePlan
from lakeopt.model.plan import RewritePlan, SortField
from lakeopt.model.scan import StageRequest
from lakeopt.model.serde import from_json, to_json

KEY = (SortField("dest"), SortField("carrier"))
MEMORY = 4 * 10**9
ORIGINS = ("EWR", "JFK", "LGA")


def rows(table: Table, branch: str | None = None) -> Counter[str]:
    scan = table.scan()
    scan = scan.use_ref(branch) if branch else scan
    return Counter(json.dumps(row, default=str) for row in scan.to_arrow().to_pylist())


@pytest.fixture
def table(lake: Lake) -> Table:
    return lake.flights(days=4, partition=[("origin", "identity")])


def plan(**more: object) -> RewritePlan:
    return lakeopt.plan("lake.db.flights", sort_by=KEY, partial_progress=True, **more)  # type: ignore[arg-type]


def replaces(table: Table) -> list[str]:
    return [
        str(snapshot.snapshot_id)
        for snapshot in table.snapshots()
        if snapshot.summary is not None and snapshot.summary.operation == Operation.REPLACE
    ]


def parquet_files(lake: Lake) -> set[str]:
    return {str(path) for path in lake.warehouse.rglob("*.parquet")}


@pytest.mark.slow
def test_each_partition_is_a_commit(lake: Lake, table: Table) -> None:
    before = rows(table)
    result = lakeopt.apply(plan(), memory_bytes=MEMORY)
    assert len(result.snapshot_ids) == result.groups_done == 3
    assert list(result.snapshot_ids) == replaces(lake.load("db.flights"))
    assert rows(lake.load("db.flights")) == before
    assert result.record_count == sum(before.values())
    assert result.verification is not None
    assert result.verification.record_count == result.record_count
    assert result.rewritten_data_files_count == 12
    assert result.added_data_files_count == 3
    entry = lakeopt.history("lake.db.flights").entries[-1]
    assert (entry.status, entry.snapshot_ids) == ("committed", result.snapshot_ids)
    again = lakeopt.rewrite("lake.db.flights", sort_by=KEY, partial_progress=True, memory_bytes=MEMORY)
    assert again.snapshot_ids == ()
    assert len(again.skipped) == 1


@pytest.mark.slow
def test_the_sum_of_the_proofs_is_the_proof_of_the_whole(lake: Lake, table: Table) -> None:
    parts = lakeopt.apply(plan(), memory_bytes=MEMORY)
    whole = lakeopt.rewrite("lake.db.flights", sort_by=(SortField("flight"),), memory_bytes=MEMORY)
    assert parts.verification == whole.verification


def test_an_old_plan_without_the_field_is_one_commit(lake: Lake, table: Table) -> None:
    saved = json.loads(to_json(lakeopt.plan("lake.db.flights", sort_by=KEY)))
    del saved["partial_progress"]
    assert len(lakeopt.apply(from_json(RewritePlan, json.dumps(saved)), memory_bytes=MEMORY).snapshot_ids) == 1


@pytest.mark.slow
def test_a_group_in_conflict_keeps_no_other(lake: Lake, table: Table, capsys: pytest.CaptureFixture[str]) -> None:
    decided = plan()
    lake.load("db.flights").delete("origin = 'JFK' and dest = 'D01'")
    before = rows(lake.load("db.flights"))
    result = lakeopt.apply(decided, memory_bytes=MEMORY)
    assert (result.groups_done, result.groups_failed) == (2, 1)
    assert "JFK" in result.failed[0].partition
    assert "no longer in the table" in result.failed[0].error
    assert rows(lake.load("db.flights")) == before
    entry = lakeopt.history("lake.db.flights").entries[-1]
    assert (entry.status, entry.snapshot_ids) == ("failed", result.snapshot_ids)
    assert "1 of 3 groups failed" in (entry.error or "")
    saved = lake.root / "plan.json"
    lake.load("db.flights").append(flights(50, 50))
    saved.write_text(to_json(plan()))
    lake.load("db.flights").delete("origin = 'EWR' and dest = 'D01'")
    assert main(["apply", str(saved), "--yes", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["groups_failed"] == 1


@pytest.mark.slow
def test_a_conflict_that_comes_while_a_group_is_staged_removes_its_files(lake: Lake, table: Table) -> None:
    decided = plan()
    files: set[str] = set()

    def meddle(phase: str, done: int, total: int) -> None:
        if phase == "proving" and done and not files:
            lake.load("db.flights").delete("origin = 'EWR' and dest = 'D01'")
            files.update(path for path in parquet_files(lake) if decided.plan_id not in path)

    result = lakeopt.apply(decided, memory_bytes=MEMORY, progress=meddle)
    assert (result.groups_done, result.groups_failed) == (2, 1)
    assert "EWR" in result.failed[0].partition
    ours = [path for path in parquet_files(lake) if decided.plan_id in path]
    assert len(ours) == 2
    assert not any("EWR" in path for path in ours)


def test_a_plan_of_which_no_group_holds_is_stale(lake: Lake, table: Table) -> None:
    decided = plan()
    with lake.load("db.flights").update_schema() as update:
        update.rename_column("carrier", "airline")
    with pytest.raises(StalePlan, match="schema changed"):
        lakeopt.apply(decided, memory_bytes=MEMORY)
    assert replaces(lake.load("db.flights")) == []


@pytest.mark.slow
def test_a_killed_plan_goes_on_with_what_is_not_done(lake: Lake, table: Table) -> None:
    before, saved = rows(table), lake.root / "plan.json"
    saved.write_text(to_json(plan()))
    died = (
        "import os, lakeopt, pathlib; from lakeopt.model.serde import from_json;"
        "from lakeopt.model.plan import RewritePlan;"
        f"plan = from_json(RewritePlan, pathlib.Path({str(saved)!r}).read_text());"
        "second = plan.groups[0].record_count + 1;"
        f"lakeopt.apply(plan, memory_bytes={MEMORY}, progress=lambda phase, done, _: done >= second and os._exit(9))"
    )
    assert subprocess.run([sys.executable, "-c", died], check=False).returncode == 9
    entry = lakeopt.history("lake.db.flights").entries[-1]
    assert entry.status == "interrupted"
    assert len(entry.snapshot_ids) == 1
    left = parquet_files(lake)
    assert len(left) == 12 + 2
    table = lake.append(lake.load("db.flights"), flights(50, 20))
    before += rows_of(50, 20)
    decided = from_json(RewritePlan, saved.read_text())
    result = lakeopt.apply(decided, memory_bytes=MEMORY)
    assert (result.groups_done, result.groups_skipped, result.groups_failed) == (2, 1, 0)
    assert result.skipped == {"an earlier run of this plan has committed it": 1}
    assert rows(lake.load("db.flights")) == before
    assert replaces(lake.load("db.flights")) == [*entry.snapshot_ids, *result.snapshot_ids]
    reached = {
        row["file_path"].removeprefix("file://") for row in lake.load("db.flights").inspect.all_files().to_pylist()
    }
    assert parquet_files(lake) <= reached | left - {path for path in left if decided.plan_id in path}
    assert lakeopt.apply(decided, memory_bytes=MEMORY).groups_skipped == 3


def rows_of(day: int, count: int) -> Counter[str]:
    return Counter(json.dumps(row, default=str) for row in flights(day, count).to_pylist())


@pytest.mark.slow
def test_what_was_rolled_back_is_done_again(lake: Lake, table: Table) -> None:
    before, base = rows(table), table.current_snapshot()
    assert base is not None
    decided = plan()
    lakeopt.apply(decided, memory_bytes=MEMORY)
    lake.load("db.flights").manage_snapshots().rollback_to_snapshot(base.snapshot_id).commit()
    assert lakeopt.apply(decided, memory_bytes=MEMORY).groups_done == 3
    assert rows(lake.load("db.flights")) == before


@pytest.mark.slow
def test_a_branch_is_rewritten_in_parts_and_main_stays(lake: Lake, table: Table) -> None:
    head = table.current_snapshot()
    assert head is not None
    table.manage_snapshots().create_branch(head.snapshot_id, "work").commit()
    lake.load("db.flights").append(flights(60, 60), branch="work")
    before = rows(lake.load("db.flights"), "work")
    result = lakeopt.apply(plan(branch="work"), memory_bytes=MEMORY)
    table = lake.load("db.flights")
    assert result.groups_done == 3
    assert table.current_snapshot() == head
    assert table.snapshot_by_name("work").snapshot_id == int(result.snapshot_ids[-1])  # type: ignore[union-attr]
    assert rows(table, "work") == before
    assert plan(branch="work").groups == ()
    assert len(plan().groups) == 3


@pytest.mark.parametrize("in_parts", [False, True])
def test_an_interrupt_between_the_last_file_and_its_list_leaves_nothing(
    lake: Lake, in_parts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine closes its connection after its last file is written: Ctrl-C may fall just there."""
    lake.flights(days=3, rows_per_day=100)
    real = DuckDBEngine.stage

    def interrupted(self: DuckDBEngine, request: StageRequest) -> pa.Table:
        assert real(self, request).num_rows
        raise KeyboardInterrupt

    files = set(lake.warehouse.rglob("*.parquet"))
    monkeypatch.setattr(DuckDBEngine, "stage", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lakeopt.rewrite("lake.db.flights", sort_by=KEY, partial_progress=in_parts, memory_bytes=MEMORY)
    assert set(lake.warehouse.rglob("*.parquet")) == files
    assert [entry.status for entry in lakeopt.history("lake.db.flights").entries] == ["interrupted"]
