"""The catalog's answer to a commit is lost, late, wrong or interrupted: what the committer makes of it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from hand_rewrite import commit, metadata_files, plan_for, referenced_files, rows_of, stage
from lake import Lake
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    ForbiddenError,
    ServerError,
    ServiceUnavailableError,
)
from pyiceberg.table import Table

from lakeopt.errors import CommitConflict, CommitOutcomeUnknown, Interrupted, LakeoptError, Refused, Unreachable
from lakeopt.tables.committer import committer
from lakeopt.tables.iceberg.commits import commit_outcome, replace_commit
from lakeopt.tables.iceberg.table import IcebergTable

pytestmark = pytest.mark.fault

Commit = Callable[[], Any]


class Unreliable(SqlCatalog):
    """A SQLite catalog whose commits go through ``answer``, which may do them or not, and say anything."""

    answer: Callable[[Commit], Any]
    away = False

    def commit_table(self, table: Table, requirements: Any, updates: Any) -> Any:
        return self.answer(lambda: super(Unreliable, self).commit_table(table, requirements, updates))

    def load_table(self, identifier: Any) -> Table:
        if self.away:
            raise ConnectionError("connection refused")
        return super().load_table(identifier)


@pytest.fixture
def catalog(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Unreliable:
    """The lake's catalog with unreliable answers; looks for a lost snapshot are short."""
    monkeypatch.setattr(commit_outcome, "LOOKS", (0.0, 0.1, 0.3))
    lake.flights("db.t", days=3)
    return Unreliable("lake", uri=lake.uri, warehouse=lake.warehouse.as_uri())


def attempt(catalog: Unreliable, answer: Callable[[Commit], Any]) -> tuple[Table, int]:
    """Rewrite ``db.t`` with that answer; the table as it was, and the new snapshot's id."""
    table = catalog.load_table("db.t")
    plan = plan_for(table)
    staged = stage(table, plan)
    catalog.answer = answer
    return table, commit(table, plan, staged)


def assert_committed(lake: Lake, before: Table, snapshot_id: int) -> None:
    table = lake.load("db.t")
    assert table.current_snapshot().snapshot_id == snapshot_id
    assert len(table.snapshots()) == len(before.snapshots()) + 1
    assert rows_of(table) == rows_of(before)
    assert metadata_files(table) == referenced_files(table)


LOST = [
    ConnectionError("reset by peer"),
    TimeoutError("read timed out"),
    CommitStateUnknownException("502"),
    ServiceUnavailableError("503"),
    ServerError("507"),
    ValueError("unexpected answer"),
    CommitFailedException("409 to a request that was sent twice"),
    ForbiddenError("token expired on the way back"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
def test_committed_but_the_answer_is_lost(lake: Lake, catalog: Unreliable, error: BaseException) -> None:
    def answer(do: Commit) -> None:
        do()
        raise error

    assert_committed(lake, *attempt(catalog, answer))


@pytest.mark.parametrize(
    "error", [e for e in LOST if not isinstance(e, CommitFailedException | ForbiddenError)], ids=repr
)
def test_not_found_stays_unknown(lake: Lake, catalog: Unreliable, error: BaseException) -> None:
    """The server may still commit: everything is kept, so that the table is whole when it does."""
    late: list[Commit] = []

    def answer(do: Commit) -> None:
        late.append(do)
        raise error

    before = lake.load("db.t")
    with pytest.raises(CommitOutcomeUnknown, match="was lost"):
        attempt(catalog, answer)
    kept = metadata_files(before) - referenced_files(before)
    assert any(name.startswith("snap-") for name in kept)
    late[0]()
    table = lake.load("db.t")
    assert table.current_snapshot().parent_snapshot_id == before.current_snapshot().snapshot_id
    assert committer("lakeopt").find(IcebergTable(before), table.current_snapshot().snapshot_id)
    assert rows_of(table) == rows_of(before)
    assert metadata_files(table) == referenced_files(table)


def test_committed_while_we_look(lake: Lake, catalog: Unreliable) -> None:
    def answer(do: Commit) -> None:
        threading.Timer(0.2, do).start()
        raise TimeoutError("read timed out")

    assert_committed(lake, *attempt(catalog, answer))


def test_catalog_goes_away(lake: Lake, catalog: Unreliable) -> None:
    """Not even a refusal counts while no look at the table confirms it."""

    def answer(do: Commit) -> None:
        do()
        catalog.away = True
        raise CommitFailedException("409")

    with pytest.raises(CommitOutcomeUnknown):
        attempt(catalog, answer)
    with pytest.raises(Unreachable):
        committer("lakeopt").find(IcebergTable(_of(catalog, lake)), 1)


def _of(catalog: Unreliable, lake: Lake) -> Table:
    table = lake.load("db.t")
    return Table(table.name(), table.metadata, table.metadata_location, table.io, catalog)


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ForbiddenError("no"), Unreachable),
        (NotImplementedError("no"), Refused),
        (PermissionError(13, "no"), Refused),
    ],
    ids=repr,
)
def test_definite_refusals(lake: Lake, catalog: Unreliable, error: Exception, raised: type[LakeoptError]) -> None:
    def answer(do: Commit) -> None:
        raise error

    with pytest.raises(raised):
        attempt(catalog, answer)
    assert metadata_files(lake.load("db.t")) == referenced_files(lake.load("db.t"))


