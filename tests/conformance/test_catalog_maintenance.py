"""Expiry, sweep, orphans, manifests and roll-back do the same over every catalog and store."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from lake import Lake, flights
from pyarrow import fs
from pyiceberg.table import Table
from servers.places import UNPROVED, lake_at, marks, new_namespace

import lakeopt
from lakeopt.model.plan import SortField
from lakeopt.tables.open import open_table
from lakeopt.workflows.expire_snapshots import apply_expiry, plan_expiry

#: Whole commands on tables of their own, half a second each: left out of `make check`.
pytestmark = pytest.mark.slow

KEY = (SortField("dest"),)


def _pairs() -> list[Any]:
    pairs = [(catalog, store) for catalog in ("sqlite", "postgres", "rest", "hive") for store in ("local", "s3")]
    proved = [pair for pair in pairs if pair not in UNPROVED]
    return [pytest.param(pair, marks=marks(*pair), id="-".join(pair)) for pair in proved]


@pytest.fixture(params=_pairs())
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    lake = lake_at(request, tmp_path / "lake", *request.param)
    for name, value in lake.environment.items():
        monkeypatch.setenv(name, value)
    return lake


@pytest.fixture
def table(place: Lake) -> Table:
    return place.flights(f"{new_namespace()}.flights", days=3)


def name_of(table: Table) -> str:
    return "lake." + ".".join(table.name())


def rows(place: Lake, table: Table, snapshot_id: int | None = None) -> Counter[str]:
    scan = place.load(table.name()).scan(snapshot_id=snapshot_id)
    return Counter(map(str, scan.to_arrow().to_pylist()))


def files_below(table: Table) -> set[str]:
    """Names of all files below the table's location; what stands for folders left out."""
    filesystem, path = open_table(name_of(table)).resolve(table.location())
    found = filesystem.get_file_info(fs.FileSelector(path, recursive=True))
    return {info.path.rpartition("/")[2] for info in found if info.is_file and info.size}


def test_expiry_then_sweep_frees_what_was_replaced(place: Lake, table: Table) -> None:
    name, before = name_of(table), rows(place, table)
    replaced = {file.file_path.rpartition("/")[2] for file in place.files(table)}
    lakeopt.rewrite(name, strategy="sort", sort_by=KEY)
    result = lakeopt.expire_snapshots(name, older_than="0s", retain_last=1)
    assert result.expired_snapshots_count == 3
    assert len(place.load(table.name()).metadata.snapshots) == 1
    assert replaced <= files_below(table)
    swept = lakeopt.sweep(name, grace=0, no_concurrent_writers=True)
    assert swept.failed == ()
    assert swept.deleted_files_count == result.marked_files_count > len(replaced)
    assert not replaced & files_below(table)
    assert rows(place, table) == before


def test_a_tag_that_appears_while_an_expiry_is_planned_keeps_its_snapshot(place: Lake, table: Table) -> None:
    tagged = table.metadata.snapshots[1].snapshot_id
    before = rows(place, table, tagged)
    plan = plan_expiry(name_of(table), older_than="0s", retain_last=1)
    assert str(tagged) in {snapshot.snapshot_id for snapshot in plan.expired}
    place.load(table.name()).manage_snapshots().create_tag(tagged, "kept").commit()
    result = apply_expiry(plan)
    assert str(tagged) not in result.expired
    assert place.load(table.name()).metadata.refs["kept"].snapshot_id == tagged
    lakeopt.sweep(name_of(table), grace=0, no_concurrent_writers=True)
    assert rows(place, table, tagged) == before


def test_orphans_are_moved_away_and_nothing_else(place: Lake, table: Table) -> None:
    name, before, known = name_of(table), rows(place, table), files_below(table)
    for stray in ("data/left.parquet", "data/origin=a%2Fb/left+ behind.parquet"):
        with table.io.new_output(f"{table.location()}/{stray}").create() as sink:
            sink.write(b"left behind")
    time.sleep(1.1)  # some stores tell times in whole seconds
    result = lakeopt.remove_orphan_files(name, older_than=0, no_concurrent_writers=True)
    assert result.quarantined_files_count == 2
    assert files_below(table) == known
    assert rows(place, table) == before
    lakeopt.restore(name, result.plan_id)
    assert files_below(table) == known | {"left.parquet", "left+ behind.parquet"}


def test_manifests_become_few_and_say_the_same(place: Lake, table: Table) -> None:
    name, before = name_of(table), rows(place, table)

    def entries() -> Counter[tuple[object, ...]]:
        fresh = place.load(table.name())
        head = fresh.current_snapshot()
        assert head is not None
        return Counter(
            (entry.data_file.file_path, entry.snapshot_id, entry.sequence_number)
            for manifest in head.manifests(fresh.io)
            for entry in manifest.fetch_manifest_entry(fresh.io)
        )

    said = entries()
    lakeopt.rewrite_manifests(name)
    fresh = place.load(table.name())
    head = fresh.current_snapshot()
    assert head is not None
    assert len(head.manifests(fresh.io)) == 1
    assert entries() == said
    assert rows(place, table) == before


def test_a_rewrite_is_rolled_back_until_something_builds_on_it(place: Lake, table: Table) -> None:
    name, head, before = name_of(table), table.current_snapshot(), rows(place, table)
    assert head is not None
    result = lakeopt.rewrite(name, strategy="sort", sort_by=KEY)
    lakeopt.restore(name, result.plan_id)
    assert place.load(table.name()).metadata.current_snapshot_id == head.snapshot_id
    assert rows(place, table) == before
    place.append(table, flights(7, 100))
    assert sum(rows(place, table).values()) == 700


def test_a_rewrite_applies_deletes_of_both_kinds_and_leaves_none_behind(place: Lake, table: Table) -> None:
    first, second, third = sorted(place.files(table), key=lambda file: file.file_path)
    gone = {first.file_path: [0, 99], second.file_path: list(range(50))}
    place.land(table, place.position_deletes(table, gone, like=first))
    table = place.load(table.name())
    carrier = table.scan().to_arrow()["carrier"][0].as_py()
    keys = pa.table({"carrier": [carrier]})
    expected = Counter(str(row) for row in table.scan().to_arrow().to_pylist() if row["carrier"] != carrier)
    table = place.land(table, place.equality_deletes(table, keys, like=third))
    with pytest.raises(ValueError, match="equality deletes"):
        rows(place, table)  # pyiceberg itself does not read them, so what it reads afterwards has none
    result = lakeopt.rewrite(name_of(table), strategy="sort", sort_by=KEY)
    assert result.removed_delete_files_count == 2
    assert result.verification is not None
    assert result.verification.matched
    assert 0 < sum(expected.values()) < 548
    assert rows(place, table) == expected
    lakeopt.expire_snapshots(name_of(table), older_than="0s", retain_last=1)
    lakeopt.sweep(name_of(table), grace=0, no_concurrent_writers=True)
    assert not [name for name in files_below(table) if name.endswith("-deletes.parquet")]
    assert rows(place, table) == expected
