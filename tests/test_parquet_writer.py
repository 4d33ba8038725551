"""The rolling writer: sizes on disk, what footers say, what pyarrow reads back, and nothing left behind."""

from __future__ import annotations

import math
import resource
import signal
import time
from collections.abc import Callable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import fs
from scans import field
from values import tables

from lakeopt.errors import DataFileError, NoSpace, UsageError
from lakeopt.model.scan import WriterOptions
from lakeopt.parquet.conform import file_schema
from lakeopt.parquet.sizing import Sizing
from lakeopt.parquet.stitch import EncodedRowGroup
from lakeopt.parquet.thrift import decode, encode
from lakeopt.parquet.writer import RollingWriter

SCHEMA = pa.schema(
    [
        field("id", pa.int64(), 1),
        field("name", pa.large_string(), 2),
        field("x", pa.float64(), 3),
        field("u", pa.uuid(), 4),
    ]
)


def rows(count: int, *, seed: int = 0, first: int = 0) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    numbers = pa.array(rng.integers(0, 1_000_000, count)).cast(pa.string())
    noise = pa.array(rng.standard_normal(count))
    bytes_ = pa.Array.from_buffers(pa.binary(16), count, [None, pa.py_buffer(rng.bytes(16 * count))])
    return pa.RecordBatch.from_arrays(
        [
            pa.array(np.arange(first, first + count)),
            pc.binary_join_element_wise("name", numbers, " ").cast(pa.large_string()),
            noise,
            pa.ExtensionArray.from_storage(pa.uuid(), bytes_),
        ],
        schema=SCHEMA,
    )


def open_writer(root: Path, *, schema: pa.Schema = SCHEMA, **more: Any) -> RollingWriter:
    settings_ = {"target_file_bytes": 1 << 30, "threads": 2} | more
    options = settings_.pop("options", WriterOptions(level=3))
    return RollingWriter(
        schema,
        options,
        locate=lambda n: (root / f"{n:04d}.parquet").as_uri(),
        resolve=fs.FileSystem.from_uri,
        **settings_,
    )


def paths(staged: pa.Table) -> list[str]:
    return [fs.FileSystem.from_uri(uri)[1] for uri in staged["file_path"].to_pylist()]


@pytest.mark.slow
@pytest.mark.parametrize("row_group_rows", [10_000, 1_000_000])
@pytest.mark.parametrize("expected", [0, 400_000])
def test_files_have_their_target_size_on_disk(tmp_path: Path, row_group_rows: int, expected: int) -> None:
    options = WriterOptions(level=3, row_group_rows=row_group_rows)
    with open_writer(tmp_path, target_file_bytes=1_500_000, options=options, expected_rows=expected) as writer:
        for start in range(0, 400_000, 20_000):
            writer.write(rows(20_000, seed=start, first=start))
        staged = writer.finish()
    sizes = staged["file_size_in_bytes"].to_pylist()
    assert [Path(path).stat().st_size for path in paths(staged)] == sizes
    assert len(sizes) > 5
    assert all(0.9 * 1_500_000 <= size <= 1.1 * 1_500_000 for size in sizes[:-1])
    assert sum(staged["record_count"].to_pylist()) == 400_000
    ids = [pq.read_table(path)["id"].to_pylist() for path in paths(staged)]
    assert [n for part in ids for n in part] == list(range(400_000))


def test_the_last_files_share_what_is_a_little_over() -> None:
    sizing = Sizing(target_bytes=1000, expected_rows=2050)
    sizing.encoded(10, 10)
    cuts = []
    while sizing.cut_rows < 2050:
        cuts.append(sizing.cut(2000))
    assert cuts == [(0, 1025), (1, 1025)]


