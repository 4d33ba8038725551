"""The fingerprint's definition by Iceberg type, in examples, and the weak spots of the hash that it stands on."""

from __future__ import annotations

import dataclasses
import pickle
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from scans import field, position_deletes, scan_of, table, write

from lakeopt.engines._fingerprint import fingerprint
from lakeopt.engines._row_hash import RowHasher, type_name, version
from lakeopt.engines.spark import executor_proof
from lakeopt.errors import ConfigurationError, DataFileError
from lakeopt.model.result import Fingerprint


def of(rows: pa.Table, *, by_column: bool = False) -> Fingerprint:
    hasher = RowHasher(rows.schema, by_column=by_column)
    for batch in rows.to_batches():
        hasher.update(batch)
    return hasher.result()


def of_values(values: list[Any], kind: pa.DataType, number: int = 1) -> Fingerprint:
    return of(pa.table([pa.array(values, kind)], schema=pa.schema([field("a", kind, number)])))


INT, TEXT = pa.int32(), pa.string()
PAIR = pa.struct([field("x", INT, 2), field("y", TEXT, 3)])
NESTED = pa.list_(field("element", pa.list_(field("element", INT, 3)), 2))
MAP = pa.map_(field("key", TEXT, 2, False), field("value", INT, 3))
WORDS = bytes(range(32))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.bool_(), [None, True, False]),
        (INT, [None, 0, 1, -1]),
        (pa.int64(), [None, 0, 1, -1, 1 << 32]),
        (pa.float32(), [None, 0.0, -0.0, float("nan"), float("inf"), 1.0]),
        (pa.float64(), [None, 0.0, -0.0, float("nan"), float("inf"), 1.0]),
        (pa.decimal128(9, 2), [None, 0, Decimal("-0.01"), Decimal("0.01")]),
        (pa.decimal128(38, 2), [None, 0, Decimal("-0.01"), Decimal("0.01"), 1 << 64]),
        (pa.date32(), [None, 0, 1]),
        (pa.time64("us"), [None, 0, 1]),
        (pa.timestamp("us"), [None, 0, 1]),
        (pa.timestamp("us", "UTC"), [None, 0, 1]),
        (TEXT, [None, "", "a", "b", "aa", "a" * 13, "a" * 14]),
        (pa.binary(), [None, b"", b"\0", b"\0\0"]),
        (pa.binary(2), [None, b"\0\0", b"ab"]),
        (pa.uuid(), [None, uuid.UUID(int=0), uuid.UUID(int=1)]),
        (pa.list_(field("element", INT, 2)), [None, [], [None], [0], [1, 2], [2, 1], [1], [1, 2, None]]),
        (NESTED, [None, [], [None], [[]], [[1], [2]], [[1, 2]], [[1, 2], []], [[], [1, 2]]]),
        (PAIR, [None, {"x": None, "y": None}, {"x": None, "y": ""}, {"x": 0, "y": None}]),
        (MAP, [None, [], [("a", None)], [("a", 1)], [("a", 1), ("b", 2)], [("a", 2), ("b", 1)]]),
        (pa.struct([]), [None, {}]),
    ],
)
def test_different_values_have_different_words_in_both_lanes(kind: pa.DataType, values: list[Any]) -> None:
    found = [of_values([value], kind) for value in values]
    assert len({result.low for result in found}) == len(values)
    assert len({result.high for result in found}) == len(values)


def test_entries_of_a_map_have_no_order_at_any_depth() -> None:
    assert of_values([[("a", 1), ("b", 2)]], MAP) == of_values([[("b", 2), ("a", 1)]], MAP)
    kind = pa.list_(field("element", MAP, 5))
    assert of_values([[[("a", 1), ("b", 2)]]], kind) == of_values([[[("b", 2), ("a", 1)]]], kind)


@pytest.mark.parametrize(("kind", "bits"), [(pa.float32(), pa.uint32()), (pa.float64(), pa.uint64())])
def test_all_nans_are_one(kind: pa.DataType, bits: pa.DataType) -> None:
    whole = bits.bit_width
    quiet = 0x7FC00000 if whole == 32 else 0x7FF8000000000000
    payloads = [quiet, quiet + 1, quiet | 1 << (whole - 1)]
    arrays = [pa.array([payload], bits).view(kind) for payload in payloads]
    assert len({of(pa.table([a], schema=pa.schema([field("a", kind, 1)]))).digest for a in arrays}) == 1


def test_what_the_columns_are_counts_by_id_and_type_not_by_name() -> None:
    assert of_values([1], INT) != of_values([1], INT, number=2)
    assert of_values([1], INT) != of_values([1], pa.int64())
    assert of_values([1], pa.timestamp("us")) != of_values([1], pa.timestamp("us", "UTC"))
    renamed = of(pa.table([pa.array([1], INT)], schema=pa.schema([field("renamed", INT, 1)])))
    assert renamed == of_values([1], INT)


