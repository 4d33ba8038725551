"""Folders of ``key=value`` folders as tables: what is read of them, what is planned, and what is odd."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

import lakeopt
from lakeopt.errors import Refused, StalePlan, UnknownName, UsageError
from lakeopt.model.plan import SortField
from lakeopt.model.table import TableProfile
from lakeopt.tables.hive.partition_names import escape
from lakeopt.tables.hive.switch import directory_switch
from lakeopt.tables.open import open_table
from lakeopt.workflows.queries import parse_queries

KEY = (SortField("b"),)
VALUES = ["x", "a/b=c%20 ü", None]


def rows(first: int, count: int = 10) -> pa.Table:
    return pa.table({"a": list(range(first, first + count)), "B": [f"{-n % 7}" for n in range(first, first + count)]})


def put(folder: Path, name: str, table: pa.Table, *, seconds: int = 1_700_000_000) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    (orc if name.endswith("orc") else pq).write_table(table, path)
    os.utime(path, (seconds, seconds))
    return path


def folder_of(root: Path, value: str | None) -> Path:
    return root / "day=2026-01-02" / f"k={'__HIVE_DEFAULT_PARTITION__' if value is None else escape(value)}"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three partitions of two files each, one of them with a null."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for at, value in enumerate(VALUES):
        for file in range(2):
            put(folder_of(tmp_path / "t", value), f"f{file}.parquet", rows(100 * at + 10 * file), seconds=1000 + file)
    return tmp_path / "t"


def listed(table: Any, **more: Any) -> list[dict[str, Any]]:
    return [row for part in table.files(**more) for row in part.to_pylist()]


def codes(root: Path) -> set[str]:
    found = lakeopt.inspect(str(root))
    assert isinstance(found, TableProfile)
    return {finding.code for finding in found.findings}


def reason(root: Path, **more: Any) -> str:
    """Why the one partition that is skipped is."""
    planned = lakeopt.plan(str(root), strategy="sort", sort_by=(SortField("B"),), **more)
    [skipped] = planned.skipped
    assert len(planned.groups) == len(VALUES) - 1
    return skipped.reason


def test_names_and_values_and_rows(root: Path) -> None:
    table = open_table(str(root))
    assert (table.format, table.keeps_snapshots, table.read_only) == ("hive", False, None)
    assert dict(table.field_types) == {"a": "long", "B": "string", "day": "date", "k": "string"}
    files = listed(table)
    assert {file["partition"] for file in files} == {
        '{"day": "2026-01-02", "k": "x"}',
        '{"day": "2026-01-02", "k": "a/b=c%20 ü"}',
        '{"day": "2026-01-02", "k": null}',
    }
    assert [file["record_count"] for file in files] == [10] * 6
    assert all(file["data_sequence_number"] in (1_000_000_000, 1_001_000_000) for file in files)
    [first] = [file for file in files if file["file_path"].endswith("k=x/f0.parquet")]
    assert dict(first["lower_bounds"])[1] == (0).to_bytes(8, "little")
    assert dict(first["upper_bounds"])[4] == b"x"


def test_filters_go_by_values_of_partitions_and_by_bounds(root: Path) -> None:
    table = open_table(str(root))
    assert {file["file_path"].rpartition("/")[2] for file in listed(table, where="k = 'x' and a > 12")} == {
        "f1.parquet"
    }
    assert len(listed(table, where="k is null")) == 2
    assert len(listed(table, where="day = '2026-01-02'")) == 6
    assert listed(table, where="day > '2026-01-02'") == []
    with pytest.raises(UnknownName):
        table.files(where="nobody = 1")
    with pytest.raises(UsageError):
        table.files(where="((")


def test_only_footers_of_matching_partitions_are_read(root: Path) -> None:
    (folder_of(root, "x") / "f0.parquet").write_bytes(b"PAR1 no footer PAR1")
    table: Any = open_table(str(root))
    assert len(listed(table, where="k is null")) == 2
    assert table.file_lists.problems == {}
    # A file whose footer says nothing may hold anything.
    assert len(listed(table, where="k = 'x' and a = 10")) == 2


def test_the_listing_is_the_version(root: Path) -> None:
    table = open_table(str(root))
    first = table.snapshot_id()
    assert first == open_table(str(root)).snapshot_id()
    assert len(listed(table, snapshot_id=first)) == 6
    (root / "_SUCCESS").touch()
    (folder_of(root, "x") / ".hidden.parquet").touch()
    assert table.refresh().snapshot_id() == first
    put(folder_of(root, "x"), "f2.parquet", rows(50))
    assert table.snapshot_id() == first  # one object answers from one moment
    assert table.refresh().snapshot_id() != first
    with pytest.raises(StalePlan):
        table.refresh().files(first)
    with pytest.raises(UnknownName):
        table.snapshot_id("other")


def test_a_plan_takes_whole_partitions_in_order_of_arrival(root: Path) -> None:
    plan = lakeopt.plan(str(root), strategy="sort", sort_by=(SortField("B"),), where="a >= 110")
    [one, two] = plan.groups
    assert plan.committer == "hive-switch"
    assert {group.switch.values for group in (one, two) if group.switch} == {
        ("2026-01-02", "a/b=c%20 ü"),
        ("2026-01-02", None),
    }
    assert [file.path.rpartition("/")[2] for file in one.data_files] == ["f0.parquet", "f1.parquet"]
    assert one.switch is not None
    assert one.switch.location == one.data_files[0].path.rpartition("/")[0]


@pytest.mark.parametrize("writer", ["_temporary", ".spark-staging-1", ".hive-staging_hive_1", ".part-0.inprogress.7"])
def test_a_partition_that_a_writer_is_at_work_in_is_left_alone(root: Path, writer: str) -> None:
    (folder_of(root, "x") / writer).mkdir()
    assert "another writer is at work" in reason(root)


def test_a_table_that_a_writer_is_at_work_in_is_left_alone(root: Path) -> None:
    (root / "_temporary").mkdir()
    planned = lakeopt.plan(str(root), strategy="sort", sort_by=(SortField("B"),))
    assert planned.groups == ()
    assert len(planned.skipped) == 3
    assert "staging-folders" in codes(root)


def test_odd_files_are_findings_and_their_partitions_are_left_alone(root: Path) -> None:
    folder = folder_of(root, "x")
    path = put(folder / "below", "f9.parquet", rows(0))
    assert "files lie in folders below it" in reason(root)
    assert "nested-files" in codes(root)
    path.unlink()
    (folder / "empty.parquet").touch()
    assert "a file has no bytes" in reason(root)
    assert "empty-files" in codes(root)
    (folder / "empty.parquet").rename(folder / "f7.orc")
    put(folder, "f7.orc", rows(0))
    assert "named as of another format" in reason(root)
    assert {"foreign-names", "unreadable-files"} <= codes(root)
    (folder / "f7.orc").rename(folder / "f7.parquet")
    assert "data file cannot be read" in reason(root)


def test_drifting_columns(root: Path) -> None:
    folder = folder_of(root, "x")
    put(folder, "f2.parquet", rows(0).append_column("c", pa.array(range(10))), seconds=10)
    table = open_table(str(root))
    assert "c" in table.field_types  # of a folder the columns are those that its files have
    assert "missing-columns" in codes(root)
    assert lakeopt.plan(str(root), strategy="sort", sort_by=(SortField("B"),)).skipped == ()
    put(folder, "f2.parquet", rows(0).set_column(0, "a", pa.array([f"{n}" for n in range(10)])), seconds=10)
    assert "a file holds a as string, the table has int64" in reason(root)
    assert "changed-types" in codes(root)


@pytest.mark.parametrize("mark", ["_delta_log/0.json", ".hoodie/x", "_spark_metadata/0", "../metadata/1.metadata.json"])
@pytest.mark.parametrize("below", ["", "day=2026-01-02"])
def test_folders_of_other_formats_are_no_tables_to_rewrite(root: Path, mark: str, below: str) -> None:
    """A listing shows files that their log does not count, and one that is moved is missing there."""
    (root / mark).parent.mkdir()
    (root / mark).write_text("{}")
    place = str(root / below)
    assert "lies in the folder of" in str(open_table(place).read_only)
    with pytest.raises(Refused, match=r"whose (log|metadata) says which files count"):
        lakeopt.plan(place, strategy="sort", sort_by=KEY)
    assert "read-only" in codes(Path(place))


def test_folders_of_different_keys_are_no_table_to_rewrite(root: Path) -> None:
    put(root / "other=1", "f.parquet", rows(0))
    assert "different partition columns" in str(open_table(str(root)).read_only)
    with pytest.raises(Refused, match="different partition columns"):
        lakeopt.plan(str(root), strategy="sort", sort_by=(SortField("B"),))


def test_views_that_a_hive_table_has_not(root: Path) -> None:
    assert len(lakeopt.inspect(str(root), view="files").rows) == 6  # type: ignore[union-attr]
    assert len(lakeopt.inspect(str(root), view="partitions").rows) == 3  # type: ignore[union-attr]
    for view in ("snapshots", "refs", "manifests"):
        with pytest.raises(Refused, match=f"has no {view}"):
            lakeopt.inspect(str(root), view=view)


def test_orc_and_a_table_without_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in range(2):
        put(tmp_path / "t", f"f{file}.orc", rows(10 * file))
    table = open_table("./t")
    assert [file["file_format"] for file in listed(table)] == ["ORC", "ORC"]
    plan = lakeopt.plan(table, strategy="sort", sort_by=(SortField("B"),))
    [group] = plan.groups
    assert (group.partition, group.record_count) == ("{}", 20)
    place = table.new_data_location(group, f"{plan.plan_id}-0123abcd-00000-00000.parquet")
    assert place == f"{tmp_path}/t/.lakeopt/{plan.plan_id}-0123abcd-00000/t/{plan.plan_id}-0123abcd-00000-00000.orc"
    with pytest.raises(UnknownName, match="folder with data files"):
        open_table(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="not a table name") as unsaid:
        open_table("t/below")
    assert unsaid.value.hint == "a folder is named by a path: ./t/below"


@pytest.mark.parametrize("codec", ["snappy", "gzip"])
def test_a_plan_says_the_codec_that_is_kept(tmp_path: Path, codec: str) -> None:
    (tmp_path / "t" / "k=1").mkdir(parents=True)
    for name in ("a", "b"):
        pq.write_table(rows(0), tmp_path / "t" / "k=1" / f"{name}.parquet", compression=codec)
    plan = lakeopt.plan(str(tmp_path / "t"), strategy="sort", sort_by=(SortField("B"),))
    assert plan.writer["codec"] == codec


def test_bench_of_folders_names_the_second_side_and_reads_no_orc(root: Path, tmp_path: Path) -> None:
    queries = parse_queries("SELECT count(*) FROM t")
    with pytest.raises(UsageError, match="keeps no snapshots") as missing:
        lakeopt.bench(str(root), queries=queries)
    assert "--against" in str(missing.value.hint)
    put(tmp_path / "orc" / "k=1", "f0.orc", rows(0))
    with pytest.raises(Refused, match="no queries are run on ORC"):
        lakeopt.bench(str(root), against=str(tmp_path / "orc"), queries=queries)


def test_a_second_plan_of_the_same_layout_finds_nothing_to_do(root: Path) -> None:
    done = lakeopt.rewrite(str(root), strategy="sort", sort_by=(SortField("B"),))
    assert done.groups_done == 3
    again = lakeopt.plan(str(root), strategy="sort", sort_by=(SortField("B"),))
    assert again.groups == ()
    assert open_table(str(root)).sort_key() == (SortField("B"),)
    put(folder_of(root, None), "f9.parquet", rows(900))
    [group] = lakeopt.plan(str(root), strategy="sort", sort_by=(SortField("B"),)).groups
    assert (group.file_count, group.switch and group.switch.values[1]) == (2, None)


def test_new_files_are_on_the_disk_before_folders_are_exchanged(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, swap = os.fsync, directory_switch.exchange

    def fsync(descriptor: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def exchange(left: str, right: str) -> None:
        held = [str(path) for path in Path(right).iterdir()]
        assert len(held) == 2, "a data file and the record"
        assert {*held, right} <= set(done)
        swap(left, right)
        done.append("exchanged")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(directory_switch, "exchange", exchange)
    lakeopt.rewrite(str(root), sort_by=(SortField("B"),))
    assert done.count("exchanged") == len(VALUES)
