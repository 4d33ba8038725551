"""Orphan removal over real S3 servers: literal keys, folder markers, the store's clock, copies instead of renames."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from lake import Lake, flights
from pyarrow import fs
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table
from servers.s3 import S3

import lakeopt
from lakeopt.errors import Refused
from lakeopt.tables.iceberg.deletion.listing import list_files, store_time
from lakeopt.workflows.remove_orphan_files import find_orphan_files, quarantine_orphan_files

NAME = "lake.db.t"
NOW = {"older_than": 0.0, "no_concurrent_writers": True}


class LakeOnS3(Lake):
    """A lake whose warehouse lies in a bucket."""

    def __init__(self, root: Path, server: S3, prefix: str) -> None:
        root.mkdir()
        self.root, self.catalog_name, self.prefix = root, "lake", prefix
        self.uri = f"sqlite:///{root / 'catalog.db'}"
        self.properties = {"warehouse": f"s3://{server.bucket}/{prefix}", **server.properties()}
        self.catalog = SqlCatalog("lake", uri=self.uri, **self.properties)
        self.filesystem = server.filesystem()
        self.bucket = server.bucket

    def put(self, key: str, content: bytes = b"dead") -> str:
        with self.filesystem.open_output_stream(f"{self.bucket}/{self.prefix}/{key}") as sink:
            sink.write(content)
        return key

    def keys(self) -> set[str]:
        infos = self.filesystem.get_file_info(fs.FileSelector(f"{self.bucket}/{self.prefix}", recursive=True))
        return {info.path.removeprefix(f"{self.bucket}/{self.prefix}/") for info in infos if info.is_file}

    def settle(self) -> None:
        """Stores stamp whole seconds: what is written now is older than the next look only after one of them."""
        time.sleep(1.1)


@pytest.fixture(params=["s3", "moto"])
def server(request: pytest.FixtureRequest) -> S3:
    made: S3 = request.getfixturevalue(request.param)
    return made


@pytest.fixture
def stored(server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> LakeOnS3:
    lake = LakeOnS3(tmp_path / "lake", server, f"wh-{abs(hash(request.node.nodeid))}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    names = {key.upper().replace(".", "__").replace("-", "_"): value for key, value in lake.properties.items()}
    for key, value in {"URI": lake.uri, **names}.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__LAKE__{key}", value)
    return lake


def made(stored: LakeOnS3, location: str | None = None) -> Table:
    table = stored.create("db.t", flights(0, 1).schema, location=location)
    return stored.append(stored.append(table, flights(0, 50)), flights(1, 50))


@pytest.mark.service("S3 (versitygw)")
def test_orphans_go_and_come_back(stored: LakeOnS3) -> None:
    table = made(stored)
    orphans = [stored.put(f"db/t/{name}") for name in ("data/dead.parquet", "data/a b/ü=1/x", "metadata/_x/.y")]
    stored.filesystem.create_dir(f"{stored.bucket}/{stored.prefix}/db/t/data/empty folder")
    before = stored.keys()
    stored.settle()
    plan = find_orphan_files(NAME, **NOW)
    assert [f"db/t/{file.path}" for file in plan.orphans] == sorted(orphans)
    result = quarantine_orphan_files(plan)
    assert (result.quarantined_files_count, result.failed) == (3, ())
    assert before - stored.keys() == set(orphans)
    assert len(stored.load("db.t").scan().to_arrow()) == len(table.scan().to_arrow()) == 100
    assert find_orphan_files(NAME, **NOW).orphans == ()
    stored.put("db/t/data/dead.parquet", b"somebody else's")
    back = lakeopt.restore(NAME, result.plan_id)
    assert (back.restored_files_count, [one.path for one in back.failed]) == (2, ["data/dead.parquet"])
    stored.filesystem.delete_file(f"{stored.bucket}/{stored.prefix}/db/t/data/dead.parquet")
    assert lakeopt.restore(NAME, result.plan_id).restored_files_count == 1
    assert before <= stored.keys()


@pytest.mark.service("S3 (versitygw)")
def test_what_is_younger_than_three_days_stays(stored: LakeOnS3) -> None:
    made(stored)
    stored.put("db/t/data/dead.parquet")
    assert lakeopt.remove_orphan_files(NAME).quarantined_files_count == 0


@pytest.mark.service("S3 (versitygw)")
@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n"])
def test_spellings_of_a_scheme_and_a_slash_at_the_end(stored: LakeOnS3, scheme: str) -> None:
    table = made(stored, f"{scheme}://{stored.bucket}/{stored.prefix}/db/t/")
    for day, other in enumerate(["s3", "s3a", "s3n"]):
        file = stored.data_file(stored.load("db.t"), flights(day, 10))
        file[1] = f"{other}://{file.file_path.partition('://')[2]}"
        table = stored.land(table, file)
    stored.put("db/t/data/dead.parquet")
    stored.settle()
    assert [file.path for file in find_orphan_files(NAME, **NOW).orphans] == ["data/dead.parquet"]


@pytest.mark.service("S3 (versitygw)")
def test_other_bucket_of_the_same_path_is_an_error(stored: LakeOnS3) -> None:
    table = made(stored)
    file = stored.data_file(table, flights(1, 10))
    file[1] = file.file_path.replace(f"s3://{stored.bucket}/", "s3://elsewhere/")
    stored.land(table, file)
    with stored.filesystem.open_output_stream(f"{stored.bucket}/{file.file_path.partition('elsewhere/')[2]}") as sink:
        sink.write(b"a copy")
    stored.settle()
    with pytest.raises(Refused, match="s3://elsewhere/"):
        find_orphan_files(NAME, **NOW)


@pytest.mark.service("S3 (versitygw)")
def test_state_on_another_store(stored: LakeOnS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is then that of the table's store, and a move is a copy between the two."""
    monkeypatch.setenv("LAKEOPT_STATE_DIR", str(tmp_path / "state"))
    made(stored)
    stored.put("db/t/data/dead.parquet", os.urandom(3_000_000))
    before = stored.keys()
    stored.settle()
    result = lakeopt.remove_orphan_files(NAME, **NOW)
    assert result.quarantined_files_count == 1
    assert [path.stat().st_size for path in tmp_path.glob("state/quarantine/*/*/*dead.parquet")] == [3_000_000]
    assert lakeopt.restore(NAME, result.plan_id).restored_files_count == 1
    assert before <= stored.keys()