def test_the_order_of_a_structs_fields_and_their_names_do_not_count() -> None:
    other = pa.struct([field("why", TEXT, 3), field("x", INT, 2)])
    assert of_values([{"x": 1, "y": "p"}], PAIR) == of_values([{"why": "p", "x": 1}], other)


def test_how_arrow_codes_strings_does_not_count() -> None:
    plain = ["a", "a string of many letters", None, "", "a"]
    dictionary = pa.array(plain).dictionary_encode()
    for kind in (TEXT, pa.large_string(), pa.string_view()):
        assert of_values(plain, kind) == of_values(plain, TEXT)
    schema = pa.schema([field("a", dictionary.type, 1)])
    assert of(pa.table([dictionary], schema=schema)) == of_values(plain, TEXT)
    part = pa.table([dictionary.slice(1, 3)], schema=schema)
    assert of(part) == of_values(plain[1:4], TEXT)
    many = plain * 8_000
    coded = pa.table([pa.array(many).dictionary_encode()], schema=schema)
    assert of(coded) == of_values(many, TEXT)
    assert of(coded.slice(1, 20_000)) == of_values(many[1:20_001], TEXT)


def test_slices_of_nested_columns_are_what_they_show() -> None:
    for kind, values in [(NESTED, [[[1]], None, [[2], []], [[3, 4]]]), (MAP, [[("a", 1)], [], None, [("b", 2)]])]:
        rows = pa.table([pa.array(values, kind)], schema=pa.schema([field("a", kind, 1)]))
        assert of(rows.slice(1, 2)) == of_values(values[1:3], kind)


def test_the_same_row_twice_is_not_the_same_as_none() -> None:
    assert of_values([1, 2, 2], INT) != of_values([1, 3, 3], INT)
    assert of_values([2, 2], INT).low != f"{0:016x}"


def test_values_that_move_from_row_to_row_are_noticed_though_no_column_differs() -> None:
    schema = pa.schema([field("a", INT, 1), field("b", TEXT, 2)])
    before = of(table(schema, a=[1, 2], b=["x", "y"]), by_column=True)
    after = of(table(schema, a=[1, 2], b=["y", "x"]), by_column=True)
    assert before.columns == after.columns
    assert before.low != after.low
    assert before.high != after.high


def test_bytes_that_duckdb_hashes_alike_differ_in_the_second_lane() -> None:
    other = bytearray(WORDS)
    other[7] ^= 0x80
    other[15] ^= 0x80
    with duckdb.connect() as connection:  # one of its own: a result that is not read to its end blocks a shared one
        hashes = connection.execute("SELECT hash(?::BLOB), hash(?::BLOB)", [WORDS, bytes(other)]).fetchone()
    assert hashes is not None
    assert hashes[0] == hashes[1], "DuckDB's hash has become stronger: say so in _row_hash.py"
    assert of_values([WORDS], pa.binary()).high != of_values([bytes(other)], pa.binary()).high
    for first, second in [(3, 11), (4, 12), (6, 14), (7, 23), (15, 31)]:
        pair = bytearray(WORDS)
        pair[first] ^= 0x80
        pair[second] ^= 0x80
        assert of_values([WORDS], pa.binary()) != of_values([bytes(pair)], pa.binary())


def test_no_rows() -> None:
    empty = of_values([], INT)
    assert (empty.record_count, empty.low, empty.high) == (0, "0" * 16, "0" * 16)


#: Fingerprints of :func:`one_of_each` by version. A change of a value under the same version is a silent change of
#: definition: raise ``DEFINITION`` instead. A new DuckDB adds a line.
GOLDEN = {"1/duckdb-2.0.1": "486a43275f827c2544bfdfff061d9ce5"}


def one_of_each() -> pa.Table:
    columns: list[tuple[pa.DataType, list[Any]]] = [
        (pa.bool_(), [True, None]),
        (pa.int32(), [1, None]),
        (pa.int64(), [-1, None]),
        (pa.float32(), [-0.0, None]),
        (pa.float64(), [float("nan"), None]),
        (pa.decimal128(9, 2), [Decimal("1.23"), None]),
        (pa.decimal128(38, 10), [Decimal("-1.23"), None]),
        (pa.date32(), [19000, None]),
        (pa.time64("us"), [1, None]),
        (pa.timestamp("us"), [10**15, None]),
        (pa.timestamp("us", "UTC"), [10**15, None]),
        (pa.string(), ["héllo, wörld and more", None]),
        (pa.binary(), [b"\x00\xff", None]),
        (pa.binary(3), [b"abc", None]),
        (pa.uuid(), [uuid.UUID(int=7), None]),
        (pa.list_(field("element", pa.string(), 101)), [["a", None], None]),
        (pa.map_(field("key", TEXT, 102, False), field("value", pa.float64(), 103)), [[("a", 0.5), ("b", None)], None]),
        (
            pa.struct([field("x", INT, 104), field("y", pa.list_(field("element", INT, 106)), 105)]),
            [{"x": 1, "y": []}, None],
        ),
    ]
    schema = pa.schema([field(f"c{i}", kind, i + 1) for i, (kind, _) in enumerate(columns)])
    return pa.table([pa.array(values, kind) for kind, values in columns], schema=schema)


