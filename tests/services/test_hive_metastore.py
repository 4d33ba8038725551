"""Hive tables of a real metastore: paging, what is refused and why, what is odd, and a metastore that says nothing."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hive_lake import HiveDatabase, HiveParquet, _storage, rows
from servers.thrift_proxy import ThriftProxy, once

import lakeopt
from lakeopt.errors import LakeoptError, Refused, UnknownName, Unreachable
from lakeopt.model.plan import SortField
from lakeopt.model.table import TableProfile
from lakeopt.tables.hive import metastore
from lakeopt.tables.hive.connection import Link, Metastore
from lakeopt.tables.open import open_table
from lakeopt.workflows.migrate import plan_migration

pytestmark = pytest.mark.service("Hive metastore")
KEY = (SortField("word"),)


@pytest.fixture
def database(hive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HiveDatabase:
    made = HiveDatabase(hive.uri, tmp_path / "hive")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def add_partitions(table: HiveParquet, places: dict[str, str]) -> None:
    """Partitions by value and location, nothing else."""
    from hive_metastore.ttypes import Partition

    made = [
        Partition(values=[day], dbName=table.database.name, tableName=table.table, sd=_storage(place), parameters={})
        for day, place in places.items()
    ]
    with table.database.connected() as client:
        client.add_partitions(made)


def findings(name: str) -> dict[str, int]:
    found = lakeopt.inspect(name)
    assert isinstance(found, TableProfile)
    return {finding.code: finding.evidence.get("count", 0) for finding in found.findings}


def test_partitions_come_page_by_page_and_by_their_values(
    database: HiveDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = HiveParquet(database, "t")
    days = ["a/b=c%20 ü", "x y", "50%", "__HIVE_DEFAULT_PARTITION__", *(f"d{number:02d}" for number in range(20))]
    add_partitions(table, {day: f"file:{table.root}/{number}" for number, day in enumerate(days)})
    monkeypatch.setattr(metastore, "PAGE", 10)
    source: Any = open_table(table.name).source  # type: ignore[attr-defined]
    pages = list(source.partitions())
    assert list(map(len, pages)) == [10, 10, 4]
    wanted = {(None if "DEFAULT" in day else day,) for day in days}
    assert {one.values for page in pages for one in page} == wanted
    asked = [("a/b=c%20 ü",), ("not there",), (None,), ("50%",)]
    found = [one for page in source.partitions(asked) for one in page]
    assert {one.values for one in found} == {("a/b=c%20 ü",), (None,), ("50%",)}
    assert {one.storage.location for one in found} == {f"file:{table.root}/{number}" for number in (0, 2, 3)}


def test_what_no_partition_names_and_what_two_name(database: HiveDatabase) -> None:
    table = HiveParquet(database, "t")
    table.add("a", rows(0, 10))
    table.add("b", rows(10, 10))
    outside = database.folder.parent / "elsewhere"
    table.write("c", rows(20, 10), outside)
    twice = table.root / "twice"
    table.write("d", rows(30, 10), twice)
    add_partitions(
        table,
        {
            "c": f"file:{outside}",
            "d": f"file:{twice}",
            "e": f"file:{twice}/",
            "gone": f"file:{table.root}/gone",
        },
    )
    (table.root / "gone").rmdir()  # the metastore made it
    table.write("new", rows(40, 10), table.root / "day=new")
    table.write("", rows(50, 10), table.root)
    found = findings(table.name)
    wanted = ("outside-partitions", "shared-folders", "missing-folders", "unregistered-folders", "stray-files")
    assert {code: found.get(code) for code in wanted} == dict.fromkeys(wanted, 1)
    plan = lakeopt.plan(table.name, strategy="sort", sort_by=KEY)
    assert {group.partition for group in plan.groups} == {'{"day": "a"}', '{"day": "b"}'}
    reasons = {one.partition: one.reason for one in plan.skipped}
    assert "outside the table's folder" in reasons['{"day": "c"}']
    assert "2 partitions lie in" in reasons['{"day": "e"}']  # a file of both is of the last
    with pytest.raises(Refused, match="two of them have"):
        plan_migration(table.name, f"hms.{table.database.name}.made")
    # What is in the shared folder is told of twice, as every reader sees it.
    assert sum(part.num_rows for part in open_table(table.name).files()) == 5
    shared = open_table(table.name)
    with pytest.raises(Refused, match="with their partitions: two of them have"):  # whose day would be one day's
        shared.scan(pa.concat_tables(list(shared.files())))


def altered(table: HiveParquet, change: Callable[[Any], None]) -> None:
    with table.database.connected() as client:
        described = client.get_table(table.database.name, table.table)
        change(described)
        client.alter_table(table.database.name, table.table, described)


def _acid(described: Any) -> None:
    """The metastore takes none but ORC in buckets."""
    described.parameters["transactional"] = "TRUE"
    described.sd.inputFormat = "org.apache.hadoop.hive.ql.io.orc.OrcInputFormat"
    described.sd.outputFormat = "org.apache.hadoop.hive.ql.io.orc.OrcOutputFormat"
    _bucketed(described)


def _bucketed(described: Any) -> None:
    described.sd.numBuckets, described.sd.bucketCols = 4, ["id"]


def _skewed(described: Any) -> None:
    from hive_metastore.ttypes import SkewedInfo

    described.sd.skewedInfo = SkewedInfo(skewedColNames=["id"], skewedColValues=[["1"]], skewedColValueLocationMaps={})


def _handled(described: Any) -> None:
    described.parameters["storage_handler"] = "org.example.Handler"


def _view(described: Any) -> None:
    described.tableType, described.viewOriginalText, described.viewExpandedText = "VIRTUAL_VIEW", "x", "x"


def _linked(described: Any) -> None:
    described.sd.inputFormat = "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat"


def _by_place(described: Any) -> None:
    described.sd.serdeInfo.parameters["parquet.column.index.access"] = "true"


def _union(described: Any) -> None:
    described.sd.cols[1].type = "uniontype<int,string>"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_acid, "transactional"),
        (_bucketed, "bucketed by id"),
        (_skewed, "skewed by id"),
        (_handled, "kept by org.example.Handler"),
        (_view, "a view"),
        (_linked, "SymlinkTextInputFormat"),
        (_by_place, "by their place, whatever files call them"),
        (_union, "word \\(uniontype"),
    ],
)
def test_tables_that_are_left_alone_say_why(
    database: HiveDatabase, change: Callable[[Any], None], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from lakeopt.cli.app import main

    table = HiveParquet(database, "t", partitioned=False)
    table.add("", rows(0, 10))
    altered(table, change)
    assert main(["rewrite", table.name, "--strategy", "sort", "--sort-by", "id", "--yes"]) == 2
    assert re.search(reason, capsys.readouterr().err)
    if change not in (_bucketed, _skewed):  # these can be read
        with pytest.raises(LakeoptError):
            plan_migration(table.name, f"hms.{database.name}.made", rewrite=True)
    if change is not _view:
        assert "read-only" in findings(table.name)
    if change in (_bucketed, _skewed):
        return
    for read in (lakeopt.profile, lakeopt.recommend):
        with pytest.raises(Refused, match=f"rows of {table.name} cannot be read: .*{reason}"):
            read(table.name)  # type: ignore[operator]


def test_both_formats_of_a_metastore_are_listed(database: HiveDatabase) -> None:
    from lake import Lake

    table = HiveParquet(database, "plain")
    table.add("a", rows(0, 10))
    lake = Lake(
        database.folder / "ice", properties={"type": "hive", "uri": database.uri, "hive.hive2-compatible": "true"}
    )
    lake.flights(f"{database.name}.flights", days=1)
    listed = {one.table: one for one in lakeopt.tables(f"hms.{database.name}").tables}
    assert {name.rpartition(".")[2]: one.format for name, one in listed.items()} == {
        "plain": "hive",
        "flights": "iceberg",
    }
    plain = listed[table.name]
    assert (plain.data_file_count, plain.total_bytes) == (
        1,
        sum(p.stat().st_size for p in table.root.rglob("*.parquet")),
    )
    assert open_table(f"hms.{database.name}.flights").format == "iceberg"
    with pytest.raises(UnknownName):
        open_table(f"hms.{database.name}.nobody")


def test_calls_in_a_row_share_a_connection_and_one_that_breaks_is_not_used_again(
    hive: Any, database: HiveDatabase
) -> None:
    table = HiveParquet(database, "t")
    add_partitions(table, {"a": f"file:{table.root}/a"})
    proxy = ThriftProxy(hive.uri)
    try:
        source = metastore.MetastoreSource(Metastore("hms", {"uri": proxy.uri}), database.name, "t")
        for _ in range(5):
            assert [one.values for page in source.partitions() for one in page] == [("a",)]
        assert proxy.connections == 1
        gone = metastore.MetastoreSource(source.metastore, database.name, "nobody")
        assert gone.found() is None  # that is an answer, and no reason to connect anew
        assert proxy.connections == 1
        proxy.rule = once("get_table", "cut")
        with pytest.raises(Unreachable, match="does not answer"):
            source.describe()
        assert source.describe().name == f"{database.name}.t"
    finally:
        proxy.stop()


def test_a_connection_that_the_other_side_ended_is_not_kept() -> None:
    ours, theirs = socket.socketpair()
    known = Metastore("hms", {"uri": "thrift://127.0.0.1:1"})
    with ours, theirs:
        closed: list[bool] = []
        link = Link(SimpleNamespace(close=lambda: closed.append(True)), SimpleNamespace(handle=ours))
        known.keep(link)
        assert known.kept() is link
        assert known.kept() is None
        known.keep(link)
        theirs.close()
        assert known.kept() is None
        assert closed == [True]
        known.keep(link)
        del known
        assert closed == [True, True]


def test_a_metastore_that_hangs_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        properties = {"TYPE": "hive", "URI": f"thrift://127.0.0.1:{silent.getsockname()[1]}"}
        properties["HIVE__CLIENT_TIMEOUT_SECONDS"] = "0.2"
        for name, value in properties.items():
            monkeypatch.setenv(f"PYICEBERG_CATALOG__HMS__{name}", value)
        with pytest.raises(Unreachable, match="does not answer") as caught:
            open_table("hms.db.t")
    assert caught.value.exit_code == 3
    with pytest.raises(Unreachable, match="does not answer"):
        open_table("hms.db.t")
