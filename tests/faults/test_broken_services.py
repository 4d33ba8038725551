"""Catalogs and stores that answer late, in half, with 503, or not at all: nothing is lost, and it is said plainly."""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from lake import Lake, flights
from pyarrow import fs
from pyiceberg.table import Table
from servers.proxy import Proxy, once

import lakeopt
from lakeopt.errors import CommitOutcomeUnknown, LakeoptError, Unreachable
from lakeopt.model.plan import SortField
from lakeopt.tables.iceberg.deletion.reachable import reachable_files
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.workflows.remove_orphan_files import find_orphan_files

pytestmark = [pytest.mark.fault]

KEY = (SortField("dest"), SortField("carrier"))
DAY = 86_400.0
CLEAN_UPS: dict[str, Callable[[str], Any]] = {
    "rewrite-manifests": lakeopt.rewrite_manifests,
    "expire-snapshots": lambda name: lakeopt.expire_snapshots(name, older_than="0s"),
    "remove-orphan-files": lambda name: lakeopt.remove_orphan_files(name, older_than=0, no_concurrent_writers=True),
    "sweep": lambda name: lakeopt.sweep(name, grace=0, no_concurrent_writers=True),
}


def configure(monkeypatch: pytest.MonkeyPatch, lake: Lake, **changes: str) -> None:
    for name, value in {**lake.environment, **changes}.items():
        monkeypatch.setenv(name, value)


def rows(lake: Lake, table: Table) -> Counter[str]:
    return Counter(map(str, lake.load(table.name()).scan().to_arrow().to_pylist()))


def new_table(lake: Lake) -> tuple[Table, str]:
    table = lake.flights(f"n{uuid.uuid4().hex[:12]}.flights", days=3)
    return table, "lake." + ".".join(table.name())


