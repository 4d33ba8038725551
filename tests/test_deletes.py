"""Deletes by position, by equal values and by deletion vector, as the independent reader applies them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scans import deletion_vector, equality_deletes, field, position_deletes, scan_of, table, write

from lakeopt.errors import DataFileError, Refused
from lakeopt.model.scan import Scan
from lakeopt.parquet import scan as scan_module
from lakeopt.parquet.scan import read_batches

SCHEMA = pa.schema([field("n", pa.int64(), 1), field("s", pa.string(), 2)])


def data(root: Path, number: int, count: int = 1000) -> Path:
    values = range(number * count, (number + 1) * count)
    return write(root / f"{number}.parquet", table(SCHEMA, n=values, s=[str(n) for n in values]), row_group_size=300)


def numbers(scan: Scan, **options: Any) -> list[int]:
    return sorted(n for batch in read_batches(scan, columns=["n"], **options) for n in batch["n"].to_pylist())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("part_bytes", [1, 1 << 30])
def test_positions_count_from_the_start_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, part_bytes: int
) -> None:
    monkeypatch.setattr(scan_module, "_PART_BYTES", part_bytes)
    one, two = data(tmp_path, 0), data(tmp_path, 1)
    deletes = [
        position_deletes(tmp_path / "d1.parquet", {one: [0, 299, 300, 999], two: [5]}),
        position_deletes(tmp_path / "d2.parquet", {two: [5, 6], tmp_path / "other.parquet": [1]}),
    ]
    scan = scan_of(SCHEMA, [one, two], deletes=deletes)
    gone = {0, 299, 300, 999, 1005, 1006}
    assert numbers(scan, threads=threads, batch_rows=128) == [n for n in range(2000) if n not in gone]


def test_deletes_that_the_list_does_not_name_for_a_file_do_not_touch_it(tmp_path: Path) -> None:
    one, two = data(tmp_path, 0, 10), data(tmp_path, 1, 10)
    scan = scan_of(SCHEMA, [one, two], deletes=[position_deletes(tmp_path / "d.parquet", {one: [1], two: [1]})])
    column = scan.files.schema.get_field_index("delete_files")
    lists = pa.array([[], scan.files["delete_files"][1].as_py()], scan.files.schema.field(column).type)
    scan = dataclasses.replace(scan, files=scan.files.set_column(column, "delete_files", lists))
    assert numbers(scan) == [n for n in range(20) if n != 11]


def test_unsorted_positions_are_found(tmp_path: Path) -> None:
    one = data(tmp_path, 0, 10)
    scan = scan_of(SCHEMA, [one], deletes=[position_deletes(tmp_path / "d.parquet", {one: [7, 0, 3]})])
    assert numbers(scan) == [1, 2, 4, 5, 6, 8, 9]


def equality(
    root: Path, schema: pa.Schema, rows: Mapping[str, Sequence[Any]], deletes: pa.Table, now: pa.Schema | None = None
) -> list[tuple[Any, ...]]:
    path = write(root / "1.parquet", table(schema, **rows))
    scan = scan_of(now or schema, [path], deletes=[equality_deletes(root / "d.parquet", deletes)])
    return [tuple(row.values()) for batch in read_batches(scan) for row in batch.to_pylist()]


def test_all_columns_of_an_equality_delete_must_agree_and_null_equals_null(tmp_path: Path) -> None:
    schema = pa.schema([field("a", pa.int32(), 1), field("b", pa.string(), 2), field("c", pa.int32(), 3)])
    rows = {"a": [1, 1, 2, 2, None, None], "b": ["x", "y", "x", None, None, "x"], "c": [0, 1, 2, 3, 4, 5]}
    keys = table(pa.schema([schema.field("b"), schema.field("a")]), b=["x", None, None], a=[1, None, 2])
    assert equality(tmp_path, schema, rows, keys) == [(1, "y", 1), (2, "x", 2), (None, "x", 5)]


def test_empty_equality_deletes_delete_nothing(tmp_path: Path) -> None:
    schema = pa.schema([field("a", pa.int32(), 1)])
    assert equality(tmp_path, schema, {"a": [1, None]}, table(schema, a=[])) == [(1,), (None,)]


def test_equality_deletes_on_a_renamed_and_promoted_column(tmp_path: Path) -> None:
    old, now = pa.schema([field("a", pa.int32(), 1)]), pa.schema([field("renamed", pa.int64(), 1)])
    assert equality(tmp_path, old, {"a": [1, 2, 3]}, table(old, a=[2]), now) == [(1,), (3,)]


def test_equality_deletes_on_a_dropped_column(tmp_path: Path) -> None:
    old = pa.schema([field("a", pa.int32(), 1), field("b", pa.string(), 2)])
    keys = table(pa.schema([old.field("b")]), b=["y"])
    assert equality(tmp_path, old, {"a": [1, 2], "b": ["x", "y"]}, keys, pa.schema([old.field("a")])) == [(1,)]


def test_equality_deletes_on_a_column_that_the_data_file_lacks_compare_its_null(tmp_path: Path) -> None:
    old = pa.schema([field("a", pa.int32(), 1)])
    now = pa.schema([field("a", pa.int32(), 1), field("b", pa.string(), 2)])
    keys = table(now, a=[1, 2], b=[None, "x"])
    assert equality(tmp_path, old, {"a": [1, 2]}, keys, now) == [(2, None)]


@pytest.mark.parametrize(
    ("kind", "values", "key", "left"),
    [
        (pa.float64(), [0.0, -0.0, float("nan"), 1.0], [-0.0, float("nan")], [0.0, 1.0]),
        (pa.decimal128(20, 2), [1, 2, None], [2], [1, None]),
        (pa.binary(2), [b"aa", b"ab"], [b"aa"], [b"ab"]),
        (pa.bool_(), [True, False, None], [False], [True, None]),
        (pa.date32(), [1, 2], [1], [2]),
        (pa.timestamp("us", "UTC"), [1, 2], [1], [2]),
    ],
)
def test_equality_deletes_of_every_kind_of_value(
    tmp_path: Path, kind: pa.DataType, values: list[Any], key: list[Any], left: list[Any]
) -> None:
    schema = pa.schema([field("c", kind, 1)])
    found = equality(tmp_path, schema, {"c": pa.array(values, kind)}, table(schema, c=pa.array(key, kind)))
    assert repr([row[0] for row in found]) == repr(pa.array(left, kind).to_pylist())


def test_equality_deletes_on_uuids(tmp_path: Path) -> None:
    schema = pa.schema([field("c", pa.uuid(), 1)])
    one, two = b"a" * 16, b"b" * 16
    found = equality(tmp_path, schema, {"c": pa.array([one, two], pa.uuid())}, table(schema, c=[one]))
    assert [row[0].bytes for row in found] == [two]


def test_equality_deletes_on_many_columns_do_not_overflow(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(12)]
    schema = pa.schema([field(name, pa.int64(), i + 1) for i, name in enumerate(names)])
    columns = {name: [(row * (i + 3)) % 1009 for row in range(1000)] for i, name in enumerate(names)}
    rows = table(schema, **columns)
    found = equality(tmp_path, schema, columns, rows.filter(pa.array([row % 7 == 0 for row in range(1000)])))
    wanted = [tuple(row.values()) for number, row in enumerate(rows.to_pylist()) if number % 7]
    assert sorted(found) == sorted(wanted)


def test_equality_deletes_on_a_nested_column_are_refused(tmp_path: Path) -> None:
    inner = field("x", pa.int32(), 2)
    schema = pa.schema([field("s", pa.struct([inner]), 1)])
    path = write(tmp_path / "1.parquet", table(schema, s=[{"x": 1}]))
    delete = equality_deletes(tmp_path / "d.parquet", table(schema, s=[{"x": 1}])) | {"equality_ids": [2]}
    with pytest.raises(Refused, match="nested"):
        list(read_batches(scan_of(schema, [path], deletes=[delete])))


def test_deletion_vectors(tmp_path: Path) -> None:
    one, two = data(tmp_path, 0), data(tmp_path, 1)
    vector = deletion_vector(tmp_path / "d.puffin", two, [0, 1, 500, 999])
    scan = scan_of(SCHEMA, [one, two], deletes=[vector])
    assert numbers(scan) == [n for n in range(2000) if n not in {1000, 1001, 1500, 1999}]


def test_damaged_missing_and_foreign_delete_files_are_errors(tmp_path: Path) -> None:
    one = data(tmp_path, 0, 10)
    vector = deletion_vector(tmp_path / "d.puffin", one, [1], damaged=True)
    with pytest.raises(DataFileError, match=r"damaged.*d\.puffin"):
        numbers(scan_of(SCHEMA, [one], deletes=[vector]))
    deletes = position_deletes(tmp_path / "d.parquet", {one: [1]})
    scan = scan_of(SCHEMA, [one], deletes=[deletes])
    with pytest.raises(DataFileError, match="not in the scan"):
        numbers(dataclasses.replace(scan, deletes=None))
    with pytest.raises(Refused, match="AVRO"):
        numbers(scan_of(SCHEMA, [one], deletes=[{**deletes, "file_format": "AVRO"}]))
    with pytest.raises(DataFileError, match="not a position delete file"):
        numbers(scan_of(SCHEMA, [one], deletes=[{**deletes, "file_path": one.as_uri()}]))
    (tmp_path / "d.parquet").unlink()
    with pytest.raises(DataFileError, match=r"missing.*d\.parquet"):
        numbers(scan)