@pytest.mark.service("S3 (moto)")
def test_keys_are_literal(moto: S3) -> None:
    """``//`` and ``%2F`` are part of a key: each object is listed under its own."""
    import urllib.request

    store = moto.filesystem()
    keys = ["literal/a/b", "literal/a%2Fb", "literal/ü b"]
    for key in keys:
        with store.open_output_stream(f"lake/{key}") as sink:
            sink.write(b"x")
    url = f"{moto.endpoint}/lake/literal//twice"
    request = urllib.request.Request(url, data=b"y", method="PUT", headers={"Authorization": "AWS lakeopt:x"})
    urllib.request.urlopen(request).read()
    listed = [row for batch in list_files(store, "lake/literal") for row in batch.to_pylist()]
    found = sorted(row["path"] for row in listed)
    assert found == sorted([*(key.removeprefix("literal/") for key in keys), "/twice"])
    assert {row["path"]: row["form"] for row in listed if row["form"] != "file"} == {"/twice": "unaddressable"}


@pytest.mark.service("S3 (versitygw)")
def test_clock_of_the_store(server: S3) -> None:
    store = server.filesystem()
    told = store_time(store, "lake/clock")
    with store.open_output_stream("lake/clock-check") as sink:
        sink.write(b"x")
    later = store.get_file_info("lake/clock-check").mtime
    assert later is not None
    assert 0 <= (later - told).total_seconds() < 60
    assert [info for info in store.get_file_info(fs.FileSelector("lake/clock")) if info.is_file] == []