def test_a_footer_says_what_the_table_asked_for(tmp_path: Path) -> None:
    options = WriterOptions(codec="zstd", level=3, row_group_rows=30_000, page_rows=1_000)
    with open_writer(
        tmp_path,
        options=options,
        sort=[("id", True, False), ("x", False, True)],
        footer_metadata={"lakeopt.layout": "é"},
    ) as writer:
        for start in range(0, 100_000, 10_000):
            writer.write(rows(10_000, first=start))
        (path,) = paths(writer.finish())
    footer = pq.read_metadata(path)
    assert footer.num_rows == 100_000
    assert footer.num_row_groups == 4
    assert footer.metadata == {b"lakeopt.layout": "é".encode()}
    place = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        assert group.sorting_columns == (pq.SortingColumn(0, False, False), pq.SortingColumn(2, True, True))
        for position in range(group.num_columns):
            chunk = group.column(position)
            assert chunk.compression == "ZSTD"
            assert chunk.has_column_index
            assert chunk.has_offset_index
            assert chunk.is_stats_set
            assert "BYTE_STREAM_SPLIT" not in chunk.encodings
        ids = group.column(0).statistics
        assert (ids.min, ids.max) == (place, place + group.num_rows - 1)
        place += group.num_rows
    assert [column.metadata[b"PARQUET:field_id"] for column in pq.read_schema(path)] == [b"1", b"2", b"3", b"4"]
    uuid_column = pq.ParquetFile(path).schema.column(3)
    assert (uuid_column.physical_type, uuid_column.logical_type.type) == ("FIXED_LEN_BYTE_ARRAY", "UUID")


def test_offsets_of_the_page_index_point_at_pages(tmp_path: Path) -> None:
    """Each page that a stitched file's index names starts with a page header of the size that the index says."""
    options = WriterOptions(level=3, row_group_rows=5_000, page_rows=1_000)
    with open_writer(tmp_path, options=options) as writer:
        for start in range(0, 20_000, 5_000):
            writer.write(rows(5_000, first=start))
        (path,) = paths(writer.finish())
    data = Path(path).read_bytes()
    footer, _ = decode(data[-8 - int.from_bytes(data[-8:-4], "little") : -8])
    pages = 0
    for number, group in enumerate(footer[4][1].values):
        assert group[7][1] == number
        for chunk in group[1][1].values:
            index, end = decode(data, chunk[4][1])
            assert end - chunk[4][1] == chunk[5][1]
            assert index[1][1].values[0][1][1] == chunk[3][1][9][1]
            for location in index[1][1].values:
                header, start = decode(data, location[1][1])
                assert start - location[1][1] + header[3][1] == location[2][1]
                pages += 1
    assert pages >= 4 * 5 * 4  # a column whose dictionary fills has a page more


DECIMALS = [(1, 0, "INT32"), (9, 2, "INT32"), (10, 2, "INT64"), (18, 3, "INT64"), (19, 3, "FIXED_LEN_BYTE_ARRAY")]


@pytest.mark.parametrize(("precision", "scale", "physical"), [*DECIMALS, (38, 10, "FIXED_LEN_BYTE_ARRAY")])
def test_decimals_have_the_physical_type_of_the_spec(tmp_path: Path, precision: int, scale: int, physical: str) -> None:
    schema = pa.schema([field("d", pa.decimal128(precision, scale), 1)])
    with open_writer(tmp_path, schema=schema) as writer:
        writer.write(pa.record_batch([pa.array([1, None], schema.field(0).type)], schema=schema))
        (path,) = paths(writer.finish())
    column = pq.ParquetFile(path).schema.column(0)
    assert column.physical_type == physical
    if physical == "FIXED_LEN_BYTE_ARRAY":
        assert column.length == math.ceil((math.log2(10**precision) + 1) / 8)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(table=tables(min_rows=1, max_rows=12), cuts=st.lists(st.integers(0, 12), max_size=3), group=st.integers(1, 12))
def test_what_is_written_is_what_is_read(table: pa.Table, cuts: list[int], group: int, tmp_path: Path) -> None:
    (batch,) = table.combine_chunks().to_batches()
    ends = [0, *sorted(cuts), table.num_rows]
    root = tmp_path / str(len(list(tmp_path.iterdir())))
    with open_writer(root, schema=table.schema, options=WriterOptions(row_group_rows=group)) as writer:
        for start, end in pairwise(ends):
            writer.write(batch.slice(start, max(end - start, 0)))
        (path,) = paths(writer.finish())
    found = pq.read_table(path)
    assert found.schema.equals(file_schema(table.schema))
    assert repr(found.to_pylist()) == repr(table.to_pylist())


