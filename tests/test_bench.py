from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from lake import Lake
from pyiceberg.table import Table
from servers.places import lake_at

from lakeopt.cli.app import main
from lakeopt.config import load_settings
from lakeopt.engines._counting_reads import CountingFileSystem, Read, counted
from lakeopt.errors import DataFileError, UnknownName, UsageError
from lakeopt.model.plan import SortField
from lakeopt.model.result import BenchReport, QueryComparison
from lakeopt.model.serde import from_json, to_json
from lakeopt.model.workload import Workload
from lakeopt.tables.open import open_table
from lakeopt.workflows.apply import rewrite
from lakeopt.workflows.bench import bench, failures
from lakeopt.workflows.last_rewrite import last_rewrite
from lakeopt.workflows.queries import parse_queries

ROWS, KEYS = 60_000, 500
QUERIES = parse_queries(
    """
    -- name: one key
    SELECT count(*) AS n, sum(amount) AS amount FROM lake.shop.sales WHERE "key" = 'key-007';
    -- name: all keys
    SELECT "key", sum(amount) AS amount FROM shop.sales GROUP BY ALL ORDER BY "key";
    -- name: broken
    SELECT nope FROM t;
    """
)


def sales(seed: int = 1) -> pa.Table:
    import numpy as np

    random = np.random.default_rng(seed)
    return pa.table(
        {
            "key": [f"key-{key:03d}" for key in random.integers(0, KEYS, ROWS)],
            "amount": random.normal(100, 30, ROWS),
            "note": [f"{number:x}" for number in random.integers(0, 2**62, ROWS)],
        }
    )


