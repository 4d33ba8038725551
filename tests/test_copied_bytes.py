"""Row groups of many writers, copied byte for byte: what footers say survives, every reader agrees, faults are told."""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from foreign_files import READERS, ROWS, SCHEMA, WRITERS, by_duckdb, by_pyarrow, part
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import fs
from pyiceberg.schema import Schema
from pyiceberg.types import DoubleType, NestedField, StringType
from scans import field, scan_of
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.Thrift import TType
from thrift.transport.TTransport import TMemoryBuffer

from lakeopt.errors import DataFileError, LakeoptError, ProofFailed
from lakeopt.model.scan import Scan, StageRequest, WriterOptions
from lakeopt.parquet.copied_bytes import require_copied
from lakeopt.parquet.copy_row_groups import copy_row_groups
from lakeopt.parquet.nan_values import NanValues
from lakeopt.parquet.pages import PageWalk
from lakeopt.parquet.raw_footer import RawFooter, bloom_range, chunk_range, chunks, row_groups
from lakeopt.parquet.sizing import SPREAD, packed
from lakeopt.parquet.stitch import CHUNK_META, COLUMN_INDEX_AT, OFFSET_INDEX_AT
from lakeopt.parquet.thrift import BINARY, DOUBLE, I64, LIST, STRUCT, TRUE, Items, decode, encode
from lakeopt.tables.iceberg.commits.data_file import file_statistics
from lakeopt.workflows.verify import staged_scan

#: Whole commands on tables of their own, half a second each: left out of `make check`.
pytestmark = pytest.mark.slow


def request_of(scan: Scan, folder: Path, *, files: float = 2, **more: Any) -> StageRequest:
    target = int(sum(scan.files["file_size_in_bytes"].to_pylist()) / files)
    return StageRequest(
        scan=scan,
        sort=(),
        writer=WriterOptions(),
        target_file_bytes=target,
        locate=lambda number: (folder / f"new-{number}.parquet").as_uri(),
        memory_bytes=1 << 30,
        threads=2,
        temp_dir=str(folder),
        **more,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Scan]:
    """A scan of four files of a writer, made once."""
    made: dict[str, Scan] = {}

    def scan(writer: str) -> Scan:
        if writer not in made:
            folder = tmp_path_factory.mktemp(writer)
            paths = [folder / f"{number}.parquet" for number in range(4)]
            for number, path in enumerate(paths):
                WRITERS[writer](part(number), path)
            made[writer] = scan_of(SCHEMA, paths)
        return made[writer]

    return scan


def paths_of(files: pa.Table) -> list[Path]:
    return [Path(location.removeprefix("file://")) for location in files["file_path"].to_pylist()]


def footer_of(path: Path) -> RawFooter:
    with pa.OSFile(str(path)) as source:
        return RawFooter.read(source)


def plain(table: pa.Table) -> list[list[Any]]:
    return [table[name].to_pylist() for name in SCHEMA.names]


@pytest.mark.parametrize("writer", WRITERS)
def test_every_reader_reads_the_same_rows(writer: str, written: Callable[[str], Scan], tmp_path: Path) -> None:
    scan = written(writer)
    staged = copy_row_groups(request_of(scan, tmp_path))
    assert staged["record_count"].to_pylist() == [2 * ROWS, 2 * ROWS]
    assert staged["file_size_in_bytes"].to_pylist() == [path.stat().st_size for path in paths_of(staged)]
    assert require_copied(scan, staged_scan(scan, staged), threads=2) == 4 * ROWS
    wanted = plain(pa.concat_tables(part(number) for number in range(4)))
    for read in READERS:
        assert plain(read(paths_of(staged))) == wanted, read.__name__


@pytest.mark.parametrize("writer", WRITERS)
def test_footers_keep_every_field(writer: str, written: Callable[[str], Scan], tmp_path: Path) -> None:
    """As Apache Thrift's own reader finds them: places move, counts and numbers of row groups change, no more."""
    scan = written(writer)
    request = request_of(scan, tmp_path, files=1, footer_metadata={"lakeopt.version": "0"})
    (copy,) = paths_of(copy_row_groups(request))
    sources = [footer_of(path) for path in paths_of(scan.files)]
    new, first = tree(footer_of(copy).data), tree(sources[0].data)
    assert new[3] == 4 * ROWS
    assert {key: value for key, value in new.items() if key not in (3, 4, 5)} == {
        key: value for key, value in first.items() if key not in (3, 4, 5)
    }
    assert [pair for pair in new.get(5, []) if not pair[1].startswith(b"lakeopt.")] == first.get(5, [])
    old_groups = [group for source in sources for group in tree(source.data)[4]]
    assert len(new[4]) == len(old_groups)
    for number, (group, old) in enumerate(zip(new[4], old_groups, strict=True)):
        assert group.pop(7) == number
        old.pop(7, None)
        assert without_places(group) == without_places(old)