def test_nan_is_counted_at_every_depth(tmp_path: Path) -> None:
    inner = pa.struct([field("y", pa.float32(), 5)])
    schema = pa.schema(
        [
            field("x", pa.float64(), 1),
            field("l", pa.list_(field("element", inner, 3)), 2),
            field("m", pa.map_(field("key", pa.float64(), 7, False), field("value", pa.float64(), 8)), 6),
        ]
    )
    nan = math.nan
    columns = [
        pa.array([nan, None, 1.0, nan, 9.0], schema.field(0).type),
        pa.array([[{"y": nan}, None], None, [], [{"y": 1.0}, {"y": nan}], [{"y": None}]], schema.field(1).type),
        pa.array([[(1.0, nan)], [(nan, nan), (2.0, 3.0)], None, [], [(4.0, None)]], schema.field(2).type),
    ]
    with open_writer(tmp_path, schema=schema) as writer:
        writer.write(pa.RecordBatch.from_arrays(columns, schema=schema).slice(1))
        staged = writer.finish()
    assert dict(staged["nan_value_counts"][0].as_py()) == {1: 1, 5: 1, 7: 1, 8: 1}


def test_coded_strings_are_written_as_plain_ones(tmp_path: Path) -> None:
    schema = pa.schema([field("s", pa.large_string(), 1)])
    text = ["b", None, "", "a", "b"]
    with open_writer(tmp_path, schema=schema, sort=[("s", True, False)]) as writer:
        for values in (text, ["zz", "a"]):
            writer.write(pa.record_batch([pa.array(values).dictionary_encode()], names=["s"]))
        staged = writer.finish()
    (path,) = paths(staged)
    assert pq.read_table(path)["s"].to_pylist() == [*text, "zz", "a"]
    statistics = pq.read_metadata(path).row_group(0).column(0).statistics
    assert (statistics.min, statistics.max, statistics.null_count) == ("", "zz", 1)
    assert staged["sorted"].to_pylist() == [False]


@pytest.mark.parametrize("broken", [False, True])
def test_sorted_is_said_only_of_files_that_are(tmp_path: Path, broken: bool) -> None:
    options = WriterOptions(level=3, row_group_rows=10_000)
    with open_writer(tmp_path, target_file_bytes=700_000, options=options, sort=[("id", True, True)]) as writer:
        for start in range(0, 100_000, 10_000):
            writer.write(rows(10_000, first=0 if broken and start == 90_000 else start))
        staged = writer.finish()
    said = staged["sorted"].to_pylist()
    assert len(said) > 3
    ends = np.cumsum(staged["record_count"].to_pylist())
    holds_the_break = [start <= 90_000 < end for start, end in pairwise([0, *ends])]
    assert said == [not (broken and holds) for holds in holds_the_break]


def _interrupted(root: Path) -> None:
    with open_writer(root, target_file_bytes=500_000, options=WriterOptions(row_group_rows=5_000)) as writer:
        for _ in range(10):
            writer.write(rows(5_000))
        raise KeyboardInterrupt


def _null_in_required(root: Path) -> None:
    schema = pa.schema([field("id", pa.int64(), 1, nullable=False)])
    loose = pa.record_batch([pa.array([1, None] * 5_000)], names=["id"])
    with open_writer(root, schema=schema, options=WriterOptions(row_group_rows=1_000)) as writer:
        writer.write(loose)
        writer.finish()


def _name_taken(root: Path) -> None:
    with open_writer(root, target_file_bytes=300_000, options=WriterOptions(row_group_rows=5_000)) as writer:
        for _ in range(10):
            writer.write(rows(5_000))
        writer.finish()


