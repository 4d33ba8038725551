"""Which Parquet files an Iceberg table may name as they are: each type as writers store it, and what is refused."""

from __future__ import annotations

import datetime as dt
import decimal
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakeopt.model.scan import FIELD_ID
from lakeopt.parquet.dictionaries import PATH
from lakeopt.parquet.importable import calendar_reason, import_reason, instants
from lakeopt.parquet.raw_footer import RawFooter
from lakeopt.parquet.stitch import CHUNK_META, COLUMNS, KEY_VALUES, ROW_GROUPS
from lakeopt.parquet.thrift import encode

# FileMetaData and SchemaElement of parquet.thrift
SCHEMA, REPETITION, NAME, CHILDREN = 2, 3, 4, 5

INSTANT = pa.timestamp("us", "UTC")
OLD, NEW = dt.date(1500, 2, 29 - 1), dt.date(1890, 1, 1)


SPARK = {"org.apache.spark.version": "3.5.7"}
INT96 = {"use_deprecated_int96_timestamps": True}


def footer(data: pa.Table, **writer: Any) -> pq.FileMetaData:
    sink = io.BytesIO()
    pq.write_table(data, sink, **writer)
    return pq.read_metadata(io.BytesIO(sink.getvalue()))


def numbered(*fields: tuple[str, pa.DataType]) -> pa.Schema:
    return pa.schema([pa.field(n, t, metadata={FIELD_ID: str(i)}) for i, (n, t) in enumerate(fields, 1)])


def reason(values: pa.Array, wanted: pa.DataType, **writer: Any) -> str | None:
    return import_reason(footer(pa.table({"c": values}), **writer), numbered(("c", wanted)), frozenset())


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array([True, None]), pa.bool_()),
        (pa.array([1, -1], pa.int8()), pa.int32()),
        (pa.array([1, -1], pa.int32()), pa.int64()),
        (pa.array([1.5], pa.float32()), pa.float64()),
        (pa.array([decimal.Decimal("1.25")], pa.decimal128(9, 2)), pa.decimal128(18, 2)),
        (pa.array(["ü"]), pa.string()),
        (pa.array([b"\xff"]), pa.binary()),
        (pa.array([OLD]), pa.date32()),
        (pa.array([0], INSTANT), INSTANT),
        (pa.array([0], pa.timestamp("us")), pa.timestamp("us")),
        (pa.array([[1]], pa.list_(pa.int32())), pa.list_(pa.int32())),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), pa.map_(pa.string(), pa.int64())),
        (pa.array([{"A.b": [1]}]), pa.struct([("a.b", pa.list_(pa.int64()))])),
    ],
    ids=str,
)
def test_what_the_spec_has_is_taken(values: pa.Array, wanted: pa.DataType) -> None:
    assert reason(values, wanted) is None


@pytest.mark.parametrize(
    ("values", "wanted", "says", "writer"),
    [
        (pa.array([0], pa.timestamp("us")), INSTANT, "int96", {"use_deprecated_int96_timestamps": True}),
        (pa.array([0], pa.timestamp("us")), INSTANT, "int64 \\(timestamp in microseconds\\)", {}),
        (pa.array([0], pa.timestamp("ms", "UTC")), INSTANT, "timestamp in milliseconds", {}),
        (pa.array([1], pa.int64()), pa.int32(), "int64", {}),
        (pa.array([1], pa.uint32()), pa.int32(), "int32", {}),
        (pa.array([b"x"]), pa.string(), "byte_array", {}),
        (pa.array([1.5]), pa.float32(), "double", {}),
        (pa.array([decimal.Decimal("1.25")], pa.decimal128(9, 2)), pa.decimal128(9, 3), "decimal", {}),
        (pa.array(["x"]), pa.int32(), "string", {}),
        (pa.array([[b"x"]]), pa.list_(pa.string()), "byte_array", {}),
        (pa.array([{"a": 1}]), pa.struct([("a", pa.int32())]), "'c.a' is int64", {}),
        (pa.array([[1]]), pa.int64(), "list", {}),
    ],
    ids=lambda value: str(value)[:40].replace("\n", ""),
)
def test_what_readers_disagree_on_is_refused(
    values: pa.Array, wanted: pa.DataType, says: str, writer: dict[str, Any]
) -> None:
    found = reason(values, wanted, **writer)
    assert found is not None
    assert pa.compute.match_substring_regex(pa.array([found]), says)[0].as_py(), found


