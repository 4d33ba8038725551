"""The DuckDB engine's staging step: what other suites do not ask of every engine."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Sequence
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from scans import deletion_vector, field, scan_of, table, write

from lakeopt.engines.duckdb import ENGINE
from lakeopt.engines.duckdb.budget import Budget, batch_rows, check_disk, divide
from lakeopt.engines.duckdb.connection import connect
from lakeopt.engines.duckdb.failures import explain, interruptible
from lakeopt.engines.duckdb.feed import QueryFailed
from lakeopt.errors import DataFileError, NoSpace, Refused, UnknownName, UsageError, WorkFailed
from lakeopt.model.scan import Scan, StageRequest, WriterOptions

ID = field("id", pa.int64(), 1)


def request_of(scan: Scan, root: Path, sort: Sequence[tuple[str, bool, bool]] = (), **more: Any) -> StageRequest:
    given = {
        "target_file_bytes": 1 << 30,
        "memory_bytes": 4 << 30,  # of the whole process, and one that has run many tests holds much
        "threads": 2,
        "temp_dir": str(root / "spill"),
        "writer": WriterOptions(level=1),
    } | more
    return StageRequest(scan, tuple(sort), locate=lambda n: (root / "out" / f"{n:05d}.parquet").as_uri(), **given)


def read_back(staged: pa.Table) -> pa.Table:
    return pa.concat_tables(pq.read_table(fs.FileSystem.from_uri(uri)[1]) for uri in staged["file_path"].to_pylist())


def events(root: Path, rows: int, files: int) -> Scan:
    """A log with names of very different weight, alike in their first 20 characters, and text that never repeats."""
    instant = pa.timestamp("us", "UTC")
    schema = pa.schema([ID, field("name", pa.string(), 2), field("at", instant, 3), field("t", pa.string(), 4)])
    rng = np.random.default_rng(5)
    paths = []
    for number in range(files):
        names = np.where(rng.random(rows) < 0.6, 0, rng.integers(0, 40, rows))
        part = table(
            schema,
            id=np.arange(number * rows, (number + 1) * rows),
            name=[None if n == 7 else f"a name of twenty chars {n}" for n in names],
            at=pa.array(rng.integers(0, 10**15, rows)).cast(pa.timestamp("us", "UTC")),
            t=[rng.bytes(12).hex() for _ in range(rows)],
        )
        paths.append(write(root / "in" / f"{number}.parquet", part))
    return scan_of(schema, paths)


@pytest.mark.slow
def test_a_sort_is_in_order_across_files_and_keeps_every_row(tmp_path: Path) -> None:
    scan = events(tmp_path, 30_000, 4)
    options = WriterOptions(level=1, row_group_rows=6_000)
    sort = [("name", True, True), ("at", False, True)]
    told: list[int] = []
    staged = ENGINE.stage(
        request_of(scan, tmp_path, sort, target_file_bytes=400_000, writer=options, progress=told.append)
    )
    assert staged.num_rows > 6
    assert all(staged["sorted"].to_pylist())
    assert sum(told) == 120_000
    found = read_back(staged)
    keys = list(zip(found["name"].to_pylist(), found["at"].cast(pa.int64()).to_pylist(), strict=True))
    ranked = [(name is not None, name or "", -at) for name, at in keys]
    assert ranked == sorted(ranked)
    assert sorted(found["id"].to_pylist()) == list(range(120_000))
    before = pa.concat_tables(pq.read_table(path) for path in sorted((tmp_path / "in").iterdir()))
    assert found.sort_by("id").equals(before.sort_by("id"))


def test_strings_of_few_values_survive_being_coded(tmp_path: Path) -> None:
    """Values that an ENUM might confuse: empty, quotes, case, the zero character, beyond the basic plane."""
    among = ["", "'", '"', "a", "A", "a\0", "é", "e\u0301", "￿", "🦆", None, "null", "NULL"]
    schema = pa.schema([ID, field("s", pa.string(), 2)])
    texts = [among[n % len(among)] for n in range(5_000)]
    path = write(tmp_path / "a.parquet", table(schema, id=list(range(5_000)), s=texts))
    staged = ENGINE.stage(request_of(scan_of(schema, [path]), tmp_path, [("s", True, False)]))
    found = read_back(staged)
    assert staged["sorted"].to_pylist() == [True]
    assert {n: s for n, s in zip(*found.to_pydict().values(), strict=True)} == dict(enumerate(texts))  # noqa: C416
    known = [s.encode() for s in found["s"].to_pylist() if s is not None]
    assert known == sorted(known)


def test_names_of_files_and_columns_may_be_anything(tmp_path: Path) -> None:
    names = [
        "file_row_number",
        "file_index",
        "filename",
        "arrival",
        "c0",
        "p1",
        "a.b",
        "A.B",
        'q"',
        "s'",
        "🦆",
        "order",
    ]
    schema = pa.schema([field(name, pa.int64(), number) for number, name in enumerate(names, 1)])
    paths = []
    for number, name in enumerate(
        ["x=1/%20 [a]*?.parquet", 'it\'s "q".parquet', "back\\slash 🦆.parquet", "x=1/%20 a.parquet"]
    ):
        columns = [[number * 100 + place] for place in range(len(names))]
        paths.append(write(tmp_path / "in" / name, pa.Table.from_arrays([pa.array(c) for c in columns], schema=schema)))
    scan = scan_of(schema, paths)
    for sort in ((), [("file_row_number", False, True), ("A.B", True, True)]):
        root = tmp_path / str(len(sort))
        found = read_back(ENGINE.stage(request_of(scan, root, sort)))
        assert found.column_names == names
        assert [row["a.b"] for row in found.to_pylist()] == ([306, 206, 106, 6] if sort else [6, 106, 206, 306])
        assert [row["file_index"] for row in found.sort_by("file_index").to_pylist()] == [1, 101, 201, 301]


def test_values_at_the_ends_of_their_types_come_through(tmp_path: Path) -> None:
    schema = pa.schema(
        [
            field("ts", pa.timestamp("us"), 1),
            field("tz", pa.timestamp("us", "UTC"), 2),
            field("d", pa.date32(), 3),
            field("t", pa.time64("us"), 4),
            field("n", pa.decimal128(38, 38), 5),
        ]
    )
    ends = [-(2**63) + 1, -(2**62), -1, 0, 2**62, 2**63 - 1]
    rows = table(
        schema,
        ts=pa.array(ends).cast(pa.timestamp("us")),
        tz=pa.array(ends).cast(pa.timestamp("us", "UTC")),
        d=pa.array([-(2**31), -1, 0, 1, 2**31 - 2, 2**31 - 1], pa.int32()).cast(pa.date32()),
        t=pa.array([0, 1, 86_399_999_999, None, 5, 6]).cast(pa.time64("us")),
        n=[Decimal(digits).scaleb(-38, Context(prec=60)) for digits in (10**38 - 1, 1 - 10**38, 0, 1, -1, 5)],
    )
    path = write(tmp_path / "a.parquet", rows)
    for sort in ((), [("ts", True, True)], [("tz", True, True)], [("d", True, True)]):
        root = tmp_path / f"{len(sort)}{sort[0][0] if sort else ''}"
        staged = ENGINE.stage(request_of(scan_of(schema, [path]), root, sort))
        assert read_back(staged).equals(rows)
        assert staged["sorted"].to_pylist() == [bool(sort)]


def test_old_spellings_of_instants_and_uuids_are_read(tmp_path: Path) -> None:
    """Spark's INT96 is an instant in UTC; writers without the annotation leave a UUID as 16 bytes."""
    instants = pa.array([0, 1_600_000_000_123_456, None]).cast(pa.timestamp("us"))
    held = pa.schema([field("at", pa.timestamp("us"), 1), field("u", pa.binary(16), 2)])
    rows = table(held, at=instants, u=[bytes(range(16)), b"\xff" * 16, None])
    path = write(tmp_path / "a.parquet", rows, use_deprecated_int96_timestamps=True)
    schema = pa.schema([field("at", pa.timestamp("us", "UTC"), 1), field("u", pa.uuid(), 2)])
    found = read_back(ENGINE.stage(request_of(scan_of(schema, [path]), tmp_path)))
    assert found["at"].cast(pa.int64()).to_pylist() == [0, 1_600_000_000_123_456, None]
    assert [u and u.bytes for u in found["u"].to_pylist()] == [bytes(range(16)), b"\xff" * 16, None]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (pa.int32(), 7),
        (pa.float64(), float("nan")),
        (pa.bool_(), True),
        (pa.string(), "it's\0"),
        (pa.decimal128(9, 2), Decimal("1.50")),
        (pa.date32(), dt.date(1969, 12, 31)),
        (pa.time64("us"), dt.time(1, 2, 3, 4)),
        (pa.timestamp("us", "UTC"), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
        (pa.timestamp("us"), dt.datetime(1, 1, 1)),
        (pa.binary(2), b"\0'"),
        (pa.uuid(), bytes(range(16))),
    ],
)
def test_a_column_that_files_lack_has_its_constant_else_its_default_else_null(
    tmp_path: Path, kind: pa.DataType, value: Any
) -> None:
    paths = [write(tmp_path / f"{n}.parquet", table(pa.schema([ID]), id=[n])) for n in range(2)]
    schema = pa.schema([ID, field("c", kind, 2), field("d", kind, 3), field("e", kind, 4)])
    constants = {paths[1].as_uri(): {2: value}}
    scan = scan_of(schema, paths, constants=constants, defaults={3: value})
    found = read_back(ENGINE.stage(request_of(scan, tmp_path))).sort_by("id")
    expected = pa.array([value], kind)
    assert repr(found["c"].to_pylist()) == repr([None, expected[0].as_py()])
    assert repr(found["d"].to_pylist()) == repr([expected[0].as_py()] * 2)
    assert found["e"].null_count == 2


