"""A Hive metastore: locks that are left behind, errors in plain words."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from lake import Lake
from pyiceberg.table import Table

import lakeopt
from lakeopt.errors import CommitConflict, Unreachable
from lakeopt.model.plan import SortField
from lakeopt.tables.iceberg.commits import hive_locks

pytestmark = pytest.mark.service("Hive metastore")

KEY = (SortField("dest"),)


@pytest.fixture
def metastore(hive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    properties = {"type": "hive", "uri": hive.uri, "hive.hive2-compatible": "true", "lock-check-retries": "2"}
    lake = Lake(tmp_path / "lake", properties=properties)
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    return lake


def held(lake: Lake, table: Table) -> int:
    """A lock on the table as a writer that was killed leaves it behind; its number."""
    catalog: Any = lake.catalog
    with catalog._client as client:
        return int(client.lock(catalog._create_lock_request(*table.name())).lockid)


def released(lake: Lake, number: int) -> None:
    from hive_metastore.ttypes import UnlockRequest

    catalog: Any = lake.catalog
    with catalog._client as client:
        client.unlock(UnlockRequest(lockid=number))


def test_a_stale_lock_is_explained_before_any_work_and_never_broken(
    metastore: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = metastore.flights(f"n{uuid.uuid4().hex[:12]}.flights", days=2)
    name = "lake." + ".".join(table.name())
    plan = lakeopt.plan(name, strategy="sort", sort_by=KEY)
    number = held(metastore, table)
    monkeypatch.setattr(hive_locks, "LONG_HELD", -60.0)
    with pytest.raises(CommitConflict, match=rf"lock {number} of \w+@\S+, held since 20") as caught:
        lakeopt.apply(plan)
    assert caught.value.exit_code == 4
    assert "never breaks a lock" in str(caught.value.hint)
    assert [lock.number for lock in hive_locks.held_locks(table)] == [number]
    assert metastore.load(table.name()).current_snapshot() == table.current_snapshot()
    released(metastore, number)
    assert lakeopt.apply(plan).groups_done == 1


@pytest.mark.slow
def test_a_lock_that_comes_while_we_work_is_explained_at_the_commit(
    metastore: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = metastore.flights(f"n{uuid.uuid4().hex[:12]}.flights", days=2)
    before = sorted(map(str, table.scan().to_arrow().to_pylist()))
    plan = lakeopt.plan("lake." + ".".join(table.name()), strategy="sort", sort_by=KEY)
    numbers: list[int] = []

    def lock(phase: str, done: int, total: int) -> None:
        if phase == "proving" and not numbers:
            numbers.append(held(metastore, table))
            monkeypatch.setattr(hive_locks, "LONG_HELD", -60.0)

    with pytest.raises(CommitConflict, match="held since"):
        lakeopt.apply(plan, progress=lock)
    released(metastore, numbers[0])
    fresh = metastore.load(table.name())
    assert fresh.current_snapshot() == table.current_snapshot()
    assert sorted(map(str, fresh.scan().to_arrow().to_pylist())) == before
    written = list(Path(table.location().removeprefix("file:")).rglob("data/*.parquet"))
    assert {path.name for path in written} == {f.file_path.rpartition("/")[2] for f in metastore.files(fresh)}


def test_a_metastore_that_is_down_is_said_plainly(metastore: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", "thrift://127.0.0.1:1")
    with pytest.raises(Unreachable, match="does not answer") as caught:
        lakeopt.inspect("lake.db.flights")
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