def two_level(data: pa.Table) -> pq.FileMetaData:
    """The footer of a list of required elements as old writers made it: c.array, not c.list.element.

    Both have the same levels, so that only the schema differs.
    """
    sink = io.BytesIO()
    pq.write_table(data, sink)
    raw = RawFooter.read(pa.BufferReader(sink.getvalue()))
    fields = raw.fields()
    root, column, middle, element = fields[SCHEMA][1].values
    column[CHILDREN] = (column[CHILDREN][0], 1)
    element[REPETITION], element[NAME] = middle[REPETITION], (element[NAME][0], b"array")
    fields[SCHEMA][1].values[:] = [root, column, element]
    fields[ROW_GROUPS][1].values[0][COLUMNS][1].values[0][CHUNK_META][1][PATH][1].values[:] = [b"c", b"array"]
    fields.pop(KEY_VALUES, None)  # the Arrow schema of the writer would win
    return RawFooter(encode(fields), raw.file_bytes).as_pyarrow().metadata


def test_two_level_lists_are_refused() -> None:
    kind = pa.list_(pa.field("element", pa.int32(), nullable=False))
    data = pa.table({"c": pa.array([[1, 2]], kind)})
    assert reason(data["c"].combine_chunks(), pa.list_(pa.int32())) is None
    old = two_level(data)
    assert old.schema.column(0).path == "c.array"
    found = import_reason(old, numbered(("c", pa.list_(pa.int32()))), frozenset())
    assert found == "column 'c' holds a list in the two-level form of old writers"


def test_names_decide_whatever_their_case() -> None:
    data = pa.table({"ID": pa.array([1], pa.int32()), "more": ["x"]})
    schema = numbered(("id", pa.int64()), ("day", pa.string()))
    assert import_reason(footer(data), schema, frozenset({"day"})) is None
    twice = footer(data.append_column("id", [[1]]))
    assert import_reason(twice, schema, frozenset()) == "columns 'ID' and 'id' differ only by case"
    own = footer(data.append_column("Day", [["x"]]))
    assert "partition column 'Day'" in str(import_reason(own, schema, frozenset({"day"})))


def test_field_ids_of_another_table_are_refused() -> None:
    data = pa.table([pa.array([1])], pa.schema([pa.field("id", pa.int64(), metadata={FIELD_ID: "7"})]))
    assert "field id 7" in str(import_reason(footer(data), numbered(("id", pa.int64())), frozenset()))


@pytest.mark.parametrize(
    ("key", "day", "old"),
    [
        ({**SPARK, "org.apache.spark.legacyDateTime": ""}, OLD, True),
        ({**SPARK, "org.apache.spark.legacyDateTime": ""}, NEW, False),
        ({"org.apache.spark.version": "2.4.8"}, OLD, True),
        (SPARK, OLD, False),
        ({}, OLD, False),
    ],
)
def test_days_of_the_legacy_calendar_are_told(key: dict[str, str], day: dt.date, old: bool) -> None:
    data = pa.table({"d": [day], "n": [1]}).replace_schema_metadata(key)
    assert (calendar_reason(footer(data)) is not None) == old
    nulls = pa.table({"d": pa.array([None], pa.date32())}).replace_schema_metadata(key)
    assert calendar_reason(footer(nulls)) is None
    blind = footer(data, write_statistics=False)
    assert (calendar_reason(blind) is not None) == (key not in ({}, SPARK))


def test_int96_of_the_legacy_calendar_is_told_by_its_key() -> None:
    data = pa.table({"t": pa.array([0], pa.timestamp("us"))})
    legacy = data.replace_schema_metadata({**SPARK, "org.apache.spark.legacyINT96": ""})
    assert "int96" in str(calendar_reason(footer(legacy, **INT96)))
    assert calendar_reason(footer(data, **INT96)) is None
    for version, old in {"2.4.8": True, "3.0.3": True, "3.1.0": False}.items():  # Spark's own order of versions
        held = data.replace_schema_metadata({"org.apache.spark.version": version})
        assert (calendar_reason(footer(held, **INT96)) is not None) == old


@pytest.mark.parametrize("unit", ["ms", "us"])
@pytest.mark.parametrize("key", [{**SPARK, "org.apache.spark.legacyDateTime": ""}, {"writer.date.proleptic": "false"}])
def test_times_of_the_legacy_calendar_are_told_in_every_unit(key: dict[str, str], unit: str) -> None:
    for year, old in {1500: True, 1890: True, 1950: False}.items():
        data = pa.table({"t": pa.array([dt.datetime(year, 1, 1)], pa.timestamp(unit))}).replace_schema_metadata(key)
        assert (calendar_reason(footer(data)) is not None) == old


def test_instants_are_told_from_local_times() -> None:
    data = pa.table({"A": pa.array([0], INSTANT), "b": pa.array([0], pa.timestamp("us")), "c": [1]})
    assert instants(footer(data)) == {"a": True, "b": False}
    assert instants(footer(data, use_deprecated_int96_timestamps=True)) == {"a": True, "b": True}