def test_overtaken_many_times(lake: Lake, catalog: Unreliable) -> None:
    """Lost races are tried again at once, with the same snapshot id and the same manifests."""
    attempts = []

    def answer(do: Commit) -> Any:
        attempts.append(1)
        if len(attempts) < 9:
            lake.append(lake.load("db.t"), lake.load("db.t").scan(limit=1).to_arrow())
        return do()

    started = time.monotonic()
    table, snapshot_id = attempt(catalog, answer)
    after = lake.load("db.t")
    assert after.current_snapshot().snapshot_id == snapshot_id
    assert len(rows_of(after)) == len(rows_of(table)) + 8
    assert len(attempts) == 9
    assert time.monotonic() - started < 15
    assert metadata_files(after) == referenced_files(after)


def test_time_is_up(lake: Lake, catalog: Unreliable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replace_commit, "PATIENCE", 0.5)

    def answer(do: Commit) -> None:
        raise CommitFailedException("409")

    with pytest.raises(CommitConflict, match="other writers were quicker"):
        attempt(catalog, answer)
    assert metadata_files(lake.load("db.t")) == referenced_files(lake.load("db.t"))


def test_sqlite_is_locked(lake: Lake) -> None:
    """Another process holds the database for two seconds; our connections give up after a tenth of one."""
    lake.flights("db.t", days=3)
    catalog = SqlCatalog("lake", uri=f"{lake.uri}?timeout=0.1", warehouse=lake.warehouse.as_uri())
    table = catalog.load_table("db.t")
    plan = plan_for(table)
    staged = stage(table, plan)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sqlite3, sys, time\n"
            "held = sqlite3.connect(sys.argv[1], isolation_level=None); held.execute('begin exclusive')\n"
            "print('held', flush=True); time.sleep(2); held.execute('commit')",
            str(lake.root / "catalog.db"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        sqlite3.connect(lake.root / "catalog.db", timeout=0.1).execute("select * from iceberg_tables")
    snapshot_id = commit(table, plan, staged)
    assert holder.wait() == 0
    assert_committed(lake, table, snapshot_id)


def test_read_only_catalog(lake: Lake) -> None:
    lake.flights("db.t", days=3)
    uri = f"sqlite:///file:{lake.root / 'catalog.db'}?mode=ro&uri=true"
    catalog = SqlCatalog("lake", uri=uri, warehouse=lake.warehouse.as_uri(), init_catalog_tables="false")
    table = catalog.load_table("db.t")
    plan = plan_for(table)
    staged = stage(table, plan)
    with pytest.raises(Refused, match="readonly"):
        commit(table, plan, staged)
    assert metadata_files(table) == referenced_files(table)


@pytest.fixture
def interrupts() -> Iterator[list[int]]:
    """SIGINT and SIGTERM raise :class:`Interrupted`, as the command line makes them; what was raised."""
    raised: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        raised.append(number)
        raise Interrupted("interrupted")

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    yield raised
    for number, old in before.items():
        signal.signal(number, old)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("first", [True, False], ids=["before it is done", "after it is done"])
def test_interrupt_during_a_commit_that_succeeds(
    lake: Lake, catalog: Unreliable, interrupts: list[int], number: int, first: bool
) -> None:
    """The id comes back, whole; the signal comes again a moment later."""

    def answer(do: Commit) -> Any:
        if first:
            os.kill(os.getpid(), number)
        done = do()
        os.kill(os.getpid(), number)
        if first:
            return done
        raise ConnectionError("reset by peer")

    table = catalog.load_table("db.t")
    plan = plan_for(table)
    staged = stage(table, plan)
    catalog.answer = lambda do: answer(do)
    snapshot_id = None
    with pytest.raises(Interrupted):  # noqa: PT012 - where it is raised is the point
        snapshot_id = commit(table, plan, staged)
        time.sleep(2)
    assert snapshot_id is not None
    assert interrupts[-1] == number
    assert_committed(lake, table, snapshot_id)


def test_interrupt_before_an_attempt_that_is_lost(lake: Lake, catalog: Unreliable, interrupts: list[int]) -> None:
    def answer(do: Commit) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        raise CommitFailedException("409")

    before = lake.load("db.t")
    with pytest.raises(Interrupted):
        attempt(catalog, answer)
    assert lake.load("db.t").metadata_location == before.metadata_location
    assert metadata_files(before) == referenced_files(before)


def test_second_interrupt_ends_the_wait(lake: Lake, catalog: Unreliable, interrupts: list[int]) -> None:
    """A catalog that never answers: the second Ctrl-C goes through, and the outcome is unknown."""

    def answer(do: Commit) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    before = lake.load("db.t")
    started = time.monotonic()
    with pytest.raises(CommitOutcomeUnknown):
        attempt(catalog, answer)
    assert time.monotonic() - started < 20
    with pytest.raises(Interrupted):
        time.sleep(2)
    assert metadata_files(before) > referenced_files(before)