def test_what_would_lose_values_is_refused(tmp_path: Path) -> None:
    stored = [
        (pa.int64(), pa.int32()),
        (pa.float64(), pa.float32()),
        (pa.decimal128(9, 3), pa.decimal128(9, 2)),
        (pa.timestamp("us"), pa.timestamp("us", "UTC")),
        (pa.timestamp("ns"), pa.timestamp("us")),
        (pa.string(), pa.int32()),
        (pa.list_(field("element", pa.int32(), 9)), pa.struct([field("x", pa.int32(), 9)])),
    ]
    for number, (held, wanted) in enumerate(stored):
        path = write(tmp_path / f"{number}.parquet", pa.table([pa.nulls(1, held)], pa.schema([field("a.b", held, 1)])))
        with pytest.raises(Refused, match=r"'a\.b'"):
            ENGINE.stage(request_of(scan_of(pa.schema([field("a.b", wanted, 1)]), [path]), tmp_path))
    assert not (tmp_path / "out").exists()


def test_bytes_of_another_length_than_the_column_s_are_not_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", table(pa.schema([field("f", pa.binary(3), 1)]), f=[b"abc"]))
    with pytest.raises(DataFileError, match="does not fit its column"):
        ENGINE.stage(request_of(scan_of(pa.schema([field("f", pa.binary(2), 1)]), [path]), tmp_path))
    assert not list(tmp_path.glob("out/*"))