@pytest.mark.parametrize(
    ("work", "error"),
    [(_interrupted, KeyboardInterrupt), (_null_in_required, DataFileError), (_name_taken, FileExistsError)],
)
def test_a_failure_leaves_only_what_was_there(tmp_path: Path, work: Callable[[Path], None], error: Any) -> None:
    other = tmp_path / "0001.parquet"
    if work is _name_taken:
        other.write_bytes(b"of somebody else")
    with pytest.raises(error):
        work(tmp_path)
    assert list(tmp_path.iterdir()) == ([other] if work is _name_taken else [])
    assert work is not _name_taken or other.read_bytes() == b"of somebody else"


def _write_all(writer: RollingWriter, batch: pa.RecordBatch) -> pa.Table:
    with writer:
        writer.write(batch)
        return writer.finish()


def test_a_full_disk_is_named_and_cleaned_up(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(NoSpace, match="no space left while writing file:"):
            _write_all(open_writer(tmp_path), rows(20_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


def test_no_rows_make_no_file(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        writer.write(rows(0))
        assert writer.finish().num_rows == 0
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    nested = pa.schema([field("l", pa.list_(field("element", pa.int32(), 2)), 1)])
    with pytest.raises(UsageError, match="cannot be sorted by"):
        open_writer(tmp_path, schema=nested, sort=[("l", True, True)])


@given(st.binary(max_size=40))
def test_damaged_footers_end_in_one_plain_error(data: bytes) -> None:
    try:
        value, _ = decode(data)
    except DataFileError:
        return
    assert decode(encode(value))[0] == value


def test_a_row_group_knows_what_it_adds_to_a_file(tmp_path: Path) -> None:
    with open_writer(tmp_path) as writer:
        writer.write(rows(1_000))
        (path,) = paths(writer.finish())
    data = Path(path).read_bytes()
    part = EncodedRowGroup.parse(pa.py_buffer(data))
    assert part.bytes == len(data) - 8 - int.from_bytes(data[-8:-4], "little") - 4


@given(
    block=st.integers(1, 300),
    limit=st.integers(1, 700),
    expected=st.integers(0, 2_000),
    target=st.integers(50, 5_000),
)
def test_row_groups_end_where_blocks_do(block: int, limit: int, expected: int, target: int) -> None:
    sizing = Sizing(target_bytes=target, expected_rows=expected, block_rows=block)
    sizing.encoded(10, 10)
    total, sizes = expected or 1_500, []
    while sizing.cut_rows < total:
        file, rows = sizing.cut(limit, total - sizing.cut_rows)
        sizing.encoded(rows, rows, file)
        sizes.append(rows)
        assert rows <= limit * 1.04 + 1
    ends = set(accumulate(sizes))
    assert sum(sizes) == total
    assert set(range(block, total, block)) <= ends or block < limit
    for start, end in pairwise([0, *sorted(ends)]):
        assert start // block == (end - 1) // block or (start % block == 0 and (end % block == 0 or end == total))


def test_the_same_rows_make_the_same_files_however_threads_are_scheduled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = WriterOptions(row_group_rows=5_000)
    encode_rows = RollingWriter._encode
    made: list[list[tuple[int, int]]] = []
    for turn in range(3):
        draw = np.random.default_rng(turn)

        def slowly(self: RollingWriter, *given: Any, draw: Any = draw) -> Any:
            time.sleep(draw.random() * 0.004)
            return encode_rows(self, *given)

        monkeypatch.setattr(RollingWriter, "_encode", slowly)
        folder = tmp_path / str(turn)
        folder.mkdir()
        with open_writer(folder, target_file_bytes=300_000, options=options, threads=3) as writer:
            for start in range(0, 100_000, 2_000):
                writer.write(rows(2_000, seed=start // 20_000, first=start))
            staged = writer.finish()
        groups = [pq.read_metadata(path) for path in paths(staged)]
        made.append([(one.num_rows, one.num_row_groups) for one in groups])
    assert made[0] == made[1] == made[2]
    assert len(made[0]) > 3
