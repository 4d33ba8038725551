"""Every catalog over every store does the same under lakeopt: one suite for all."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lake import Lake, flights
from pyarrow import fs
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table
from servers.places import UNPROVED, lake_at, marks, new_namespace

import lakeopt
from lakeopt.errors import Stale, WorkFailed
from lakeopt.model.plan import SortField
from lakeopt.tables.open import open_table

#: Whole commands on tables of their own, half a second each: left out of `make check`.
pytestmark = pytest.mark.slow

KEY = (SortField("dest"), SortField("carrier"))


def _pairs() -> list[Any]:
    found = []
    for catalog in ("sqlite", "postgres", "rest", "hive"):
        for store in ("local", "s3"):
            own = marks(catalog, store)
            if (catalog, store) in UNPROVED:
                own.append(pytest.mark.skip(reason=UNPROVED[catalog, store]))
            found.append(pytest.param((catalog, store), marks=own, id=f"{catalog}-{store}"))
    return found


@pytest.fixture(params=_pairs())
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake of that catalog over that store, configured for this process and others."""
    lake = lake_at(request, tmp_path / "lake", *request.param)
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    return lake


@pytest.fixture
def table(place: Lake) -> Table:
    """Four days of flights in four files, in a namespace of its own."""
    return place.flights(f"{new_namespace()}.flights", days=4)


def name_of(table: Table) -> str:
    return "lake." + ".".join(table.name())


def multiset(rows: pa.Table) -> Counter[tuple[object, ...]]:
    return Counter(zip(*(rows[name].to_pylist() for name in sorted(rows.column_names)), strict=True))


def rows(place: Lake, table: Table) -> Counter[tuple[object, ...]]:
    """All rows, as plain pyiceberg reads them from the catalog's table of now."""
    return multiset(place.load(table.name()).scan().to_arrow())


def test_a_sort_is_one_replace_snapshot_of_the_same_rows(place: Lake, table: Table) -> None:
    before, name = rows(place, table), name_of(table)
    result = lakeopt.rewrite(name, strategy="sort", sort_by=KEY)
    after = place.load(table.name())
    head = after.current_snapshot()
    assert head is not None
    assert result.snapshot_ids == (str(head.snapshot_id),)
    assert head.summary is not None
    assert head.summary.operation.value == "replace"
    assert result.verification is not None
    assert result.verification.matched
    assert result.rewritten_data_files_count == 4
    assert result.added_data_files_count == 1
    assert rows(place, table) == before
    in_order = after.scan().to_arrow().select(["dest", "carrier"]).to_pylist()
    assert in_order == sorted(in_order, key=lambda row: (row["dest"], row["carrier"]))
    assert lakeopt.plan(name, strategy="sort", sort_by=KEY).groups == ()


def test_reading_commands_and_history(place: Lake, table: Table) -> None:
    name = name_of(table)
    health = lakeopt.inspect(name)
    assert (health.data_file_count, health.record_count, health.delete_file_count) == (4, 800, 0)
    assert health.total_bytes == sum(file.file_size_in_bytes for file in place.files(table))
    assert name in {summary.table for summary in lakeopt.tables(name.rpartition(".")[0]).tables}
    assert lakeopt.profile(name).record_count == 800
    result = lakeopt.rewrite(name, strategy="sort", sort_by=KEY)
    (entry,) = lakeopt.history(name).entries
    assert (entry.plan_id, entry.status, entry.snapshot_ids) == (result.plan_id, "committed", result.snapshot_ids)


def test_an_append_between_plan_and_commit_is_kept(place: Lake, table: Table) -> None:
    plan = lakeopt.plan(name_of(table), strategy="sort", sort_by=KEY)
    place.append(table, flights(9, 200))
    before = rows(place, table)
    result = lakeopt.apply(plan)
    assert result.groups_done == 1
    assert rows(place, table) == before
    assert sum(before.values()) == 1000


def test_a_delete_between_plan_and_commit_makes_the_plan_stale(place: Lake, table: Table) -> None:
    plan = lakeopt.plan(name_of(table), strategy="sort", sort_by=KEY)
    place.load(table.name()).delete(EqualTo("origin", "JFK"))
    before, head = rows(place, table), place.load(table.name()).current_snapshot()
    with pytest.raises(Stale) as caught:
        lakeopt.apply(plan)
    assert caught.value.exit_code == 4
    assert place.load(table.name()).current_snapshot() == head
    assert rows(place, table) == before
    lakeopt.rewrite(name_of(table), strategy="sort", sort_by=KEY)
    assert rows(place, table) == before