def test_what_this_engine_cannot_serve_is_refused(tmp_path: Path) -> None:
    schema = pa.schema([ID, field("tags", pa.list_(field("element", pa.string(), 3)), 2)])
    path = write(tmp_path / "a.parquet", table(schema, id=[1], tags=[["x"]]))
    plain = scan_of(schema, [path])
    vector = scan_of(schema, [path], deletes=[deletion_vector(tmp_path / "d.puffin", path, [0])])
    away = Scan(schema, plain.files, lambda _: (fs._MockFileSystem(), "a.parquet"))
    bare = write(tmp_path / "bare.parquet", pa.table({"id": [1]}))
    required = pa.schema([ID, field("r", pa.int32(), 9, nullable=False)])
    for scan, sort, error, text in (
        (vector, [], Refused, "deletion vectors"),
        (away, [], DataFileError, "missing: .*a.parquet"),
        (scan_of(schema, [bare]), [], Refused, "no field ids"),
        (plain, [("tags", True, True)], UsageError, "'tags' cannot be sorted by"),
        (plain, [("idd", True, True)], UnknownName, "'idd'"),
        (scan_of(required, [path]), [], DataFileError, "required column 'r'"),
    ):
        with pytest.raises(error, match=text):
            ENGINE.stage(request_of(scan, tmp_path, sort))


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    scan = events(tmp_path, 5_000, 3)
    broken = tmp_path / "in" / "1.parquet"
    whole = broken.read_bytes()
    chunk = pq.read_metadata(broken).row_group(0).column(3)
    start = (chunk.dictionary_page_offset or chunk.data_page_offset) + 60
    for damaged in (whole[:start] + b"\xff" * 4_000 + whole[start + 4_000 :], whole[:-20] + b"\0" * 20, b""):
        broken.write_bytes(damaged)
        with pytest.raises(DataFileError, match=r"in/1\.parquet"):
            ENGINE.stage(request_of(scan, tmp_path, [("id", True, True)]))
    broken.unlink()
    with pytest.raises(DataFileError, match=r"missing: .*in/1\.parquet"):
        ENGINE.stage(request_of(scan, tmp_path))
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.slow
@pytest.mark.parametrize("sort", [[], [("id", True, True)]])
def test_damage_deep_in_a_file_is_found_after_rows_were_written(tmp_path: Path, sort: Any) -> None:
    scan = events(tmp_path, 200_000, 2)
    broken = tmp_path / "in" / "1.parquet"
    pq.write_table(pq.read_table(broken), broken, row_group_size=20_000, store_schema=False)
    chunk = pq.read_metadata(broken).row_group(9).column(3)
    with broken.open("r+b") as file:
        file.seek(chunk.data_page_offset + 60)
        file.write(b"\xff" * 4_000)
    told: list[int] = []
    options = WriterOptions(level=1, row_group_rows=10_000)
    with pytest.raises(DataFileError, match=r"in/1\.parquet"):
        ENGINE.stage(request_of(scan, tmp_path, sort, writer=options, progress=told.append))
    assert bool(told) is not bool(sort)
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.slow
def test_memory_that_does_not_suffice_is_said_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = events(tmp_path, 400_000, 2)
    monkeypatch.setattr("lakeopt.engines.duckdb.stage.divide", lambda *_: Budget(12_000_000, 1, 1 << 20))
    monkeypatch.setattr("lakeopt.engines.duckdb.connection.LEAST_MEMORY_BYTES", 12_000_000)
    with pytest.raises(WorkFailed, match=r"could not finish within 4\.3 GB") as caught:
        ENGINE.stage(request_of(scan, tmp_path, [("t", True, True)]))
    assert "--memory" in str(caught.value.hint)
    assert not list(tmp_path.glob("out/*"))