def tree(data: bytes) -> dict[int, Any]:
    """A structure as Apache Thrift's compact protocol reads it, without knowing any of its fields."""
    return _value(TCompactProtocol(TMemoryBuffer(data)), TType.STRUCT)


def _value(protocol: TCompactProtocol, kind: int) -> Any:
    if kind == TType.STRUCT:
        fields = {}
        protocol.readStructBegin()
        while (head := protocol.readFieldBegin())[1] != TType.STOP:
            fields[head[2]] = _value(protocol, head[1])
            protocol.readFieldEnd()
        protocol.readStructEnd()
        return fields
    if kind == TType.LIST:
        inner, size = protocol.readListBegin()
        values = [_value(protocol, inner) for _ in range(size)]
        protocol.readListEnd()
        return values
    read = {
        TType.BOOL: protocol.readBool,
        TType.BYTE: protocol.readByte,
        TType.I16: protocol.readI16,
        TType.I32: protocol.readI32,
        TType.I64: protocol.readI64,
        TType.DOUBLE: protocol.readDouble,
        TType.STRING: protocol.readBinary,
    }
    return read[kind]()


def without_places(group: dict[int, Any]) -> dict[int, Any]:
    """A row group without the offsets in it, and without the length of an offset index, which has offsets in it."""
    plain = {**group, 5: 5 in group, 1: []}
    for chunk in group[1]:
        meta = {key: 0 if key in (9, 10, 11, 14) and value else value for key, value in chunk[3].items()}
        plain[1].append({key: 0 if key in (2, 4, 5, 6) else value for key, value in chunk.items()} | {3: meta})
    return plain


@settings(max_examples=50, deadline=None)
@given(
    st.recursive(
        st.one_of(
            st.integers(-(2**63), 2**63 - 1).map(lambda value: (I64, value)),
            st.binary(max_size=20).map(lambda value: (BINARY, value)),
            st.booleans().map(lambda value: (TRUE if value else TRUE + 1, value)),
            st.floats(allow_nan=False).map(lambda value: (DOUBLE, value)),
            st.lists(st.integers(-(2**31), 2**31), max_size=40).map(lambda values: (LIST, Items(I64, values))),
        ),
        lambda inner: st.dictionaries(st.integers(1, 400), inner, max_size=6).map(lambda fields: (STRUCT, fields)),
    )
)
def test_fields_that_nobody_knows_survive(value: tuple[int, Any]) -> None:
    """Any fields at all, ours and Apache Thrift's reader agree on them, and what is written back is the same."""
    data = encode({1: value, 32_000: (I64, 7)})
    fields, end = decode(data)
    assert end == len(data)
    assert encode(fields) == data
    assert tree(data) == simple({1: value, 32_000: (I64, 7)})


def simple(fields: dict[int, Any]) -> dict[int, Any]:
    def of(value: Any) -> Any:
        return simple(value) if isinstance(value, dict) else value.values if isinstance(value, Items) else value

    return {number: of(value) for number, (_, value) in fields.items()}


@settings(deadline=None)
@given(st.lists(st.integers(1, 333), min_size=1, max_size=60))
def test_small_parts_fill_files(sizes: list[int]) -> None:
    cuts = packed(sizes, 1000)
    totals = [sum(sizes[start:stop]) for start, stop in cuts]
    assert [place for start, stop in cuts for place in range(start, stop)] == list(range(len(sizes)))
    assert all(total >= 745 for total in totals[:-1])
    assert all(total <= 1000 * (1 + SPREAD) for total in totals)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.booleans(), st.integers(1, 1000)), max_size=12), st.data())