def land(lake: Lake, rows: pa.Table, *, name: str = "shop.sales", files: int = 6) -> Table:
    table = lake.create(name, rows.schema, properties={"write.parquet.row-group-limit": "5000"})
    for number in range(files):
        start = rows.num_rows * number // files
        table = lake.append(table, rows.slice(start, rows.num_rows * (number + 1) // files - start))
    return table


def replace(table: Table, rows: pa.Table) -> Table:
    """The whole table written anew by pyiceberg: a second snapshot without any help of lakeopt."""
    table.overwrite(rows)
    return table.refresh()


def head(table: Table) -> str:
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return str(snapshot.snapshot_id)


def by_name(report: BenchReport) -> dict[str, QueryComparison]:
    return {query.name: query for query in report.queries}


@pytest.fixture
def two_snapshots(lake: Lake) -> tuple[str, str]:
    """Ids of the table in arrival order, in six files, and sorted by key in one."""
    table = land(lake, sales())
    before = head(table)
    return before, head(replace(table, sales().sort_by("key")))


@pytest.mark.slow
def test_a_sorted_snapshot_answers_the_same_and_reads_less(two_snapshots: tuple[str, str]) -> None:
    before, after = two_snapshots
    report = bench("lake.shop.sales", queries=QUERIES, before=before, after=after, runs=2, threads=2)
    one, every = by_name(report)["one key"], by_name(report)["all keys"]
    assert one.answers_match is True
    assert every.answers_match is True
    assert one.before.files_read == 6
    assert one.after.files_read == 1
    assert one.before.row_groups_read == 12
    assert one.after.row_groups_read is not None
    assert one.after.row_groups_read <= 2
    assert one.before.bytes_scanned is not None
    assert one.after.bytes_scanned is not None
    assert one.after.bytes_scanned < one.before.bytes_scanned / 2
    assert (one.before.rows, every.after.rows) == (1, KEYS)
    times = [
        measured for query in (one, every) for side in (query.before, query.after) for measured in (side.cold, side.hot)
    ]
    assert all(seconds is not None and seconds > 0 for seconds in times)
    assert report.storage.before.files == 6
    assert report.storage.before.record_count == report.storage.after.record_count == ROWS
    assert report.hot_speedup is not None


@pytest.mark.slow
def test_a_query_that_fails_has_its_error_and_the_others_their_figures(two_snapshots: tuple[str, str]) -> None:
    before, after = two_snapshots
    report = bench("lake.shop.sales", queries=QUERIES, before=before, after=after, runs=1, threads=1)
    broken = by_name(report)["broken"]
    assert broken.answers_match is None
    assert broken.before.error is not None
    assert "nope" in broken.before.error
    assert (broken.before.hot, broken.before.cold, broken.before.bytes_scanned) == (None, None, None)
    assert by_name(report)["one key"].answers_match is True
    assert from_json(BenchReport, to_json(report)) == report


def test_conditions_are_those_of_this_machine(two_snapshots: tuple[str, str]) -> None:
    before, after = two_snapshots
    only = parse_queries("SELECT count(*) FROM t")
    report = bench("lake.shop.sales", queries=only, before=before, after=after, runs=1, threads=1, memory_bytes=10**9)
    assert report.machine["cores"] == len(os.sched_getaffinity(0))
    assert report.machine["memory_bytes"] > 10**8
    assert {"duckdb", "pyarrow", "pyiceberg", "python", "lakeopt"} <= set(report.versions)
    assert (report.settings["runs"], report.settings["threads"], report.settings["memory_bytes"]) == (1, 1, 10**9)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["value", "missing", "extra"])
def test_answers_that_differ_are_told(lake: Lake, change: str) -> None:
    rows = sales()
    table = land(lake, rows, files=1)
    before = head(table)
    other = {
        "value": rows.set_column(
            1, "amount", pa.concat_arrays([pa.array([-1.0]), rows["amount"].combine_chunks()[1:]])
        ),
        "missing": rows.slice(1),
        "extra": pa.concat_tables([rows, rows.slice(0, 1)]),
    }[change]
    replace(table, other)
    every = Workload(QUERIES.source, QUERIES.queries[1:2])
    report = bench("lake.shop.sales", queries=every, before=before, runs=1, threads=2)
    assert report.queries[0].answers_match is False
    assert failures(report) == ("query 'all keys' has different answers on duckdb",)
    assert report.hot_speedup is None


@pytest.mark.slow
def test_two_tables_with_renamed_columns_and_nested_fields(lake: Lake) -> None:
    rows = pa.table({"a": [1, 2, 3], "s": [{"x": 1}, {"x": 2}, None]})
    left, right = land(lake, rows, name="shop.left", files=1), land(lake, rows, name="shop.right", files=3)
    for table in (left, right):
        with table.update_schema() as update:
            update.rename_column("a", "b")
            update.rename_column("s.x", "y")
    queries = parse_queries("SELECT b, s.y FROM t WHERE b > 1; SELECT * FROM shop.left; SELECT s FROM shop.right")
    report = bench("lake.shop.left", queries=queries, against="lake.shop.right", runs=1, threads=1)
    assert [query.answers_match for query in report.queries] == [True, True, True]
    assert [query.before.error for query in report.queries] == [None, None, None]
    assert report.queries[0].after.files_read == 2
    assert report.queries[0].before.rows == 2


@pytest.mark.slow
def test_files_that_bounds_rule_out_are_not_even_opened(lake: Lake) -> None:
    table = land(lake, sales().sort_by("key"), files=6)
    queries = parse_queries("SELECT * FROM t WHERE key = 'key-007'; SELECT count(*) FROM t WHERE key = 'none'")
    one, none = bench("lake.shop.sales", queries=queries, before=head(table), runs=1, threads=1).queries
    assert (one.before.files_read, one.answers_match) == (1, True)
    assert (none.before.files_read, none.before.bytes_scanned, none.before.rows) == (0, 0, 1)


def test_what_cannot_be_benched_is_refused(lake: Lake, tmp_path: Path) -> None:
    table = land(lake, sales(), files=1)
    with pytest.raises(UsageError, match="lakeopt has not rewritten"):
        bench("lake.shop.sales", queries=QUERIES, runs=1)
    with pytest.raises(UnknownName, match="mian"):
        bench("lake.shop.sales", queries=QUERIES, before="mian", runs=1)
    with pytest.raises(UnknownName, match="'u'"):
        bench("lake.shop.sales", queries=parse_queries("SELECT 1 FROM u"), before="main", runs=1)
    with pytest.raises(UnknownName, match="duckbd"):
        bench("lake.shop.sales", queries=QUERIES, before="main", engines=["duckbd"], runs=1)
    with pytest.raises(UsageError, match="cannot be read"):
        bench("lake.shop.sales", queries=tmp_path / "absent.sql", before="main", runs=1)
    data = next(iter(table.scan().plan_files())).file.file_path
    Path(data.removeprefix("file://")).unlink()
    with pytest.raises(DataFileError, match="missing"):
        bench("lake.shop.sales", queries=QUERIES, before="main", runs=1)


@pytest.mark.slow
def test_the_default_sides_are_those_of_the_last_rewrite(lake: Lake) -> None:
    landed = head(land(lake, sales()))
    result = rewrite("lake.shop.sales", strategy="sort", sort_by=[SortField("key")])
    one = Workload(QUERIES.source, QUERIES.queries[:1])
    report = bench("lake.shop.sales", queries=one, runs=1, threads=1)
    assert report.storage.before.label == landed
    assert (report.storage.before.bytes, report.storage.after.bytes) == (result.bytes_before, result.bytes_after)
    assert report.rewrite_seconds == result.elapsed_seconds
    assert report.queries[0].answers_match is True
    table = lake.load("shop.sales")
    table.append(sales().slice(0, 10))
    found = last_rewrite(open_table("lake.shop.sales"), int(head(table.refresh())), load_settings())
    assert str(found.before) == landed
    table.maintenance.expire_snapshots().by_id(int(landed)).commit()
    with pytest.raises(UsageError, match="has expired"):
        bench("lake.shop.sales", queries=one, runs=1)


def with_deletes(lake: Lake, name: str = "shop.sales") -> tuple[Table, pa.Table]:
    """A sorted table of six files with deletes of both kinds, some of nothing, and the rows that are left."""
    rows = sales().sort_by("key")
    table = land(lake, rows, name=name)
    data = sorted(lake.files(table), key=lambda file: file.lower_bounds[1])
    gone = {data[0].file_path: [0, 9_999], data[3].file_path: list(range(4_000, 9_000)), data[5].file_path: [10_000]}
    lake.land(table, lake.position_deletes(table, gone, like=data[0]))
    keys = pa.table({"key": ["key-007", "key-499", "nobody"]})
    table = lake.land(table, lake.equality_deletes(table, keys, like=data[0]))
    places = {0, 9_999, *range(34_000, 39_000)}
    left = rows.take([place for place in range(ROWS) if place not in places])
    return table, left.filter(pc.invert(pc.is_in(left["key"], keys["key"].combine_chunks())))


@pytest.mark.slow
@pytest.mark.parametrize("store", ["local", pytest.param("s3", marks=pytest.mark.service("s3"))])
def test_rows_that_were_deleted_are_in_no_answer(
    request: pytest.FixtureRequest, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = lake_at(request, tmp_path / "there", "sqlite", store)
    for variable, value in lake.environment.items():
        monkeypatch.setenv(variable, value)
    _, left = with_deletes(lake)
    rewrite("lake.shop.sales", strategy="sort", sort_by=[SortField("note")])
    queries = parse_queries(
        """
        SELECT * FROM t ORDER BY ALL;
        SELECT key, note FROM shop.sales WHERE key BETWEEN 'key-330' AND 'key-340';
        SELECT count(*) FROM t WHERE key = 'key-007'
        """
    )
    report = bench("lake.shop.sales", queries=queries, runs=1, threads=2)
    assert [query.before.error for query in report.queries] == [None] * 3
    assert [query.answers_match for query in report.queries] == [True] * 3
    some = pc.sum(pc.and_(pc.greater_equal(left["key"], "key-330"), pc.less_equal(left["key"], "key-340"))).as_py()
    assert [query.before.rows for query in report.queries] == [left.num_rows, some, 1]
    assert (report.storage.before.delete_files, report.storage.after.delete_files) == (2, 0)
    assert report.storage.before.record_count == ROWS
    assert failures(report) == ()
    assert report.queries[2].before.files_read == 3, "the data file that may hold the key, and both delete files"


@pytest.mark.slow
def test_a_table_may_be_called_what_finding_deletes_calls_its_own(lake: Lake) -> None:
    with_deletes(lake, "shop.data_files")
    queries = parse_queries("SELECT count(*) AS n FROM data_files")
    report = bench("lake.shop.data_files", queries=queries, before="main", runs=2, threads=1)
    assert (report.queries[0].before.error, report.queries[0].answers_match) == (None, True)


def test_the_program_ends_with_1_where_a_query_failed(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = head(land(lake, sales().slice(0, 100), files=1))
    file = tmp_path / "q.sql"
    file.write_text("SELECT nope FROM t; SELECT nope + 1 FROM t")
    assert main(["bench", "lake.shop.sales", "--queries", str(file), "--before", before, "--json"]) == 1
    said = capsys.readouterr()
    assert [query.answers_match for query in from_json(BenchReport, said.out).queries] == [None, None]
    error, hint = said.err.splitlines()
    assert error.startswith("error: query 'query-1' failed on duckdb (before): ")
    assert error.endswith("; and 1 more of 2")
    assert hint == "hint: the report says what became of each query"


@pytest.mark.slow
def test_a_query_that_takes_its_process_down_takes_nothing_else(lake: Lake) -> None:
    land(lake, sales(), files=1)
    hungry = parse_queries("SELECT list(a.note || b.note) FROM t AS a, t AS b; SELECT count(*) FROM t")
    report = bench("lake.shop.sales", queries=hungry, before="main", runs=1, threads=1, memory_bytes=10**8)
    assert report.queries[0].before.error is not None
    assert report.queries[1].answers_match is True


def test_reads_are_mapped_to_row_groups_by_the_footer(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = str(tmp_path / "x.parquet")
    pq.write_table(sales(), path, row_group_size=10_000)
    footer, size = pq.read_metadata(path), os.path.getsize(path)
    third = footer.row_group(2).column(0)
    start = third.dictionary_page_offset or third.data_page_offset
    scanned = CountingFileSystem().scanned
    assert scanned([Read(path, start, 1)]).row_groups == 1
    assert scanned([Read(path, start - 1, 2)]).row_groups == 2
    assert scanned([Read(path, 4, size - 5)]).row_groups == footer.num_row_groups == 6
    tail = scanned([Read(path, size - 100, 100), Read(path, start, 10), Read(path, start, 10)])
    assert (tail.bytes, tail.footer_bytes, tail.row_groups, tail.files) == (120, 100, 1, 1)


def test_a_counted_handle_keeps_one_position_a_thread(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "x"
    path.write_bytes(bytes(range(256)) * 64)
    filesystem = CountingFileSystem()
    handle = filesystem.open(counted(str(path)))

    def piece(number: int) -> bool:
        handle.seek(number)
        return all(handle.read(1) == bytes([(number + step) % 256]) for step in range(200))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(piece, range(64)))
    assert len(filesystem.reads) == 64 * 200
    handle.close()
