"""Names of tables: what they mean, and what is said when they mean nothing."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lake import Lake

import lakeopt
from lakeopt.config import Settings
from lakeopt.errors import (
    ConfigurationError,
    DataFileError,
    LakeoptError,
    Refused,
    UnknownName,
    Unreachable,
    UsageError,
)
from lakeopt.model.plan import SortField
from lakeopt.tables.iceberg.identifiers import join_identifier, split_identifier
from lakeopt.tables.open import list_tables, open_table
from lakeopt.workflows.tables import tables

SCHEMA = pa.schema([("id", pa.int64())])
ROWS = pa.table({"id": pa.array([1, 2, 3])})
HOSTILE = ["a.b", "two words", 'say "hi"', "back`tick", "select", "été", "🛫", "100%", "it's", "a=b", ".", " x "]


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=4))
def test_identifiers_survive_the_way_to_text_and_back(parts: list[str]) -> None:
    assert split_identifier(join_identifier(parts)) == tuple(parts)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", '"a', '"a"b', '""', "`a.b"])
def test_what_is_no_identifier_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        split_identifier(text)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_table_names_are_opened_and_listed(lake: Lake, name: str) -> None:
    table = lake.create(("db", name), SCHEMA, location=f"file://{lake.root}/plain")
    lake.append(table, ROWS)
    opened = open_table(join_identifier(("lake", "db", name)))
    assert open_table(opened.identifier).uuid == str(table.metadata.table_uuid)
    assert [summary.table for summary in tables("lake.db").tables] == [opened.identifier]
    assert sum(map(len, opened.files())) == 1


def test_backticks_quote_as_double_quotes_do(lake: Lake) -> None:
    lake.create(("db", "a.b"), SCHEMA)
    assert open_table("db.`a.b`").uuid == open_table('lake.db."a.b"').uuid


def test_namespaces_nest(lake: Lake) -> None:
    lake.create("a.b.c.t", SCHEMA)
    lake.create("a.t", SCHEMA)
    lake.create("ab.t", SCHEMA)
    assert open_table("a.b.c.t").identifier == open_table("lake.a.b.c.t").identifier == "lake.a.b.c.t"
    assert [t.table for t in tables("a").tables] == ["lake.a.t", "lake.a.b.c.t"]
    assert [t.table for t in tables().tables] == ["lake.a.t", "lake.a.b.c.t", "lake.ab.t"]


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("db.flihgts", "no table named 'db.flihgts'", "did you mean 'db.flights'?"),
        ("lake.db.flihgts", "no table named 'db.flihgts'", "did you mean 'db.flights'?"),
        ("lke.db.flights", "no catalog or namespace named 'lke'", "did you mean 'lake'?"),
        ("dbb.flights", "no namespace named 'dbb'", "did you mean 'db'?"),
        ("db.other", "no table named 'db.other'", "known: db.flights"),
        ("flights", "not a table name: 'flights'", "write [catalog.]namespace.table"),
    ],
)
def test_unknown_names_say_what_is_there(lake: Lake, name: str, message: str, hint: str) -> None:
    lake.create("db.flights", SCHEMA)
    with pytest.raises(UsageError) as caught:
        open_table(name)
    assert (str(caught.value), caught.value.hint) == (message, hint)


def test_an_unknown_namespace_is_not_an_empty_list(lake: Lake) -> None:
    lake.create("db.flights", SCHEMA)
    with pytest.raises(UnknownName, match="no catalog or namespace named 'dbx'"):
        tables("dbx")


def test_the_default_catalog_is_the_only_one_or_the_one_that_is_set(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lake.create("db.t", SCHEMA)
    other = Lake(tmp_path / "other", "other")
    other.create("db.t", SCHEMA)
    for name, value in other.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match="several catalogs are configured: lake, other"):
        open_table("db.t")
    assert open_table("db.t", Settings(catalog="other")).identifier == "other.db.t"
    assert open_table("other.db.t").identifier == "other.db.t"
    monkeypatch.setenv("PYICEBERG_DEFAULT_CATALOG", "other")
    assert open_table("db.t").identifier == "other.db.t"
    with pytest.raises(UnknownName) as caught:
        open_table("db.t", Settings(catalog="lkae"))
    assert caught.value.hint == "did you mean 'lake'?"


def test_catalogs_of_a_configuration_file_are_found(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in lake.environment:
        monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match="no catalog is configured"):
        open_table("db.t")
    mine = Lake(tmp_path / "mine", "Mine").create("db.t", SCHEMA)
    text = f"catalog:\n  Mine:\n    uri: sqlite:///{tmp_path}/mine/catalog.db\n"
    Path.home().joinpath(".pyiceberg.yaml").write_text(text)
    assert open_table("Mine.db.t").uuid == str(mine.metadata.table_uuid)  # SQL catalogs keep tables by their name
    assert open_table("db.t", Settings(catalog="Mine")).identifier == "Mine.db.t"
    with pytest.raises(UnknownName, match="no namespace"):
        open_table("mine.db.t")
    Path.home().joinpath(".pyiceberg.yaml").write_text("catalog: [")
    with pytest.raises(ConfigurationError, match="configuration cannot be read"):
        open_table("db.t")


@pytest.mark.parametrize(
    ("uri", "error", "says"),
    [
        ("sqlite:////nowhere/at/all.db", Unreachable, "catalog 'lake' is not there: no file /nowhere/at/all.db"),
        ("http://127.0.0.1:9", Unreachable, "catalog 'lake' does not answer"),
        ("nonsense://x", ConfigurationError, "catalog 'lake'"),
    ],
)
def test_a_catalog_that_is_down_is_told_apart_from_one_that_is_wrong(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, uri: str, error: type[LakeoptError], says: str
) -> None:
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", uri)
    start = time.monotonic()
    with pytest.raises(error, match=says) as caught:
        open_table("db.t")
    assert caught.value.hint
    assert time.monotonic() - start < 60


def test_a_catalog_that_is_no_database_does_not_answer(lake: Lake) -> None:
    Path(lake.uri.removeprefix("sqlite:///")).write_bytes(b"not a database, for sure" * 100)
    with pytest.raises(Unreachable, match="does not answer"):
        open_table("db.t")


def point_at(lake: Lake, location: str) -> None:
    with sqlite3.connect(lake.uri.removeprefix("sqlite:///")) as connection:
        connection.execute("update iceberg_tables set metadata_location = ? where table_name = 't'", [location])


def test_metadata_that_points_nowhere_is_named_and_spoils_no_listing(lake: Lake) -> None:
    lake.append(lake.create("db.good", SCHEMA), ROWS)
    lake.create("db.t", SCHEMA)
    point_at(lake, "file:///nowhere/v1.metadata.json")
    with pytest.raises(DataFileError, match=r"metadata file is missing: file:///nowhere/v1\.metadata\.json"):
        open_table("db.t")
    good, bad = list_tables()
    assert (good.table, good.record_count, good.data_file_count, good.error) == ("lake.db.good", 3, 1, None)
    assert bad.table == "lake.db.t"
    assert bad.error is not None
    assert "file:///nowhere/v1.metadata.json" in bad.error


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"format-version": 9}', "\0\0\0"])
def test_damaged_metadata_is_named(lake: Lake, content: str) -> None:
    table = lake.create("db.t", SCHEMA)
    path = Path(table.metadata_location.removeprefix("file://"))
    path.write_text(content)
    for name in ("db.t", str(path), path.as_uri()):
        with pytest.raises(DataFileError, match=str(path)):
            open_table(name)


def test_a_metadata_file_opens_read_only(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = lake.append(lake.create("db.t", SCHEMA), ROWS)
    path = Path(table.metadata_location.removeprefix("file://"))
    for name in (str(path), path.as_uri(), f"file:{path}"):
        opened = open_table(name)
        assert opened.uuid == str(table.metadata.table_uuid)
        assert opened.read_only is not None
        assert opened.warehouse is None
        assert opened.refresh() is opened
        assert sum(map(len, opened.files())) == 1
    monkeypatch.chdir(path.parent)
    assert open_table(path.name).uuid == opened.uuid
    for variable in lake.environment:
        monkeypatch.delenv(variable)
    assert open_table(str(path)).uuid == opened.uuid
    with pytest.raises(DataFileError, match="metadata file is missing"):
        open_table("/nowhere/v1.metadata.json")


def test_directories_are_refused_with_the_way_out(lake: Lake) -> None:
    table = lake.create("db.t", SCHEMA)
    with pytest.raises(Refused) as caught:
        open_table(table.location())
    assert table.metadata_location.removeprefix("file://") in str(caught.value.hint)
    with pytest.raises(Refused, match=r"none of Parquet, ORC, Avro or text: .*catalog\.db"):
        open_table(str(lake.root))


def test_tables_without_totals_are_counted(lake: Lake) -> None:
    table = lake.append(lake.create("db.t", SCHEMA), ROWS)
    path = Path(table.metadata_location.removeprefix("file://"))
    metadata = json.loads(path.read_text())
    for snapshot in metadata["snapshots"]:
        snapshot["summary"] = {"operation": "append"}
    path.write_text(json.dumps(metadata))
    (summary,) = list_tables()
    size = next(lake.files(table)).file_size_in_bytes
    assert (summary.data_file_count, summary.total_bytes, summary.record_count) == (1, size, 3)


def test_an_empty_table_is_listed_as_empty(lake: Lake) -> None:
    lake.create("db.t", SCHEMA, format_version=1)
    (summary,) = tables().tables
    assert (summary.format_version, summary.data_file_count, summary.total_bytes, summary.record_count) == (1, 0, 0, 0)
    assert summary.last_changed is not None
    assert list(open_table("db.t").files()) == []


@pytest.mark.slow
def test_another_process_finds_the_same_lake(lake: Lake) -> None:
    lake.create("db.t", SCHEMA)
    code = "import lakeopt; print([t.table for t in lakeopt.tables().tables])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['lake.db.t']"


def test_a_catalog_that_sqlite_opens_read_only_is_read_and_refuses_a_commit(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = lake.flights(days=2, rows_per_day=20)
    monkeypatch.setenv("PYICEBERG_CATALOG__LAKE__URI", f"sqlite:///file:{lake.root / 'catalog.db'}?mode=ro&uri=true")
    written = set(lake.warehouse.rglob("*.parquet"))
    with pytest.raises(Refused, match="readonly database"):
        lakeopt.rewrite("lake.db.flights", sort_by=[SortField("dest")])
    assert set(lake.warehouse.rglob("*.parquet")) == written
    assert lake.load("db.flights").metadata_location == table.metadata_location