@pytest.fixture
def rest_lake(rest: Any, tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake", properties={"type": "rest", "uri": rest.uri})


@pytest.fixture
def rest_proxy(rest: Any, rest_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy before the REST catalog, which lakeopt goes through; the lake itself does not."""
    proxy = Proxy(rest.uri)
    configure(monkeypatch, rest_lake, PYICEBERG_CATALOG__LAKE__URI=proxy.uri)
    yield proxy
    proxy.stop()


@pytest.fixture
def s3_lake(s3: Any, tmp_path: Path) -> Lake:
    warehouse = f"s3://{s3.bucket}/{uuid.uuid4().hex}"
    return Lake(tmp_path / "lake", properties={**s3.properties(), "warehouse": warehouse})


@pytest.fixture
def s3_proxy(s3: Any, s3_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    proxy = Proxy(s3.endpoint)
    configure(monkeypatch, s3_lake, PYICEBERG_CATALOG__LAKE__S3__ENDPOINT=proxy.uri)
    yield proxy
    proxy.stop()


@pytest.mark.service("Iceberg REST catalog")
def test_an_answer_that_is_lost_after_the_commit_is_found(rest_lake: Lake, rest_proxy: Proxy) -> None:
    table, name = new_table(rest_lake)
    before = rows(rest_lake, table)
    rest_proxy.rule = once("POST", "/tables/", "drop")
    result = lakeopt.rewrite(name, strategy="sort", sort_by=KEY)
    assert ("POST", "drop") in {(method, fate) for method, _, fate in rest_proxy.seen}
    fresh = rest_lake.load(table.name())
    assert result.snapshot_ids == (str(fresh.metadata.current_snapshot_id),)
    assert len(fresh.metadata.snapshots) == 4
    assert rows(rest_lake, table) == before
    assert lakeopt.history(name).entries[-1].status == "committed"


@pytest.mark.service("Iceberg REST catalog")
@pytest.mark.parametrize("what", ["expire-snapshots", "rewrite-manifests", "restore"])
def test_the_answer_to_a_clean_up_that_is_lost_after_the_commit_is_found(
    rest_lake: Lake, rest_proxy: Proxy, what: str
) -> None:
    table, name = new_table(rest_lake)
    before = rows(rest_lake, table)
    if what == "restore":
        undone = lakeopt.rewrite(name, strategy="sort", sort_by=KEY).plan_id
    rest_proxy.rule = once("POST", "/tables/", "drop")
    result: Any = lakeopt.restore(name, undone) if what == "restore" else CLEAN_UPS[what](name)
    assert ("POST", "drop") in {(method, fate) for method, _, fate in rest_proxy.seen}
    fresh = rest_lake.load(table.name())
    if what == "expire-snapshots":
        assert len(fresh.snapshots()) == 1
        assert (result.expired_snapshots_count, result.marked_files_count) == (2, 2)
    elif what == "rewrite-manifests":
        assert result.snapshot_ids == (str(fresh.metadata.current_snapshot_id),)
    else:
        assert fresh.metadata.current_snapshot_id == table.metadata.current_snapshot_id
    assert rows(rest_lake, table) == before
    assert lakeopt.history(name).entries[-1].status == "committed"


@pytest.mark.slow
@pytest.mark.service("Iceberg REST catalog")
def test_a_catalog_that_goes_away_with_the_commit_leaves_every_file_until_it_is_back(
    rest_lake: Lake, rest_proxy: Proxy
) -> None:
    table, name = new_table(rest_lake)
    before = rows(rest_lake, table)
    dropped: list[str] = []

    def rule(method: str, path: str) -> str | None:
        if dropped:
            return "refuse"
        if method == "POST" and "/tables/" in path:
            dropped.append(path)
            return "drop"
        return None

    rest_proxy.rule = rule
    with pytest.raises(CommitOutcomeUnknown) as caught:
        lakeopt.rewrite(name, strategy="sort", sort_by=KEY)
    assert caught.value.exit_code == 3
    assert rows(rest_lake, table) == before  # it was committed: had files been removed, this would fail
    assert len(rest_lake.load(table.name()).metadata.snapshots) == 4
    rest_proxy.rule = lambda method, path: None
    lakeopt.rewrite(name, strategy="sort", sort_by=KEY)
    assert lakeopt.history(name).entries[0].status == "committed"
    assert rows(rest_lake, table) == before


@pytest.mark.service("Iceberg REST catalog")
def test_a_rest_catalog_that_is_down_or_overloaded_is_said_plainly(
    rest_lake: Lake, rest_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, name = new_table(rest_lake)
    rest_proxy.rule = lambda method, path: "refuse"
    with pytest.raises(Unreachable, match="catalog 'lake' does not answer") as overloaded:
        lakeopt.inspect(name)
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", "http://127.0.0.1:1")
    with pytest.raises(Unreachable, match="catalog 'lake' does not answer") as down:
        lakeopt.inspect(name)
    for caught in (overloaded, down):
        assert caught.value.exit_code == 3
        assert caught.value.hint
        assert "\n" not in str(caught.value)


@pytest.mark.service("S3 (versitygw)")
@pytest.mark.parametrize("fate", ["refuse", "drop", "half", "slow"])
def test_a_store_that_stumbles_once_is_asked_again_or_named(s3_lake: Lake, s3_proxy: Proxy, fate: str) -> None:
    """One request for data goes wrong: the rewrite succeeds all the same, or fails and the table is as it was."""
    table, name = new_table(s3_lake)
    before = rows(s3_lake, table)
    s3_proxy.rule = once("GET", "/data/", fate)
    try:
        result = lakeopt.rewrite(name, strategy="sort", sort_by=KEY)
    except LakeoptError:
        assert s3_lake.load(table.name()).current_snapshot() == table.current_snapshot()
    else:
        assert result.groups_done == 1
    assert rows(s3_lake, table) == before
    assert fate in {fate for _, _, fate in s3_proxy.seen}


@pytest.mark.slow
@pytest.mark.service("S3 (versitygw)")
@pytest.mark.parametrize(("method", "part"), [("GET", "/data/"), ("PUT", "/data/"), ("PUT", "/metadata/")])
def test_a_store_that_goes_on_refusing_is_exit_3_and_the_table_as_it_was(
    s3_lake: Lake, s3_proxy: Proxy, method: str, part: str
) -> None:
    table, name = new_table(s3_lake)
    before = rows(s3_lake, table)
    s3_proxy.rule = lambda asked, path: "refuse" if asked == method and part in path else None
    with pytest.raises(Unreachable) as caught:
        lakeopt.rewrite(name, strategy="sort", sort_by=KEY)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert s3_lake.load(table.name()).current_snapshot() == table.current_snapshot()
    assert rows(s3_lake, table) == before
    s3_proxy.rule = lambda asked, path: None
    assert lakeopt.rewrite(name, strategy="sort", sort_by=KEY).groups_done == 1
    assert rows(s3_lake, table) == before


@pytest.mark.service("S3 (versitygw)")
def test_wrong_credentials_of_a_store_are_said_plainly(s3_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    _, name = new_table(s3_lake)
    configure(monkeypatch, s3_lake, PYICEBERG_CATALOG__LAKE__S3__SECRET_ACCESS_KEY="wrong")
    with pytest.raises(Unreachable, match=r"storage does not answer|may not be read") as caught:
        lakeopt.inspect(name)
    assert caught.value.exit_code == 3
    assert "credentials" in str(caught.value.hint)


#: What befalls one request of a clean-up: GET and HEAD read, PUT and DELETE change the store.
STUMBLES = [
    ("GET", "/metadata/", "half"),
    ("GET", "/metadata/", "drop"),
    ("GET", "/metadata/", "refuse"),
    ("GET", "list-type", "half"),
    ("PUT", "", "refuse"),
    ("PUT", "", "drop"),
    ("DELETE", "", "refuse"),
    ("DELETE", "", "drop"),
    ("POST", "delete", "drop"),
    ("HEAD", "", "refuse"),
    ("GET", "/metadata/", "slow"),
]


def littered(lake: Lake) -> tuple[Table, str]:
    """A table with a file that nothing reaches, snapshots to expire, small manifests and marked files."""
    table, name = new_table(lake)
    lakeopt.expire_snapshots(name, older_than="0s")
    for day in range(3, 5):
        table = lake.append(table, flights(day, 20))
    with table.io.new_output(f"{table.location()}/data/orphan.parquet").create() as sink:
        sink.write(b"nobody's")
    return table, name


@pytest.mark.slow
@pytest.mark.service("S3 (versitygw)")
@pytest.mark.parametrize("what", CLEAN_UPS)
def test_a_clean_up_on_a_store_that_stumbles_is_done_or_named(s3_lake: Lake, s3_proxy: Proxy, what: str) -> None:
    """Whatever befalls one request, the table reads as before, and the next clean-ups leave nothing behind."""
    table, name = littered(s3_lake)
    before, befallen, errors = rows(s3_lake, table), set(), []
    for method, part, fate in STUMBLES:
        s3_proxy.rule = once(method, part, fate)
        try:
            CLEAN_UPS[what](name)
        except LakeoptError as error:
            errors.append(error)
        assert rows(s3_lake, table) == before, (method, part, fate)
        befallen |= {fate for _, _, fate in s3_proxy.seen}
        table = s3_lake.append(table, flights(9, 5))
        before = rows(s3_lake, table)
    assert befallen >= {"half", "refuse", "drop"}
    assert all(error.exit_code in (1, 3) and "\n" not in str(error) for error in errors), errors
    s3_proxy.rule = lambda method, path: None
    for act in (*CLEAN_UPS.values(), CLEAN_UPS["sweep"]):
        assert not getattr(act(name), "failed", ())
    assert rows(s3_lake, table) == before
    reached = {path for part in reachable_files(s3_lake.load(table.name())) for path in part["file_path"].to_pylist()}
    assert set(objects(s3_lake.load(table.name()))) <= reached


@pytest.mark.slow
@pytest.mark.service("S3 (versitygw)")
@pytest.mark.parametrize("what", CLEAN_UPS)
def test_a_clean_up_on_a_store_that_goes_on_refusing_is_exit_3(s3_lake: Lake, s3_proxy: Proxy, what: str) -> None:
    table, name = littered(s3_lake)
    before, location = rows(s3_lake, table), table.metadata_location
    kept = set(objects(table))
    s3_proxy.rule = lambda method, path: "refuse" if method == "PUT" else None
    with pytest.raises(Unreachable) as caught:
        CLEAN_UPS[what](name)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    fresh = s3_lake.load(table.name())
    assert (fresh.metadata_location, set(objects(fresh))) == (location, kept)
    s3_proxy.rule = lambda method, path: None
    CLEAN_UPS[what](name)
    assert rows(s3_lake, table) == before


def objects(table: Table) -> list[str]:
    """Locations of all objects below the table's."""
    system, path = IcebergTable(table).resolve(table.location())
    found = system.get_file_info(fs.FileSelector(path, recursive=True))
    return [f"s3://{info.path}" for info in found if info.is_file]


@pytest.mark.service("S3 (versitygw)")
@pytest.mark.parametrize("hours", [-48, 48])
def test_ages_are_told_by_the_clock_of_the_store(s3: Any, s3_lake: Lake, s3_proxy: Proxy, hours: int) -> None:
    """The store's clock is two days off: what is young there stays, whatever the host takes for its age."""
    table, name = littered(s3_lake)
    s3_proxy.skew = timedelta(hours=hours)
    old = s3.root / table.location().removeprefix("s3://") / "data" / "old-orphan.parquet"
    old.write_bytes(b"nobody's")
    os.utime(old, (time.time() - 4 * DAY,) * 2)
    found = find_orphan_files(name, older_than=3 * DAY)
    assert [file.path for file in found.orphans] == ["data/old-orphan.parquet"]
    assert lakeopt.sweep(name, grace=DAY).deleted_files_count == 0
    assert lakeopt.remove_orphan_files(name, older_than=3 * DAY).quarantined_files_count == 1
    assert lakeopt.sweep(name, grace=DAY).deleted_files_count == 0
    (manifest,) = (s3.root / s3.bucket).rglob(f"*/quarantine/{table.metadata.table_uuid}/*/manifest-*.json")
    os.utime(manifest, (time.time() - 1.1 * DAY,) * 2)
    assert lakeopt.sweep(name, grace=DAY).deleted_files_count == 1
    assert rows(s3_lake, table) == rows(s3_lake, s3_lake.load(table.name()))
