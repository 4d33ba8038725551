"""A metastore that loses answers, hangs up, or restarts while a partition is switched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hive_lake import HiveDatabase, HiveParquet, rows, visible
from servers.thrift_proxy import ThriftProxy, once

import lakeopt
from lakeopt.config import load_settings
from lakeopt.errors import CommitConflict, CommitOutcomeUnknown, LakeoptError, Notice, Unreachable
from lakeopt.model.plan import RewritePlan, SortField
from lakeopt.tables.hive.switch import locks, metastore_switch
from lakeopt.tables.open import open_table
from lakeopt.workflows.marks import marked

pytestmark = [pytest.mark.fault, pytest.mark.service("Hive metastore")]


@pytest.fixture
def proxy(hive: Any) -> Iterator[ThriftProxy]:
    made = ThriftProxy(hive.uri)
    yield made
    made.stop()


@pytest.fixture
def table(hive: Any, proxy: ThriftProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HiveParquet:
    """Two days of two files; lakeopt goes through the proxy, the test does not."""
    database = HiveDatabase(hive.uri, tmp_path / "hive")
    for name, value in {**database.environment, "PYICEBERG_CATALOG__HMS__URI": proxy.uri}.items():
        monkeypatch.setenv(name, value)
    made = HiveParquet(database, "t")
    for number, day in enumerate(("a", "b")):
        made.add(day, rows(1000 * number, 50), rows(1000 * number + 50, 50))
    return made


def planned(table: HiveParquet, day: str) -> RewritePlan:
    return lakeopt.plan(table.name, strategy="sort", sort_by=(SortField("word"),), where=f"day = '{day}'")


def locks_of(table: HiveParquet) -> list[int]:
    from hive_metastore.ttypes import ShowLocksRequest

    with table.database.connected() as client:
        asked = ShowLocksRequest(dbname=table.database.name, tablename=table.table)
        return [lock.lockid for lock in client.show_locks(asked).locks or []]


def marked_files(table: HiveParquet) -> int:
    opened = open_table(table.name)
    return sum(file.kind == "replaced" for some in marked(opened, load_settings()) for file in some.files)


@pytest.mark.parametrize("fate", ["drop", "cut"])
def test_a_lost_answer_is_found_out_and_a_request_that_never_came_is_sent_again(
    table: HiveParquet, proxy: ThriftProxy, fate: str
) -> None:
    before, plan = table.rows(), planned(table, "a")
    proxy.rule = once("alter_partition", fate)
    result = lakeopt.apply(plan)
    assert (result.groups_done, result.groups_failed) == (1, 0)
    assert [call for call in proxy.seen if call.startswith("alter_partition")] == (
        ["alter_partition_with_environment_context"] * (1 if fate == "drop" else 2)
    )
    assert table.rows() == before
    assert len(visible(table.place("a"))) == 1
    assert locks_of(table) == []
    assert marked_files(table) == 2


def test_a_switch_of_which_nobody_tells_is_settled_by_the_next_run(
    table: HiveParquet, proxy: ThriftProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metastore_switch, "LOOKS", (0.0, 0.1))
    monkeypatch.setattr(locks, "RETURNS", (0.0,))
    before, plan = table.rows(), planned(table, "a")
    away = False

    def rule(call: str) -> str | None:
        nonlocal away
        if call.startswith("alter_partition"):
            away = True
            return "drop"
        return "cut" if away else None

    proxy.rule = rule
    with pytest.warns(Notice, match="could not be given back"), pytest.raises(CommitOutcomeUnknown) as caught:
        lakeopt.apply(plan)
    assert caught.value.exit_code == 3
    proxy.rule = lambda call: None
    assert table.rows() == before
    assert marked_files(table) == 0
    lakeopt.apply(planned(table, "b"))
    assert table.rows() == before
    assert marked_files(table) == 4  # those of the first switch too
    entry = next(one for one in lakeopt.history(table.name).entries if one.plan_id == plan.plan_id)
    assert len(entry.snapshot_ids) == 1
    assert lakeopt.apply(plan).groups_failed == 0  # it is done


def test_a_metastore_that_is_away_before_the_switch_leaves_all_as_it_was(
    table: HiveParquet, proxy: ThriftProxy
) -> None:
    before, plan = table.rows(), planned(table, "a")
    proxy.rule = lambda call: "cut" if call == "lock" else None
    with pytest.raises(Unreachable):
        lakeopt.apply(plan)
    proxy.rule = lambda call: None
    assert table.rows() == before
    assert not list((table.root / ".lakeopt").rglob("*.parquet"))
    assert marked_files(table) == 0


def test_a_metastore_that_restarts_between_lock_and_switch_is_asked_again(
    table: HiveParquet, proxy: ThriftProxy, hive: Any
) -> None:
    before, plan = table.rows(), planned(table, "a")
    left = [True]

    def rule(call: str) -> str | None:
        if call.startswith("alter_partition") and left:
            left.clear()
            hive.stop()
            hive.start()
            return "cut"
        return None

    proxy.rule = rule
    assert lakeopt.apply(plan).groups_done == 1
    assert table.rows() == before
    assert locks_of(table) == []


def test_a_lock_that_is_not_taken_back_does_not_undo_the_switch(
    table: HiveParquet, proxy: ThriftProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database of a metastore fails now and then: what was switched by then is what is read."""
    monkeypatch.setattr(locks, "RETURNS", (0.0, 0.0))
    before, plan = table.rows(), planned(table, "a")
    proxy.rule = lambda call: "fail" if call == "unlock" else None
    with pytest.warns(Notice, match="could not be given back"):
        assert lakeopt.apply(plan).groups_done == 1
    proxy.rule = lambda call: None
    assert table.rows() == before
    assert len(visible(table.place("a"))) == 1
    assert marked_files(table) == 2


@pytest.mark.parametrize("call", ["lock", "heartbeat"])
def test_a_metastore_that_fails_before_the_switch_leaves_all_as_it_was(
    table: HiveParquet, proxy: ThriftProxy, call: str
) -> None:
    before, plan = table.rows(), planned(table, "a")
    proxy.rule = lambda asked: "fail" if asked == call else None
    with pytest.raises(LakeoptError, match="Internal error") as caught:
        lakeopt.apply(plan)
    assert not isinstance(caught.value, CommitOutcomeUnknown)
    proxy.rule = lambda asked: None
    assert table.rows() == before
    assert not list((table.root / ".lakeopt").rglob("*.parquet"))
    assert locks_of(table) == []


def test_a_partition_that_is_moved_after_the_last_check_stays_where_it_was_moved_to(
    table: HiveParquet, proxy: ThriftProxy
) -> None:
    """Spark's ALTER TABLE … SET LOCATION takes no lock, and an alteration replaces whatever the metastore says."""
    before, plan = table.rows(), planned(table, "a")
    elsewhere, came = table.root / "elsewhere" / "day=a", []

    def rule(call: str) -> None:
        if call == "heartbeat" and not came:
            came.append(table.write("a", rows(9000, 7), elsewhere))
            table.move("a", elsewhere)

    proxy.rule = rule
    with pytest.raises(CommitConflict, match="altered by someone else"):
        lakeopt.apply(plan)
    assert table.place("a") == elsewhere
    assert (sum(table.rows()["a"].values()), table.rows()["b"]) == (7, before["b"])
    assert not list((table.root / ".lakeopt").rglob("*.parquet"))
    assert locks_of(table) == []
