"""Leases: who has one, who may take it, and what is no longer committed without."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lake import Lake

import lakeopt
from lakeopt.config import load_settings
from lakeopt.errors import CommitConflict
from lakeopt.model.plan import RewritePlan, SortField
from lakeopt.tables.base import Table
from lakeopt.tables.open import open_table
from lakeopt.workflows.leases import Leases, forget, lease_key

MEMORY = 4 * 10**9


@pytest.fixture
def table(lake: Lake) -> Table:
    lake.flights(days=3, rows_per_day=60, partition=[("origin", "identity")])
    return open_table("lake.db.flights")


@pytest.fixture
def plan(table: Table) -> RewritePlan:
    return lakeopt.plan(table, sort_by=(SortField("dest"),))


def leases(table: Table, plan: RewritePlan, token: str) -> Leases:
    return Leases(table, load_settings(), plan, token)


def files(lake: Lake) -> list[Path]:
    return sorted(lake.warehouse.rglob("_lakeopt/leases/*/*/*"))


def edit(path: Path, **values: Any) -> None:
    """Make a lease say something else, as if another host or another day had written it."""
    lease = json.loads(path.read_text())
    lease["process"] |= {key: value for key, value in values.items() if key != "hours"}
    if "hours" in values:
        lease["at"] = (datetime.now(UTC) - timedelta(hours=values["hours"])).isoformat()
    path.write_text(json.dumps(lease))


def test_a_live_run_keeps_others_away_and_gives_back(lake: Lake, table: Table, plan: RewritePlan) -> None:
    first, second = leases(table, plan, "aaaa"), leases(table, plan, "bbbb")
    assert first.take(plan.groups[0]) is None
    assert first.take(plan.groups[0]) is None, "what is ours is ours"
    reason = second.take(plan.groups[0])
    assert reason is not None
    assert reason.startswith(f"another lakeopt run (plan {plan.plan_id}, host ")
    assert second.take(plan.groups[1]) is None
    first.release()
    assert second.take(plan.groups[0]) is None
    second.release()
    assert files(lake) == []


@pytest.mark.parametrize(
    ("says", "void"),
    [
        ({"start_time": "0"}, True),
        ({"boot_id": "another"}, True),
        ({"host": "another"}, False),
        ({"host": "another", "hours": 23}, False),
        ({"host": "another", "hours": 25}, True),
        ({"hours": 25}, True),
    ],
)
def test_only_the_lease_of_a_dead_or_forgotten_run_is_taken_over(
    lake: Lake, table: Table, plan: RewritePlan, says: dict[str, Any], void: bool
) -> None:
    group = plan.groups[0]
    first, second = leases(table, plan, "aaaa"), leases(table, plan, "bbbb")
    first.take(group)
    edit(files(lake)[0], **says)
    assert (second.take(group) is None) == void
    if void:
        with pytest.raises(CommitConflict, match=f"no longer held by this run: plan {plan.plan_id}"):
            first.confirm([group], {})
        second.confirm([group], {})
        first.release()
        second.confirm([group], {})


def test_of_many_that_take_one_over_at_once_one_has_it(lake: Lake, table: Table, plan: RewritePlan) -> None:
    leases(table, plan, "dead").take(plan.groups[0])
    edit(files(lake)[0], start_time="0")
    many = [leases(table, plan, f"{number:04d}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        reasons = list(pool.map(lambda one: one.take(plan.groups[0]), many))
    assert reasons.count(None) == 1
    assert sum("another lakeopt run" in (reason or "") for reason in reasons) == 7


def test_nothing_is_committed_without_lease_without_files_or_too_late(
    lake: Lake, table: Table, plan: RewritePlan, tmp_path: Path
) -> None:
    group = plan.groups[0]
    (tmp_path / "written.parquet").write_bytes(b"12345")
    staged = {0: pa.table({"file_path": [(tmp_path / "written.parquet").as_uri()], "file_size_in_bytes": [5]})}
    run = leases(table, plan, "aaaa")
    run.take(group)
    run.confirm([group], staged)
    (tmp_path / "written.parquet").write_bytes(b"1234")
    with pytest.raises(CommitConflict, match=r"is gone: .*written\.parquet"):
        run.confirm([group], staged)
    edit(files(lake)[0], hours=13)
    with pytest.raises(CommitConflict, match=r"was taken 13[.]0 hours ago"):
        run.confirm([group], {})
    forget(table, load_settings(), "aaaa")
    with pytest.raises(CommitConflict, match="no longer held"):
        run.confirm([group], {})


def test_plans_that_share_a_partition_share_the_lease(lake: Lake, table: Table, plan: RewritePlan) -> None:
    other = lakeopt.plan(table, sort_by=(SortField("flight"),), where="origin = 'JFK'")
    shared = {lease_key("main", group) for group in plan.groups} & {lease_key("main", g) for g in other.groups}
    assert len(shared) == len(other.groups) == 1
    assert lease_key("main", plan.groups[0]) != lease_key("work", plan.groups[0])


@pytest.mark.slow
def test_what_another_run_is_at_is_skipped_and_the_rest_done(lake: Lake, table: Table, plan: RewritePlan) -> None:
    other = leases(table, plan, "aaaa")
    other.take(plan.groups[0])
    for partial in (False, True):
        result = lakeopt.rewrite(
            "lake.db.flights",
            sort_by=(SortField("dest" if partial else "flight"),),
            partial_progress=partial,
            memory_bytes=MEMORY,
        )
        assert (result.groups_done, result.groups_skipped) == (2, 1)
        assert len(result.snapshot_ids) == (2 if partial else 1)
        assert ["another lakeopt run" in reason for reason in result.skipped] == [True]
    assert len(files(lake)) == 1


def test_a_lease_whose_answer_was_lost_is_ours(table: Table, plan: RewritePlan, lake: Lake) -> None:
    class Retrying:
        """A store that was asked twice for one object: the first answer was lost, the second says that it is there."""

        def __getattr__(self, name: str) -> Any:
            return getattr(table, name)

        def create_exclusively(self, location: str, body: bytes) -> bool:
            table.create_exclusively(location, body)
            return table.create_exclusively(location, body)

    ours = Leases(Retrying(), load_settings(), plan, "aaaa")
    assert ours.take(plan.groups[0]) is None
    assert leases(table, plan, "bbbb").take(plan.groups[0]) is not None
    ours.release()
    assert files(lake) == []
