"""Whole rewrites of tables with delete files: what inspect finds is mended by the command that it names."""

from __future__ import annotations

import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hand_rewrite import live_files
from lake import Lake
from plain_reader import entries_of, read_ids, read_rows
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.table import Table
from typer.testing import CliRunner

import lakeopt
from lakeopt.model.plan import SortField
from lakeopt.model.table import Finding

#: Whole rewrites, each a second or two: left out of `make check`.
pytestmark = pytest.mark.slow

SCHEMA = pa.schema([("id", pa.int64()), ("p", pa.int64()), ("name", pa.string())])
ENGINES = ["reference", "duckdb"]


def rows(start: int, count: int, partition: int = 0) -> pa.Table:
    ids = range(start, start + count)
    return pa.table({"id": ids, "p": [partition] * count, "name": [f"n{n}" for n in ids]}, schema=SCHEMA)


def deletes_of(table: Table) -> list[DataFile]:
    return [e.data_file for e in entries_of(table) if e.data_file.content != DataFileContent.DATA]


def findings(table: str = "lake.db.t") -> dict[str, Finding]:
    return {finding.code: finding for finding in lakeopt.inspect(table).findings}


@pytest.mark.parametrize("sort", [[], ["id"]], ids=["bin-pack", "sort"])
@pytest.mark.parametrize("kind", ["position", "equality"])
def test_the_command_of_the_finding_mends_it(lake: Lake, kind: str, sort: list[str]) -> None:
    from lakeopt.cli.app import app

    table = lake.append(lake.create("db.t", SCHEMA, sort=sort), rows(0, 10))
    [file] = live_files(table)
    delete = (
        lake.position_deletes(table, {file.file_path: [2, 5]}, like=file)
        if kind == "position"
        else lake.equality_deletes(table, pa.table({"id": [2, 5]}))
    )
    table = lake.land(table, delete)
    found = findings()["delete-files"]
    assert found.fix is not None
    assert found.evidence["data_files_with_deletes"] == 1
    program, *arguments = shlex.split(found.fix)
    done = CliRunner().invoke(app, [*arguments, "--yes"], catch_exceptions=False)
    assert (program, done.exit_code) == ("lakeopt", 0), done.output
    table = lake.load("db.t")
    assert not {"delete-files", "dangling-deletes"} & findings().keys()
    assert deletes_of(table) == []
    assert read_ids(table) == sorted(set(range(10)) - {2, 5})


@pytest.mark.parametrize("engine", ENGINES)
def test_the_result_counts_the_delete_files_and_a_second_run_finds_nothing(lake: Lake, engine: str) -> None:
    table = lake.create("db.t", SCHEMA, partition=[("p", "identity")])
    for partition in (0, 1):
        table = lake.append(table, rows(partition * 10, 10, partition))
    first, second = sorted(live_files(table), key=lambda file: file.lower_bounds[1])
    table = lake.land(table, lake.position_deletes(table, {first.file_path: [0]}, like=first))
    table = lake.land(table, lake.equality_deletes(table, pa.table({"id": [11, 12]}), like=second))
    result = lakeopt.rewrite("lake.db.t", strategy="bin-pack", engine=engine)
    assert result.removed_delete_files_count == 2
    assert (result.rewritten_data_files_count, result.added_data_files_count) == (2, 2)
    assert result.verification is not None
    assert (result.verification.matched, result.verification.record_count) == (True, 17)
    assert read_ids(lake.load("db.t")) == sorted(set(range(20)) - {0, 11, 12})
    again = lakeopt.rewrite("lake.db.t", strategy="bin-pack", engine=engine)
    assert (again.snapshot_ids, again.removed_delete_files_count) == ((), 0)


def test_dangling_delete_files_are_dropped_by_a_rewrite_of_anything(lake: Lake) -> None:
    table = lake.create("db.t", SCHEMA, partition=[("p", "identity")])
    for partition in (0, 1):
        table = lake.append(table, rows(partition * 10, 10, partition))
    first, _ = sorted(live_files(table), key=lambda file: file.lower_bounds[1])
    table = lake.land(table, lake.position_deletes(table, {first.file_path: [0]}, like=first))
    table.delete("p == 0")
    found = findings()["dangling-deletes"]
    assert (found.fix, found.evidence["delete_files"]) == (None, 1)
    nothing = lakeopt.rewrite("lake.db.t", strategy="bin-pack", engine="reference")
    assert (nothing.snapshot_ids, nothing.removed_delete_files_count) == ((), 0)
    lakeopt.rewrite("lake.db.t", strategy="sort", sort_by=[SortField("id")], engine="reference")
    assert "dangling-deletes" not in findings()
    assert read_ids(lake.load("db.t")) == list(range(10, 20))