def test_pages_are_found_however_the_bytes_come(pages: list[tuple[int, bool, int]], data: st.DataObject) -> None:
    body, wanted = b"", []
    for size, is_data, values in pages:
        header = {1: (5, 0 if is_data else 2), 3: (5, size), 5 if is_data else 7: (STRUCT, {1: (5, values)})}
        wanted.append((100 + len(body), is_data, values))
        body += encode(header) + bytes(size)
    walk = PageWalk(100)
    at = 0
    while at < len(body):
        size = data.draw(st.integers(1, len(body) - at))
        walk.feed(body[at : at + size])
        at += size
    assert [(page.offset, page.is_data, page.values) for page in walk.finish(100 + len(body))] == wanted
    with pytest.raises(DataFileError):
        walk.finish(101 + len(body))


def first_chunk(path: Path) -> dict[int, Any]:
    return chunks(row_groups(footer_of(path).fields())[0])[1]


def spoil(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


PLACES: dict[str, Callable[[Path], int]] = {
    "the bytes of column name": lambda path: chunk_range(first_chunk(path))[1] - 1,
    "the column index": lambda path: first_chunk(path)[COLUMN_INDEX_AT][1] + 3,
    "the offset index": lambda path: first_chunk(path)[OFFSET_INDEX_AT][1] + 3,
    "the bloom filter": lambda path: _bloom(path) + 40,
}


def _bloom(path: Path) -> int:
    with pa.OSFile(str(path)) as source:
        place = bloom_range(first_chunk(path), source)
    assert place is not None
    return place[0]


@pytest.mark.parametrize("what", PLACES)
def test_the_proof_finds_one_wrong_bit(what: str, written: Callable[[str], Scan], tmp_path: Path) -> None:
    scan = written("datafusion")
    staged = copy_row_groups(request_of(scan, tmp_path))
    path = paths_of(staged)[1]
    spoil(path, PLACES[what](path))
    with pytest.raises((ProofFailed, DataFileError), match=what if "offset" not in what else "."):
        require_copied(scan, staged_scan(scan, staged), threads=2)


def test_the_proof_finds_a_footer_that_says_something_else(written: Callable[[str], Scan], tmp_path: Path) -> None:
    """Statistics of one column, an offset, and a row group too many."""
    scan = written("pyarrow")
    staged = copy_row_groups(request_of(scan, tmp_path))
    path = paths_of(staged)[0]
    good = path.read_bytes()
    footer = footer_of(path)

    def proof_of(change: Callable[[dict[int, Any]], None]) -> None:
        fields = footer.fields()
        change(fields)
        data = encode(fields)
        path.write_bytes(good[: -8 - len(footer.data)] + data + len(data).to_bytes(4, "little") + b"PAR1")
        require_copied(scan, staged_scan(scan, staged), threads=1)

    def meta(fields: dict[int, Any]) -> dict[int, Any]:
        return chunks(row_groups(fields)[1])[0][CHUNK_META][1]

    proof_of(lambda fields: None)
    with pytest.raises(ProofFailed, match="metadata of column id"):
        proof_of(lambda fields: meta(fields)[12][1].update({3: (I64, 5)}))
    with pytest.raises(LakeoptError):
        proof_of(lambda fields: meta(fields).update({9: (I64, meta(fields)[9][1] + 1)}))
    with pytest.raises(ProofFailed, match="created_by"):
        proof_of(lambda fields: fields.update({6: (BINARY, b"somebody else")}))
    with pytest.raises(LakeoptError):
        proof_of(lambda fields: fields[4][1].values.append(row_groups(fields)[0]))


def test_a_store_without_range_copies_gets_the_same_bytes(written: Callable[[str], Scan], tmp_path: Path) -> None:
    """Streamed through this process, as for object stores."""
    scan = written("duckdb")
    remote = fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem("file")))

    def resolve(location: str) -> tuple[fs.FileSystem, str]:
        return remote, location.removeprefix("file://")

    local = copy_row_groups(request_of(scan, tmp_path / "local"))
    away = Scan(scan.schema, scan.files, resolve)
    (tmp_path / "away").mkdir()
    streamed = copy_row_groups(request_of(away, tmp_path / "away"))
    for one, other in zip(paths_of(local), paths_of(streamed), strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_files_that_changed_since_the_plan_are_not_copied(written: Callable[[str], Scan], tmp_path: Path) -> None:
    """Cut short, replaced by other rows, of another writer, or gone: told by name, and nothing is left behind."""
    scan = written("pyarrow")
    paths = []
    for number, source in enumerate(paths_of(scan.files)):
        paths.append(tmp_path / f"{number}.parquet")
        paths[-1].write_bytes(source.read_bytes())
    scan = scan_of(SCHEMA, paths)
    good = paths[2].read_bytes()

    def cut_short() -> None:
        paths[2].write_bytes(good[:-100])

    def other_rows() -> None:
        by_pyarrow(part(2).slice(1), paths[2])

    def other_writer() -> None:
        by_duckdb(part(2), paths[2])

    def renamed() -> None:
        by_pyarrow(part(2).rename_columns(["id", "label", "x"]), paths[2])

    for change in (cut_short, other_rows, other_writer, renamed, paths[2].unlink):
        change()
        with pytest.raises(DataFileError, match=r"2\.parquet"):
            copy_row_groups(request_of(scan, tmp_path / "new"))
        assert list((tmp_path / "new").glob("*.parquet")) == []
        paths[2].write_bytes(good)


def test_an_interrupt_removes_what_was_copied(written: Callable[[str], Scan], tmp_path: Path) -> None:
    def progress(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_row_groups(request_of(written("pyarrow"), tmp_path / "new", progress=progress))
    assert list((tmp_path / "new").glob("*.parquet")) == []


def test_nan_counts_come_from_manifests_or_from_the_floats_themselves(tmp_path: Path) -> None:
    """Of a file that was split, a manifest's count says nothing of either part, unless it is none."""
    paths = []
    for number in range(2):
        values = np.zeros(ROWS)
        values[: 3 + number] = np.nan
        rows = part(number).set_column(2, SCHEMA.field("x"), pa.array(values))
        paths.append(tmp_path / f"{number}.parquet")
        pq.write_table(rows, paths[-1], store_schema=False, row_group_size=ROWS // 2)
    scan = scan_of(SCHEMA, paths)
    true = {0: 3, 1: 4}

    def counts(listed: Sequence[dict[int, int] | None], groups: Sequence[tuple[int, int]]) -> dict[int, int]:
        kind = scan.files.schema.field("nan_value_counts").type
        column = pa.array([None if one is None else list(one.items()) for one in listed], kind)
        place = scan.files.schema.get_field_index("nan_value_counts")
        known = Scan(SCHEMA, scan.files.set_column(place, "nan_value_counts", column), scan.resolve)
        return NanValues(known, [2, 2]).of_file(paths[groups[0][0]].as_uri(), groups)

    whole = [(0, 0), (0, 1)]
    assert counts([{3: 17}, {3: 0}], whole) == {3: 17}  # the manifest is believed
    assert counts([None, None], whole) == {3: true[0]}
    assert counts([{}, {3: 4}], whole) == {3: true[0]}
    assert counts([{3: -1}, {3: 4}], whole) == {3: true[0]}
    assert counts([{3: 0}, {3: 0}], [(0, 0)]) == {3: 0}
    assert counts([{3: 17}, {3: 0}], [(0, 0)]) == {3: true[0]}  # a part: what is there is counted


@pytest.mark.parametrize(
    ("values", "low", "high", "bounds"),
    [
        (pa.array([1.0, 2.0]), struct.pack("<d", math.nan), struct.pack("<d", 2.0), None),
        (pa.array([0.0, 0.0]), struct.pack("<d", 0.0), struct.pack("<d", -0.0), (-0.0, 0.0)),
        (pa.array(["ö", "ü"]), "ö".encode()[:1], "ü".encode(), None),
    ],
)
def test_bounds_of_other_writers_are_believed_only_as_far_as_they_hold(
    values: pa.Array, low: bytes, high: bytes, bounds: tuple[float, float] | None
) -> None:
    """NaN, zeros of the wrong sign and half a character, as some writers put them into footers."""
    kind = DoubleType() if pa.types.is_floating(values.type) else StringType()
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table([values], schema=pa.schema([field("c", values.type, 1)])), sink, store_schema=False)
    with pa.BufferReader(sink.getvalue()) as source:
        raw = RawFooter.read(source)
    fields = raw.fields()
    chunks(row_groups(fields)[0])[0][CHUNK_META][1][12][1].update({5: (BINARY, high), 6: (BINARY, low)})
    footer = dataclasses.replace(raw, data=encode(fields)).as_pyarrow().metadata
    made = file_statistics(footer, Schema(NestedField(1, "c", kind)), {}, {1: 0})
    if bounds is None:
        assert (made.lower_bounds, made.upper_bounds) == ({}, {})
    else:
        assert (made.lower_bounds[1], made.upper_bounds[1]) == tuple(struct.pack("<d", bound) for bound in bounds)