def test_an_interrupt_while_it_sorts_is_heard_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    events(tmp_path, 60_000, 1)
    first = tmp_path / "in" / "0.parquet"
    copies = [shutil.copy(first, tmp_path / f"copy-{number}.parquet") for number in range(40)]
    scan = scan_of(pq.read_schema(first), copies)
    timer = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        ENGINE.stage(request_of(scan, tmp_path, [("t", True, True)]))
    timer.join()
    assert not list(tmp_path.glob("out/*"))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("fetch", "encode"))]


def test_an_interrupt_that_a_query_heard_is_an_interrupt() -> None:
    """DuckDB swallows it while Python waits in ``execute`` and raises an error of its own."""
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with duckdb.connect() as connection, pytest.raises(KeyboardInterrupt), interruptible():
        connection.execute("SELECT sum(sqrt(range)) FROM range(1_000_000_000)")
    timer.join()


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "error"), [(3_000_000, NoSpace)])
def test_a_full_disk_while_writing_is_named(tmp_path: Path, limit: int, error: type[Exception]) -> None:
    """In a process of its own, whose files may not grow beyond a limit."""
    scan = events(tmp_path, 100_000, 2)
    script = f"""
        import resource, signal, sys
        sys.path[:0] = {[str(Path(__file__).parent)]!r}
        from pathlib import Path
        from scans import scan_of
        from test_duckdb_engine import ENGINE, request_of
        import pyarrow.parquet as pq
        root = Path({str(tmp_path)!r})
        paths = sorted((root / "in").iterdir())
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            ENGINE.stage(request_of(scan_of(pq.read_schema(paths[0]), paths), root, [("t", True, True)]))
        except Exception as error:
            print(type(error).__name__)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == error.__name__, done.stderr
    assert scan.files.num_rows == 2
    assert not list(tmp_path.glob("out/*"))


def test_too_little_disk_or_memory_is_said_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(NoSpace, match=r"of disk is needed under .*, .* is free"):
        check_disk(str(tmp_path / "not" / "yet"), 1 << 60, str(tmp_path), 0)
    with pytest.raises(UsageError, match="too little to rewrite") as caught:
        divide(100_000_000, 2, 128 << 20, 1 << 40, held_bytes=250_000_000)
    assert "--memory" in str(caught.value.hint)
    assert batch_rows(10**10, 100 * 1_000_000, 1_000_000) == 122_880
    assert batch_rows(10**10, 10**10, 1_000) == 2_048


def test_shares_of_memory_fit_into_it() -> None:
    for memory in (2_000_000_000, 5_000_000_000):
        budget = divide(memory, 2, 128 << 20, 1 << 40, held_bytes=250_000_000)
        assert memory / 5 < budget.duckdb_bytes < memory - 3 * budget.row_group_bytes


@pytest.mark.parametrize(
    ("raised", "said", "hint"),
    [
        (QueryFailed("Out of Memory Error: failed to pin block"), WorkFailed, "raise --memory"),
        (duckdb.OutOfMemoryException("could not allocate block of size 256.0 KiB"), WorkFailed, "raise --memory"),
        (duckdb.OutOfMemoryException('failed to offload data block ... "max_temp_directory_size"'), NoSpace, "free"),
        (duckdb.IOException("Could not write file: No space left on device"), NoSpace, "free"),
        (duckdb.InvalidInputException("odd"), WorkFailed, None),
    ],
)
def test_what_duckdb_says_becomes_one_plain_line(raised: Exception, said: type[Exception], hint: str | None) -> None:
    error = explain(raised, {}, temp_dir="/spill", memory_bytes=10**9)
    assert type(error) is said
    assert hint in error.hint if hint and error.hint else hint is None
    assert "\n" not in str(error)


def test_discard_deletes_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", table(pa.schema([ID]), id=[1]))
    scan = scan_of(pa.schema([ID]), [path])
    staged = ENGINE.stage(request_of(scan, tmp_path))
    assert ENGINE.discard(staged, scan.resolve) == 1
    assert ENGINE.discard(staged, scan.resolve) == 0
    assert path.exists()


def test_how_far_apart_reads_are_joined_can_be_fixed(tmp_path: Path) -> None:
    """Left to itself DuckDB decides by how long reads take: what is counted would not be the same twice."""
    limits = {"memory_bytes": 10**9, "threads": 1, "temp_dir": str(tmp_path), "keep_order": True}
    asked = "SELECT current_setting('parquet_prefetch_column_gap')"
    with connect(**limits, prefetch_gap_bytes=4096) as connection:
        assert connection.sql(asked).fetchall() == [(4096,)]
        with pytest.raises(duckdb.Error):
            connection.execute("SET parquet_prefetch_column_gap = 0")
