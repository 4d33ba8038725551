"""A metadata file that the catalog does not take is removed, and one that cannot be written is no lost answer."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest
from hand_rewrite import rows_of
from lake import Lake, flights
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

import lakeopt
from lakeopt.errors import LakeoptError, NoSpace, Refused, Unreachable
from lakeopt.model.plan import SortField

pytestmark = pytest.mark.fault
NAME = "lake.db.flights"


def rewrite() -> object:
    return lakeopt.rewrite(NAME, strategy="sort", sort_by=(SortField("dest"),))


def rewrite_manifests() -> object:
    return lakeopt.rewrite_manifests(NAME)


def expire() -> object:
    return lakeopt.expire_snapshots(NAME, older_than="0s")


def roll_back() -> object:
    return lakeopt.restore(NAME, lakeopt.history(NAME).entries[0].plan_id)


ACTS = {"rewrite": rewrite, "rewrite-manifests": rewrite_manifests, "expire-snapshots": expire, "restore": roll_back}


@pytest.fixture
def table(lake: Lake) -> Table:
    return lake.flights(days=3, rows_per_day=20)


def unknown_metadata(lake: Lake) -> set[str]:
    """Metadata files that the table does not know."""
    table = lake.load("db.flights")
    known = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    return {path.as_uri() for path in lake.warehouse.rglob("*.metadata.json")} - known


def when_writing(monkeypatch: pytest.MonkeyPatch, act: Callable[[str], None]) -> None:
    """``act`` is called once, when a metadata file has just been written."""
    write, done = SqlCatalog._write_metadata, []

    def write_then_act(metadata: Any, io: Any, metadata_path: str) -> None:
        write(metadata, io, metadata_path)
        if not done:
            done.append(metadata_path)
            act(metadata_path)

    monkeypatch.setattr(SqlCatalog, "_write_metadata", staticmethod(write_then_act))


@pytest.mark.parametrize("name", ACTS)
def test_a_lost_race_in_the_catalog_leaves_no_metadata_file(
    lake: Lake, table: Table, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name == "restore":
        rewrite()
    made: list[str] = []

    def overtake(path: str) -> None:
        made.append(path)
        if name == "restore":  # an append would rightly keep it from going back
            lake.load("db.flights").transaction().set_properties(a="b").commit_transaction()
        else:
            lake.append(table, flights(9, 5))

    when_writing(monkeypatch, overtake)
    ACTS[name]()
    after = lake.load("db.flights")
    assert len(made) == 1
    assert unknown_metadata(lake) == set()
    assert after.metadata_location != made[0]


@pytest.mark.parametrize(
    ("number", "kind", "code"), [(errno.ENOSPC, NoSpace, 1), (errno.EACCES, Refused, 2), (errno.EIO, Unreachable, 3)]
)
@pytest.mark.parametrize("name", ACTS)
def test_a_metadata_file_that_cannot_be_written_is_no_lost_answer(
    lake: Lake,
    table: Table,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    number: int,
    kind: type[LakeoptError],
    code: int,
) -> None:
    """The catalog was never asked: the error says so at once, nothing is left, and the next run succeeds."""
    if name == "restore":
        rewrite()
    before = lake.load("db.flights")

    def fail(path: str) -> None:
        raise OSError(number, os.strerror(number), path)

    with monkeypatch.context() as patch:
        when_writing(patch, fail)
        with pytest.raises(kind) as caught:
            ACTS[name]()
    assert (type(caught.value), caught.value.exit_code) == (kind, code)
    assert lake.load("db.flights").metadata_location == before.metadata_location
    assert unknown_metadata(lake) == set()
    ACTS[name]()
    assert rows_of(lake.load("db.flights")) == rows_of(before)
