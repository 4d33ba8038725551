"""The independent reader: columns by field id at every depth, whatever happened to the schema since."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scans import field, scan_of, table, write

from lakeopt.errors import DataFileError, Refused, UnknownName
from lakeopt.parquet.scan import Part, parts, read_batches


def rows(scan: Any, **options: Any) -> list[dict[str, Any]]:
    found = []
    for batch in read_batches(scan, **({"threads": 1} | options)):
        batch.validate(full=True)
        found += batch.to_pylist(maps_as_pydicts="strict")
    return found


def test_top_level_columns_follow_their_ids(tmp_path: Path) -> None:
    old = pa.schema([field("id", pa.int32(), 1), field("a", pa.string(), 2), field("gone", pa.int64(), 3)])
    path = write(tmp_path / "1.parquet", table(old, id=[1, None], a=["x", ""], gone=[7, 8]))
    new = pa.schema([field("gone", pa.string(), 4), field("b", pa.large_string(), 2), field("id", pa.int64(), 1)])
    scan = scan_of(new, [path])
    assert rows(scan) == [{"gone": None, "b": "x", "id": 1}, {"gone": None, "b": "", "id": None}]
    (batch,) = read_batches(scan)
    assert batch.schema.equals(new, check_metadata=True)


def test_nested_fields_follow_their_ids_in_structs_lists_and_maps(tmp_path: Path) -> None:
    def pair(first: str, second: str, third: bool) -> pa.DataType:
        x, y = field(first, pa.int64() if third else pa.int32(), 11), field(second, pa.string(), 12)
        return pa.struct([y, field("z", pa.int32(), 13), x]) if third else pa.struct([x, y])

    def schema(inner: pa.DataType) -> pa.Schema:
        return pa.schema(
            [
                field("s", inner, 1),
                field("l", pa.list_(field("element", inner, 3)), 2),
                field("m", pa.map_(field("key", pa.string(), 5, False), field("value", inner, 6)), 4),
            ]
        )

    value = {"x": 1, "y": "p"}
    old = table(schema(pair("x", "y", False)), s=[value, None], l=[[value, None], None], m=[[("k", value)], None])
    path = write(tmp_path / "1.parquet", old)
    wanted = {"b": "p", "z": None, "a": 1}
    assert rows(scan_of(schema(pair("a", "b", True)), [path])) == [
        {"s": wanted, "l": [wanted, None], "m": {"k": wanted}},
        {"s": None, "l": None, "m": None},
    ]


def test_fields_of_the_same_type_that_changed_places_are_not_mixed_up(tmp_path: Path) -> None:
    def schema(first: int, second: int) -> pa.Schema:
        return pa.schema([field("s", pa.struct([field("x", pa.int32(), first), field("y", pa.int32(), second)]), 1)])

    path = write(tmp_path / "1.parquet", table(schema(2, 3), s=[{"x": 2, "y": 3}]))
    assert rows(scan_of(schema(3, 2), [path])) == [{"s": {"x": 3, "y": 2}}]
    assert rows(scan_of(schema(4, 3), [path])) == [{"s": {"x": None, "y": 3}}]
    assert rows(scan_of(schema(4, 5), [path])) == [{"s": {"x": None, "y": None}}]


def test_a_file_that_has_none_of_the_columns_still_has_its_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "1.parquet", table(pa.schema([field("gone", pa.int32(), 1)]), gone=[1, 2, 3]))
    assert rows(scan_of(pa.schema([field("new", pa.string(), 2)]), [path])) == [{"new": None}] * 3


def test_files_without_ids_are_read_by_name_mapping_at_every_depth(tmp_path: Path) -> None:
    inner = pa.struct([pa.field("x", pa.int32()), pa.field("y", pa.string())])
    plain = pa.schema([("A", pa.int32()), ("l", pa.list_(inner)), ("m", pa.map_(pa.string(), inner)), ("more", inner)])
    value = {"x": 1, "y": "p"}
    path = write(tmp_path / "1.parquet", table(plain, A=[1], l=[[value]], m=[[("k", value)]], more=[value]))
    fields = [{"field-id": 11, "names": ["x"]}, {"field-id": 12, "names": ["y", "yy"]}]
    mapping = (
        {"field-id": 1, "names": ["a", "A"]},
        {"field-id": 2, "names": ["l"], "fields": [{"field-id": 3, "names": ["element"], "fields": fields}]},
        {
            "field-id": 4,
            "names": ["m"],
            "fields": [{"field-id": 5, "names": ["key"]}, {"field-id": 6, "names": ["value"], "fields": fields}],
        },
        {"names": ["more"], "fields": []},
    )
    now = pa.struct([field("yy", pa.string(), 12), field("x", pa.int64(), 11)])
    schema = pa.schema(
        [
            field("a", pa.int64(), 1),
            field("l", pa.list_(field("element", now, 3)), 2),
            field("m", pa.map_(field("key", pa.string(), 5, False), field("value", now, 6)), 4),
        ]
    )
    wanted = {"yy": "p", "x": 1}
    assert rows(scan_of(schema, [path], name_mapping=mapping)) == [{"a": 1, "l": [wanted], "m": {"k": wanted}}]


@pytest.mark.parametrize("mapping", [None, ({"field-id": 1, "names": ["other"]},), ()])
def test_a_file_without_ids_is_never_read_as_nulls(tmp_path: Path, mapping: Any) -> None:
    path = write(tmp_path / "1.parquet", pa.table({"a": [1]}))
    with pytest.raises(DataFileError, match="no field ids") as caught:
        rows(scan_of(pa.schema([field("a", pa.int64(), 1)]), [path], name_mapping=mapping))
    assert "schema.name-mapping.default" in (caught.value.hint or "")
    assert "1.parquet" in str(caught.value)


def test_a_column_without_an_id_among_others_with_ids_is_never_read_as_nulls(tmp_path: Path) -> None:
    now = pa.schema([field("a", pa.int64(), 1), field("b", pa.int64(), 2)])
    path = write(tmp_path / "1.parquet", pa.table([[1], [2]], schema=pa.schema([now.field("a"), ("b", pa.int64())])))
    with pytest.raises(DataFileError, match="'b' has no field id"):
        rows(scan_of(now, [path]))
    inner = pa.struct([now.field("a"), pa.field("b", pa.int64())])
    path = write(tmp_path / "2.parquet", table(pa.schema([field("s", inner, 3)]), s=[{"a": 1, "b": 2}]))
    with pytest.raises(DataFileError, match="'b' has no field id"):
        rows(scan_of(pa.schema([field("s", pa.struct(list(now)), 3)]), [path]))
    path = write(tmp_path / "3.parquet", table(pa.schema([("s", inner)]), s=[{"a": 1, "b": 2}]))
    with pytest.raises(DataFileError, match="no field ids"):
        rows(scan_of(pa.schema([field("s", pa.struct(list(now)), 3)]), [path]))


def test_a_missing_column_takes_its_default_and_a_missing_partition_column_its_value(tmp_path: Path) -> None:
    inner = pa.struct([field("x", pa.int32(), 2)])
    old = pa.schema([field("s", inner, 1), field("p", pa.int32(), 5)])
    one = write(tmp_path / "1.parquet", table(old, s=[{"x": 1}, None], p=[7, 8]))
    two = write(tmp_path / "2.parquet", table(pa.schema([field("s", inner, 1)]), s=[{"x": 2}]))
    wide = pa.struct([field("x", pa.int32(), 2), field("d", pa.string(), 3, False)])
    schema = pa.schema(
        [field("s", wide, 1), field("u", pa.uuid(), 4), field("p", pa.int32(), 5), field("q", pa.date32(), 6)]
    )
    key = uuid.UUID(int=5)
    scan = scan_of(
        schema,
        [one, two],
        defaults={3: "dflt", 4: key, 6: dt.date(2020, 1, 2)},
        constants={two.as_uri(): {5: 9}, one.as_uri(): {5: 100}},
    )
    day = dt.date(2020, 1, 2)
    assert rows(scan) == [
        {"s": {"x": 1, "d": "dflt"}, "u": key, "p": 7, "q": day},
        {"s": None, "u": key, "p": 8, "q": day},
        {"s": {"x": 2, "d": "dflt"}, "u": key, "p": 9, "q": day},
    ]


def test_a_required_column_that_is_missing_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "1.parquet", table(pa.schema([field("a", pa.int32(), 1)]), a=[1]))
    with pytest.raises(DataFileError, match="required column 'b'"):
        rows(scan_of(pa.schema([field("b", pa.int32(), 2, False)]), [path]))


NOON = dt.datetime(2001, 2, 3, 4, 5, 6, 789012)


@pytest.mark.parametrize(
    ("stored", "kind", "value", "writer"),
    [
        (pa.timestamp("us"), pa.timestamp("us"), NOON, {"use_deprecated_int96_timestamps": True}),
        (pa.timestamp("us"), pa.timestamp("us", "UTC"), NOON.replace(tzinfo=dt.UTC), {}),
        (pa.timestamp("ms"), pa.timestamp("us"), dt.datetime(2001, 2, 3, 4, 5, 6, 789000), {}),
        (pa.timestamp("ns"), pa.timestamp("us"), NOON, {"version": "2.6"}),
        (pa.date32(), pa.timestamp("us"), dt.datetime(2001, 2, 3), {}),
        (pa.decimal128(5, 2), pa.decimal128(9, 2), Decimal("-123.45"), {"store_decimal_as_integer": True}),
        (pa.decimal128(15, 2), pa.decimal128(15, 2), Decimal("1234567.89"), {"store_decimal_as_integer": True}),
        (pa.decimal128(30, 2), pa.decimal128(38, 2), Decimal("-12345678901234567.89"), {}),
        (pa.uuid(), pa.uuid(), uuid.UUID(int=3), {}),
        (pa.binary(16), pa.uuid(), uuid.UUID(int=3), {}),
        (pa.binary(3), pa.binary(3), b"abc", {}),
        (pa.binary(), pa.large_string(), "né", {}),
        (pa.dictionary(pa.int32(), pa.string()), pa.large_string(), "né", {"store_schema": True}),
        (pa.string_view(), pa.string(), "a long string of many letters", {"store_schema": True}),
        (pa.float32(), pa.float64(), 0.5, {}),
        (pa.int8(), pa.int32(), -5, {}),
        (pa.time32("ms"), pa.time64("us"), dt.time(1, 2, 3, 4000), {}),
        (pa.time64("us"), pa.time64("us"), dt.time(1, 2, 3, 4), {}),
    ],
)
def test_physical_types_and_promotions(
    tmp_path: Path, stored: pa.DataType, kind: pa.DataType, value: Any, writer: dict[str, Any]
) -> None:
    base = stored.value_type if pa.types.is_dictionary(stored) else stored
    written = value.encode() if base == pa.binary() else value.bytes if stored == pa.binary(16) else value
    if pa.types.is_timestamp(base):
        written = value.replace(tzinfo=None)
    array = pa.array([written, None], base)
    array = array.cast(stored) if base is not stored else array
    path = write(tmp_path / "1.parquet", pa.table([array], schema=pa.schema([field("c", stored, 1)])), **writer)
    assert rows(scan_of(pa.schema([field("c", kind, 1)]), [path])) == [{"c": value}, {"c": None}]


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (pa.array(["12"]), pa.int32()),
        (pa.array([1.0]), pa.int64()),
        (pa.array([1]), pa.float64()),
        (pa.array([2**40]), pa.int32()),
        (pa.array([1], pa.int32()), pa.string()),
        (pa.array([1001], pa.timestamp("ns")), pa.timestamp("us")),
        (pa.array([[1]]), pa.int64()),
        (pa.array([{"x": 1}]), pa.map_(pa.string(), pa.int64())),
    ],
)
def test_values_that_the_column_cannot_hold_are_an_error_that_names_file_and_column(
    tmp_path: Path, array: pa.Array, kind: pa.DataType
) -> None:
    path = write(
        tmp_path / "1.parquet", pa.table([array], schema=pa.schema([field("c", array.type, 1)])), version="2.6"
    )
    with pytest.raises(DataFileError, match=r"1\.parquet.*'c'"):
        rows(scan_of(pa.schema([field("c", kind, 1)]), [path]))


def test_names_with_dots_and_other_oddities(tmp_path: Path) -> None:
    inner = pa.struct([field("b", pa.int32(), 2)])
    schema = pa.schema([field("a", inner, 1), field("a.b", pa.int32(), 3), field('select "🦆"', pa.int32(), 4)])
    path = write(tmp_path / "1.parquet", pa.table([[{"b": 1}], [2], [3]], schema=schema))
    scan = scan_of(schema, [path])
    assert rows(scan, columns=["a.b"]) == [{"a.b": 2}]
    assert rows(scan, columns=["a"]) == [{"a": {"b": 1}}]
    assert rows(scan, columns=['select "🦆"', "a.b"]) == [{'select "🦆"': 3, "a.b": 2}]


def test_an_unknown_column_is_named(tmp_path: Path) -> None:
    schema = pa.schema([field("flight", pa.int32(), 1)])
    path = write(tmp_path / "1.parquet", table(schema, flight=[1]))
    with pytest.raises(UnknownName, match="flihgt"):
        rows(scan_of(schema, [path]), columns=["flihgt"])


@pytest.fixture
def many(tmp_path: Path) -> Any:
    schema = pa.schema([field("n", pa.int64(), 1), field("s", pa.string(), 2)])
    paths = []
    for number in range(6):
        values = list(range(number * 1000, number * 1000 + 1000))
        part = table(schema, n=values, s=[str(value) for value in values])
        paths.append(write(tmp_path / f"{number}.parquet", part, row_group_size=300))
    return scan_of(schema, paths)


def test_one_thread_keeps_the_order_of_files_and_many_read_the_same_rows(many: Any) -> None:
    wanted = [{"n": n, "s": str(n)} for n in range(6000)]
    assert rows(many) == wanted
    assert sorted(rows(many, threads=3, batch_rows=128), key=lambda row: row["n"]) == wanted


def test_batches_are_bounded_by_rows_and_by_memory(many: Any) -> None:
    assert max(batch.num_rows for batch in read_batches(many, batch_rows=128)) == 128
    assert max(batch.num_rows for batch in read_batches(many, threads=1, memory_bytes=20_000)) < 300


def test_readers_stop_when_the_taker_leaves(many: Any) -> None:
    before = threading.active_count()
    batches = read_batches(many, batch_rows=10, threads=3)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_parts_of_a_large_file_cover_it_once(many: Any) -> None:
    assert [part.row for part in parts(many)] == list(range(6))
    from lakeopt.parquet.deletes import Deletes
    from lakeopt.parquet.scan import Reading, read_part

    reading = Reading(many, ["n"], Deletes(many), 1000, 1 << 30)
    found = [n for share in range(7) for batch in read_part(reading, Part(2, share, 7)) for n in batch[0].to_pylist()]
    assert found == list(range(2000, 3000))


@pytest.mark.parametrize("threads", [1, 3])
def test_missing_damaged_and_replaced_files_are_named(many: Any, tmp_path: Path, threads: int) -> None:
    victim = tmp_path / "3.parquet"
    content = victim.read_bytes()
    victim.write_bytes((tmp_path / "2.parquet").read_bytes()[:-1] + b"?")
    with pytest.raises(DataFileError, match=r"3\.parquet"):
        rows(many, threads=threads)
    victim.unlink()
    with pytest.raises(DataFileError, match=r"missing.*3\.parquet"):
        rows(many, threads=threads)
    victim.write_bytes(content)
    write(victim, table(many.schema, n=[1], s=["x"]))
    with pytest.raises(DataFileError, match="it has 1 rows, the table says 1000"):
        rows(many, threads=threads)


def test_other_file_formats_are_refused(many: Any) -> None:
    files = many.files.set_column(2, "file_format", pa.array(["ORC"] * 6))
    from dataclasses import replace

    with pytest.raises(Refused, match="ORC"):
        rows(replace(many, files=files))
