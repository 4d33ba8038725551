"""Catalogs and stores that answer late, in half, with 503, or not at all: nothing is lost, and it is said plainly."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lake import Lake
from pyiceberg.table import Table
from servers.proxy import Proxy, once

import lakeopt
from lakeopt.errors import CommitOutcomeUnknown, LakeoptError, Unreachable
from lakeopt.model.plan import SortField

pytestmark = [pytest.mark.fault]

KEY = (SortField("dest"), SortField("carrier"))


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