@pytest.mark.parametrize("engine", ENGINES)
def test_files_of_an_older_spec_stay_in_it_with_their_deletes_applied(lake: Lake, engine: str) -> None:
    """Unpartitioned, then by ``p``, then by a bucket: partition-scoped and global deletes over all of them."""
    table = lake.append(lake.create("db.t", SCHEMA), rows(0, 10))
    with table.update_spec() as update:
        update.add_identity("p")
    table = lake.append(lake.load("db.t"), rows(10, 10, partition=1))
    with table.update_spec() as update:
        update.remove_field("p")
        update.add_field("id", "bucket[2]", "bucket")
    table = lake.append(lake.load("db.t"), rows(20, 10, partition=1))
    by_spec = {file.spec_id: file for file in live_files(table)}
    table = lake.land(table, lake.equality_deletes(table, pa.table({"id": [1, 11, 21]})))
    table = lake.land(table, lake.position_deletes(table, {by_spec[1].file_path: [5]}, like=by_spec[1]))
    table = lake.append(table, rows(1, 1))  # id 1 anew: younger than its delete
    before = {(file.spec_id, repr(file.partition)) for file in live_files(table)}
    result = lakeopt.rewrite("lake.db.t", strategy="bin-pack", engine=engine)
    table = lake.load("db.t")
    assert result.removed_delete_files_count == 2
    assert {(file.spec_id, repr(file.partition)) for file in live_files(table)} == before
    assert read_ids(table) == sorted(set(range(30)) - {11, 15, 21})
    for number in (1, 12, 22):
        assert len(table.scan(f"id == {number}").to_arrow()) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_migrated_files_without_field_ids_are_rewritten_with_their_deletes(
    lake: Lake, tmp_path: Path, engine: str
) -> None:
    """``add_files`` registers files as they are: columns are found by the name mapping, and written with their ids."""
    table = lake.create("db.t", SCHEMA)
    for start in (0, 10):
        pq.write_table(rows(start, 10), tmp_path / f"{start}.parquet")
    table.add_files([f"file://{tmp_path}/{start}.parquet" for start in (0, 10)])
    with lake.load("db.t").update_schema() as update:
        update.rename_column("name", "title")
    table = lake.load("db.t")
    file = next(f for f in live_files(table) if f.file_path.endswith("/0.parquet"))
    table = lake.land(table, lake.position_deletes(table, {file.file_path: [3]}, like=file))
    table = lake.land(table, lake.equality_deletes(table, pa.table({"title": ["n12"]})))
    result = lakeopt.rewrite("lake.db.t", strategy="bin-pack", engine=engine)
    assert result.removed_delete_files_count == 2
    table = lake.load("db.t")
    assert all(str(table.location()) in file.file_path for file in live_files(table))
    expected = [{"id": n, "p": 0, "title": f"n{n}"} for n in range(20) if n not in (3, 12)]
    assert sorted(read_rows(table), key=lambda row: row["id"]) == expected  # this reader knows columns by id alone
    assert sorted(table.scan().to_arrow().to_pylist(), key=lambda row: row["id"]) == expected
    assert (tmp_path / "0.parquet").exists()


@pytest.mark.parametrize("engine", ENGINES)
def test_one_delete_file_does_not_have_a_sorted_partition_written_anew(lake: Lake, engine: str) -> None:
    """Ten files in order, one of them under deletes: that one alone is rewritten, and all ten are in order after it."""
    table = lake.create("db.t", SCHEMA, sort=["id"])
    for start in range(0, 100, 10):
        order = table.metadata.default_sort_order_id
        table = lake.land(table, lake.data_file(table, rows(start, 10), sort_order_id=order))
    target = max(file.file_size_in_bytes for file in live_files(table))
    choices = {"strategy": "sort", "sort_by": [SortField("id")], "target_file_bytes": target, "engine": engine}
    assert lakeopt.plan("lake.db.t", **choices).groups == ()
    before = {file.file_path for file in live_files(table)}
    fifth = next(file for file in live_files(table) if b"\x32" in file.lower_bounds[1][:1])
    lake.land(table, lake.position_deletes(table, {fifth.file_path: [0, 9]}, like=fifth))
    result = lakeopt.rewrite("lake.db.t", **choices)
    assert (result.rewritten_data_files_count, result.removed_delete_files_count) == (1, 1)
    after = lake.load("db.t")
    assert before - {file.file_path for file in live_files(after)} == {fifth.file_path}
    assert (read_ids(after), deletes_of(after)) == (sorted(set(range(100)) - {50, 59}), [])
    assert lakeopt.plan("lake.db.t", **choices).groups == ()