def test_partitions_and_evolved_columns(place: Lake) -> None:
    table = place.flights(f"{new_namespace()}.parted", days=3, partition=[("origin", "identity")])
    with table.update_schema() as update:
        update.rename_column("dest", "destination")
        update.delete_column("flight")
    before = rows(place, table)
    result = lakeopt.rewrite(name_of(table), strategy="sort", sort_by=(SortField("destination"),))
    assert result.groups_done == 3
    assert rows(place, table) == before
    partitions = Counter(str(file.partition[0]) for file in place.files(table))
    assert partitions == {"EWR": 1, "JFK": 1, "LGA": 1}


def test_nothing_is_left_that_no_snapshot_names(place: Lake, table: Table) -> None:
    """A rewrite that lost its race removed what it wrote."""
    plan = lakeopt.plan(name_of(table), strategy="sort", sort_by=KEY)
    place.load(table.name()).delete(EqualTo("origin", "JFK"))
    with pytest.raises(Stale):
        lakeopt.apply(plan)
    filesystem, path = open_table(name_of(table)).resolve(f"{table.location()}/data")
    listed = [info.path for info in filesystem.get_file_info(fs.FileSelector(path, recursive=True)) if info.is_file]
    fresh = place.load(table.name())
    known = {
        entry.data_file.file_path.rpartition("/")[2]
        for snapshot in fresh.metadata.snapshots
        for manifest in snapshot.manifests(fresh.io)
        for entry in manifest.fetch_manifest_entry(fresh.io, discard_deleted=False)
    }
    assert {found.rpartition("/")[2] for found in listed} <= known


def test_snapshots_expire_and_a_sweep_frees_what_they_had(place: Lake, table: Table) -> None:
    name, first = name_of(table), table.snapshots()[0].snapshot_id
    table.manage_snapshots().create_tag(first, "first").commit()
    lakeopt.rewrite(name, strategy="sort", sort_by=KEY)
    before, tagged = rows(place, table), multiset(place.load(table.name()).scan(snapshot_id=first).to_arrow())
    result = lakeopt.expire_snapshots(name, older_than="0s")
    assert (result.expired_snapshots_count, result.bytes_freed_now) == (3, 0)
    assert {one.reason for one in result.retained} == {"tag first", "head of branch main"}
    assert set(place.load(table.name()).refs()) == {"first", "main"}
    swept = lakeopt.sweep(name, grace=0, no_concurrent_writers=True)
    assert (swept.deleted_files_count, swept.bytes) == (result.marked_files_count, result.marked_bytes)
    assert swept.bytes > 0
    assert not swept.failed
    assert rows(place, table) == before
    assert multiset(place.load(table.name()).scan(snapshot_id=first).to_arrow()) == tagged
    again = lakeopt.sweep(name, grace=0, no_concurrent_writers=True)
    assert (again.deleted_files_count, again.missing_files_count) == (0, 0)


def test_a_tag_that_appears_while_snapshots_expire_is_kept_or_its_files_are(
    place: Lake, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catalogs whose client commits see the tag. A server cannot be asked to: the loss is seen, and nothing marked."""
    from lakeopt.workflows.expire_snapshots import _Run

    name, first, choose = name_of(table), table.snapshots()[0].snapshot_id, _Run.choose
    tagged: list[int] = []

    def choose_then_tag(run: Any, at: Any) -> Any:
        chosen = choose(run, at)
        if not tagged:
            tagged.append(first)
            place.load(table.name()).manage_snapshots().create_tag(first, "late").commit()
        return chosen

    monkeypatch.setattr(_Run, "choose", choose_then_tag)
    on_server = isinstance(place.catalog, RestCatalog)
    seen = pytest.raises(WorkFailed, match="they are lost: late; nothing is marked") if on_server else nullcontext()
    with seen:
        lakeopt.expire_snapshots(name, older_than="0s")
    if on_server:
        assert lakeopt.sweep(name, grace=0, no_concurrent_writers=True).deleted_files_count == 0
    else:
        assert place.load(table.name()).refs()["late"].snapshot_id == first
        assert len(place.load(table.name()).scan(snapshot_id=first).to_arrow()) == 200
    assert len(place.load(table.name()).scan().to_arrow()) == 800