def test_the_definition_has_not_changed_silently() -> None:
    if version() not in GOLDEN:
        pytest.skip(f"no golden fingerprint for {version()}")
    assert of(one_of_each()).digest == GOLDEN[version()]


def test_types_are_named_as_the_spec_names_them() -> None:
    named = [type_name(part.type) for part in one_of_each().schema]
    assert named == [
        "boolean", "int", "long", "float", "double", "decimal(9, 2)", "decimal(38, 10)", "date", "time", "timestamp",
        "timestamptz", "string", "binary", "fixed[3]", "uuid", "list<101:string>", "map<102:string,103:double>",
        "struct<104:int,105:list<106:int>>",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_a_scan_has_the_fingerprint_of_its_rows(tmp_path: Path, threads: int) -> None:
    rows = one_of_each()
    paths = [write(tmp_path / f"{n}.parquet", pa.concat_tables([rows] * 5), row_group_size=3) for n in range(3)]
    scan = scan_of(rows.schema, paths)
    found = fingerprint(scan, threads=threads, memory_bytes=1 << 28, by_column=True)
    assert found == of(pa.concat_tables([rows] * 15), by_column=True)
    assert found.record_count == 30
    deletes = [position_deletes(tmp_path / "d.parquet", {paths[1]: [1, 3, 5, 7, 9]})]
    kept = pa.concat_tables([rows] * 10 + [rows.slice(0, 1)] * 5)
    assert fingerprint(scan_of(rows.schema, paths, deletes=deletes), threads=threads, memory_bytes=1 << 28) == of(kept)


@pytest.mark.parametrize("threads", [1, 2])
def test_nulls_are_held_against_the_manifests_counts(tmp_path: Path, threads: int) -> None:
    rows = one_of_each()
    scan = scan_of(rows.schema, [write(tmp_path / "1.parquet", rows), write(tmp_path / "2.parquet", rows)])
    place = scan.files.schema.get_field_index("null_value_counts")
    right = [(number, 1) for number in range(1, 16)]
    for counts, fits in (([right, right], True), ([right, [*right[:11], (12, 0)]], False), ([None, []], True)):
        column = pa.array(counts, scan.files.schema.field(place).type)
        files = scan.files.set_column(place, scan.files.schema.field(place), column)
        given = dataclasses.replace(scan, files=files)
        if fits:
            assert fingerprint(given, threads=threads, memory_bytes=1 << 28).record_count == 4
        else:
            with pytest.raises(DataFileError, match=r"'c11' of data file .*2\.parquet has 1 nulls.* counts 0"):
                fingerprint(given, threads=threads, memory_bytes=1 << 28)


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_parts_that_other_processes_read_add_up(tmp_path: Path, count: int) -> None:
    """Each goes there as bytes, with its own files and delete files alone."""
    rows = one_of_each()
    paths = [write(tmp_path / f"{number}.parquet", pa.concat_tables([rows] * number)) for number in range(1, 8)]
    deletes = [position_deletes(tmp_path / "d.parquet", {paths[3]: [0, 2], paths[6]: [1]})]
    scan = scan_of(rows.schema, paths, deletes=deletes)
    for by_column in (False, True):
        whole = fingerprint(scan, threads=1, memory_bytes=1 << 28, by_column=by_column)
        parts = [pickle.loads(pickle.dumps(part)) for part in executor_proof.divided(scan, count)]
        named = sorted(path for part in parts for path in part.files["file_path"].to_pylist())
        assert named == sorted(path.as_uri() for path in paths)
        assert len(parts) == min(count, len(paths))
        found = [fingerprint(part, threads=1, memory_bytes=1 << 28, by_column=by_column) for part in parts]
        assert executor_proof.total(found) == whole
    other = dataclasses.replace(found[0], version="1/duckdb-1.4.0")
    with pytest.raises(ConfigurationError, match=r"different versions: 1/duckdb-1\.4\.0, "):
        executor_proof.total([*found, other])
