"""Hive's files keep their meaning: new footers say what the old ones said, or files are left alone with a reason."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import orc

from lakeopt.engines.duckdb import ENGINE
from lakeopt.errors import Refused
from lakeopt.model.scan import Scan, StageRequest, WriterOptions
from lakeopt.orc import footers as orc_footers
from lakeopt.orc.protobuf import Message
from lakeopt.orc.tail import (
    DATA_LENGTH,
    ENCRYPTION,
    INDEX_LENGTH,
    OFFSET,
    STRIPE_FOOTER_LENGTH,
    STRIPES,
    WRITER_ZONE,
    Tail,
)
from lakeopt.parquet import int96
from lakeopt.parquet.raw_footer import RawFooter, chunks, row_groups
from lakeopt.parquet.schema_elements import CREATED_BY, INT96, NAME, SCHEMA, TYPE, leaves, meaning, trees
from lakeopt.parquet.stitch import CHUNK_META, KEY_VALUES
from lakeopt.parquet.thrift import BINARY, LIST, STRUCT, Items, encode
from lakeopt.tables.hive import meaning as hive_meaning
from lakeopt.tables.hive.orc_meaning import orc_form
from lakeopt.tables.open import open_table
from lakeopt.workflows.verify import prove, staged_scan

MEMORY = 10**9
COUNT = 400
COLUMNS: dict[str, tuple[pa.DataType, Callable[[int], Any]]] = {
    "small": (pa.int8(), lambda i: i % 100 - 50),
    "short": (pa.int16(), lambda i: i * 3),
    "whole": (pa.int32(), lambda i: i * 7 % 51),
    "long": (pa.int64(), lambda i: i * 10**10),
    "Real": (pa.float32(), lambda i: float("nan") if i % 5 == 0 else -0.0 if i % 11 == 0 else i / 4),
    "double": (pa.float64(), lambda i: i / 3),
    "ü text": (pa.string(), lambda i: "ü" * (i % 3) + str(i % 50)),
    "raw": (pa.binary(), lambda i: bytes([i % 256])),
    "flag": (pa.bool_(), lambda i: i % 2 == 0),
    "day": (pa.date32(), lambda i: dt.date(1500, 1, 1) + dt.timedelta(days=i * 500)),
    "cents": (pa.decimal128(5, 2), lambda i: Decimal(i % 999) / 100),
    "sum": (pa.decimal128(15, 3), lambda i: Decimal(-i * 1000)),
    "wide": (pa.decimal128(38, 3), lambda i: Decimal(-i * 10**20)),
    "list": (pa.list_(pa.int32()), lambda i: [i, None] if i % 3 else []),
    "parts": (
        pa.struct([("A", pa.int32()), ("b c", pa.list_(pa.struct([("z", pa.string())])))]),
        lambda i: {"A": i, "b c": [{"z": "q"}, None]},
    ),
    "map": (pa.map_(pa.string(), pa.int64()), lambda i: [("k", i), ("l", None)]),
}
OLD, NEW = dt.datetime(1500, 1, 1, 11), dt.datetime(1970, 1, 2, 11)


def table(first: dt.datetime, start: int = 0, count: int = COUNT) -> pa.Table:
    """Rows of every type, nulls among them."""
    cells = {
        name: pa.array([None if (i + place) % 7 == 0 else value(i) for i in range(start, start + count)], kind)
        for place, (name, (kind, value)) in enumerate(COLUMNS.items())
    }
    times = [first + dt.timedelta(hours=i * 310, microseconds=i) for i in range(start, start + count)]
    return pa.table({**cells, "At": pa.array(times, pa.timestamp("us"))})


def parquet(rows: pa.Table, path: Path, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path, **{"store_schema": False, **options})


def as_orc(rows: pa.Table, path: Path, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    orc.write_table(rows, path, **{"compression": "zlib", "stripe_size": 20_000, **options})


def edited(path: Path, edit: Callable[[dict[int, Any]], None]) -> None:
    """Let a file's footer say something else."""
    with pa.OSFile(str(path)) as source:
        raw = RawFooter.read(source)
    footer = raw.fields()
    edit(footer)
    tail = encode(footer)
    body = path.read_bytes()[: -8 - len(raw.data)]
    path.write_bytes(body + tail + len(tail).to_bytes(4, "little") + b"PAR1")


def saying(key_values: dict[str, str], created_by: str | None = None) -> Callable[[dict[int, Any]], None]:
    def edit(footer: dict[int, Any]) -> None:
        pairs = [{1: (BINARY, key.encode()), 2: (BINARY, text.encode())} for key, text in key_values.items()]
        footer[KEY_VALUES] = (LIST, Items(STRUCT, pairs))
        if created_by is not None:
            footer[CREATED_BY] = (BINARY, created_by.encode())

    return edit


def scanned(root: Path) -> Scan:
    """The files of a folder as a rewrite reads and writes them."""
    opened = open_table(str(root))
    files = pa.concat_tables(list(opened.files()))
    return dataclasses.replace(opened.scan(files, stored_only=True), form=opened.file_form(files))


def rewritten(scan: Scan, to: Path, sort: tuple[tuple[str, bool, bool], ...] = (("whole", True, True),)) -> list[Path]:
    """New files, proved to hold the same rows."""
    request = StageRequest(
        scan,
        sort,
        WriterOptions(row_group_rows=150),
        10**9,
        lambda number: str(to / f"{number}.part"),
        MEMORY,
        2,
        str(to / "spill"),
        footer_metadata={"lakeopt.plan-id": "p"},
    )
    staged = ENGINE.stage(request)
    assert staged["sorted"].to_pylist() == [bool(sort)] * len(staged)
    for method in ("rows", "counts"):
        assert prove(ENGINE, scan, staged_scan(scan, staged), method, threads=2, memory_bytes=MEMORY).matched
    return [Path(path) for path in staged["file_path"].to_pylist()]


def footer_of(path: Path) -> dict[int, Any]:
    with pa.OSFile(str(path)) as source:
        return RawFooter.read(source).fields()


def reason(root: Path) -> str | None:
    opened = open_table(str(root))
    files = pa.concat_tables(list(opened.files()))["file_path"].to_pylist()
    held = "orc" if files[0].endswith(".orc") else "parquet"
    stored = opened.scan(pa.concat_tables(list(opened.files())), stored_only=True).schema
    return hive_meaning.reason(files, held, stored, opened.resolve)


@pytest.mark.parametrize(
    "options",
    [
        {"use_deprecated_int96_timestamps": True, "compression": "gzip"},
        {"store_decimal_as_integer": True, "compression": "snappy"},
        {"coerce_timestamps": "ms", "allow_truncated_timestamps": True, "use_compliant_nested_type": False},
    ],
    ids=["int96", "integers", "milliseconds"],
)
def test_new_parquet_files_say_what_the_old_ones_say(tmp_path: Path, options: dict[str, Any]) -> None:
    root, names = tmp_path / "t", ("a", "b")
    for number, name in enumerate(names):
        parquet(table(OLD, number * COUNT), root / f"{name}.parquet", **options)
        edited(root / f"{name}.parquet", saying({"writer.time.zone": "Asia/Tokyo", "lakeopt.plan-id": "older"}, "mr"))
    old = footer_of(root / "a.parquet")
    for sort in ((("ü text", True, True), ("Real", False, False)), ()):
        [path] = rewritten(scanned(root), tmp_path / f"new-{len(sort)}", sort)
        new = footer_of(path)
        assert new[SCHEMA] == old[SCHEMA]
        # What this process says of the sort is the only thing that is new.
        assert {pair[1][1]: pair[2][1] for pair in new[KEY_VALUES][1].values} == {
            b"writer.time.zone": b"Asia/Tokyo",
            b"lakeopt.plan-id": b"p",
        }
        codecs = [{chunk[CHUNK_META][1][4][1] for g in row_groups(one) for chunk in chunks(g)} for one in (old, new)]
        assert codecs[0] == codecs[1]
        read = {"coerce_int96_timestamp_unit": "us"}
        before = pa.concat_tables([pq.read_table(root / f"{name}.parquet", **read) for name in names])
        assert _multiset(pq.read_table(path, **read)) == _multiset(before)
    if "use_deprecated_int96_timestamps" in options:
        assert new[CREATED_BY][1] == b"mr"


def _multiset(rows: pa.Table) -> Counter[str]:
    return Counter(map(repr, rows.to_pylist()))


def test_new_orc_files_say_what_the_old_ones_say(tmp_path: Path) -> None:
    root = tmp_path / "t"
    for number, name in enumerate("ab"):
        as_orc(table(NEW, number * COUNT), root / f"{name}.orc")
    for sort in ((("ü text", True, True),), ()):
        [path] = rewritten(scanned(root), tmp_path / f"new-{len(sort)}", sort)
        old, new = orc.ORCFile(root / "a.orc"), orc.ORCFile(path)
        assert (new.schema, new.compression) == (old.schema, "ZLIB")
        assert new.nstripes > 1
        before = pa.concat_tables([orc.read_table(root / f"{name}.orc") for name in "ab"])
        assert _multiset(new.read()) == _multiset(before)


def test_lists_in_two_levels_stay_so(tmp_path: Path) -> None:
    """As Hive's forebears wrote them: the repeated group is the element."""
    root = tmp_path / "t"
    kind = pa.list_(pa.field("element", pa.int32(), nullable=False))
    parquet(pa.table({"n": [3, 1, 2], "l": pa.array([[1, 2], None, []], kind)}), root / "a.parquet")

    def flatten(footer: dict[int, Any]) -> None:
        head, n, outer, _, leaf = footer[SCHEMA][1].values
        footer[SCHEMA] = (LIST, Items(STRUCT, [head, n, outer, {**leaf, 3: (leaf[3][0], 2), NAME: (BINARY, b"array")}]))
        for group in row_groups(footer):
            chunks(group)[1][CHUNK_META][1][3] = (LIST, Items(BINARY, [b"l", b"array"]))

    edited(root / "a.parquet", flatten)
    [path] = rewritten(scanned(root), tmp_path / "new", (("n", True, True),))
    assert footer_of(path)[SCHEMA] == footer_of(root / "a.parquet")[SCHEMA]
    assert pq.read_table(path)["l"].to_pylist() == [None, [], [1, 2]]


def test_lists_that_readers_take_for_others_are_left_alone(tmp_path: Path) -> None:
    """A repeated group of one field is a struct to the format's rules, if it is called so, and that field to DuckDB."""
    kind = pa.list_(pa.field("element", pa.struct([("z", pa.int32())]), nullable=False))
    parquet(pa.table({"l": pa.array([[{"z": 1}]], kind)}), tmp_path / "a.parquet")

    def flatten(footer: dict[int, Any]) -> None:
        head, outer, _, group, leaf = footer[SCHEMA][1].values
        group = {**group, 3: (group[3][0], 2), NAME: (BINARY, b"array")}
        footer[SCHEMA] = (LIST, Items(STRUCT, [head, outer, group, leaf]))

    edited(tmp_path / "a.parquet", flatten)
    assert leaves(footer_of(tmp_path / "a.parquet")[SCHEMA][1].values)[0].definition == 3
    schema, paths = pa.schema([("l", kind)]), [str(tmp_path / "a.parquet")]
    found = hive_meaning.file_form(paths, "parquet", schema, lambda path: (pa.fs.LocalFileSystem(), path))
    assert found == "column l has lists of structs of one field in two levels, which are not read alike everywhere"


def test_orc_without_names_is_told_by_place(tmp_path: Path) -> None:
    """Files of Hive before 2: a column more in the table is one that they lack."""
    as_orc(pa.table({"_col0": [1], "_col1": ["x"]}), tmp_path / "a.orc")
    schema = pa.schema([("b", pa.int64()), ("a", pa.string()), ("c", pa.string())])

    def form(columns: pa.Schema) -> Any:
        return hive_meaning.file_form(
            [str(tmp_path / "a.orc")], "orc", columns, lambda path: (pa.fs.LocalFileSystem(), path)
        )

    assert form(schema).schema.names == ["b", "a"]
    assert form(pa.schema([schema.field(0)])) == "files hold 2 columns, the table has 1"
    assert (
        form(pa.schema([("a", pa.string()), ("b", pa.int64())])) == "column a is int64 in files and string in the table"
    )


@pytest.mark.parametrize(
    ("first", "zones", "expected"),
    [
        (NEW, ("GMT", "UTC"), None),
        (OLD.replace(year=1890), ("GMT", "GMT"), "it holds timestamps before 1970, or may, and Java cannot read the"),
        (NEW, ("GMT", "Asia/Tokyo"), "timestamps were written in the zone Asia/Tokyo, and would be in UTC"),
        (NEW, ("GMT", ""), "timestamps were written in a zone that the files do not name, and would be in UTC"),
    ],
)
def test_orc_timestamps_that_would_change_are_left_alone(
    tmp_path: Path, first: dt.datetime, zones: tuple[str, str], expected: str | None
) -> None:
    """Of each stripe by itself: tools put the stripes of several writers into one file. The first file has none."""
    schema = pa.schema([("at", pa.timestamp("us"))])
    as_orc(table(first, count=0).select(["At"]), tmp_path / "empty.orc")
    as_orc(table(first, count=5).select(["At"]), tmp_path / "a.orc", compression="uncompressed")
    empty, footer = (orc_footers.read_footer(str(tmp_path / name), _local) for name in ("empty.orc", "a.orc"))
    empty = dataclasses.replace(empty, tail=dataclasses.replace(empty.tail, postscript=footer.tail.postscript))
    assert (empty.zones, footer.zones) == (frozenset(), {"GMT"})
    stripes = _stripes_of((tmp_path / "a.orc").read_bytes(), footer.tail, zones)
    footer = dataclasses.replace(footer, zones=stripes)
    found = orc_form([empty, footer], schema)
    assert (found if isinstance(found, str) else "").startswith(expected or "")
    assert isinstance(found, str) == (expected is not None)


def _stripes_of(data: bytes, tail: Tail, zones: Sequence[str]) -> frozenset[str | None]:
    """Zones of a file that has the one stripe of this one twice and more, by writers in these zones."""
    body, stripes = bytearray(), []
    [stripe] = tail.footer.messages(STRIPES)
    for zone in zones:
        own = Message(list(stripe.fields))
        end = tail.stripe_footer(pa.BufferReader(data), stripe)
        end.put(WRITER_ZONE, zone.encode() or None)
        own.put(OFFSET, len(body))
        own.put(INDEX_LENGTH, 0)
        own.put(DATA_LENGTH, 0)
        own.put(STRIPE_FOOTER_LENGTH, len(end.encode()))
        body += end.encode()
        stripes.append((STRIPES, 2, own.encode()))
    footer = Message([item for item in tail.footer.fields if item[0] != STRIPES] + stripes)
    return dataclasses.replace(tail, footer=footer).zones(pa.BufferReader(bytes(body)))


def test_columns_that_are_encrypted_are_left_alone(tmp_path: Path) -> None:
    """Who has no key reads ORC's masked values without an error, and would write them in the place of the others."""
    rows = pa.table({"a": [1, 2]})
    as_orc(rows, tmp_path / "a.orc")
    footer = orc_footers.read_footer(str(tmp_path / "a.orc"), _local)
    assert not isinstance(orc_form([footer], rows.schema), str)
    footer.tail.footer.put(ENCRYPTION, Message())
    assert "encrypted" in str(orc_form([footer], rows.schema))


def _local(path: str) -> Any:
    return pa.fs.LocalFileSystem(), path


def test_text_without_its_annotation_stays_bytes(tmp_path: Path) -> None:
    """As Impala and old Hive wrote it; only the table says that it is text."""
    root = tmp_path / "t"
    parquet(pa.table({"n": [2, 1], "s": ["ü", None]}), root / "a.parquet")
    scan = scanned(root)
    parquet(pa.table({"n": [2, 1], "s": pa.array(["ü".encode(), None])}), root / "a.parquet")
    form = hive_meaning.file_form(scan.files["file_path"].to_pylist(), "parquet", scan.schema, scan.resolve)
    assert not isinstance(form, str)
    size = pa.array([(root / "a.parquet").stat().st_size])
    at = scan.files.schema.get_field_index("file_size_in_bytes")
    scan = dataclasses.replace(scan, form=form, files=scan.files.set_column(at, scan.files.schema.field(at), size))
    [path] = rewritten(scan, tmp_path / "new", (("n", True, True),))
    assert pq.read_table(path).to_pylist() == [{"n": 1, "s": None}, {"n": 2, "s": "ü".encode()}]


@pytest.mark.parametrize("missing", ["first", "last"])
def test_a_column_that_some_files_lack_is_null_there(tmp_path: Path, missing: str) -> None:
    root = tmp_path / "t"
    both = pa.table({"a": [1, 2], "b": ["x", "y"]})
    parquet(both.select(["a"]) if missing == "first" else both, root / "1.parquet")
    parquet(both.select(["a"]) if missing == "last" else both, root / "2.parquet")
    [path] = rewritten(scanned(root), tmp_path / "new", (("a", True, True),))
    found = Counter(map(repr, pq.read_table(path, columns=["a", "b"]).to_pylist()))
    assert found == Counter(
        repr(row) for a, b in ((1, "x"), (2, "y")) for row in ({"a": a, "b": b}, {"a": a, "b": None})
    )


def test_a_column_that_some_files_lack_may_be_null_in_the_new_one(tmp_path: Path) -> None:
    """Spark says of a column that it has no nulls where a query cannot make one; older files lack it."""
    root = tmp_path / "t"
    new = pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.string(), nullable=False)])
    parquet(pa.table({"a": [1]}, schema=new.remove(1)), root / "1.parquet")
    parquet(pa.table({"a": [2], "b": ["x"]}, schema=new), root / "2.parquet")
    [path] = rewritten(scanned(root), tmp_path / "new", (("a", True, True),))
    assert pq.read_table(path).to_pylist() == [{"a": 1, "b": None}, {"a": 2, "b": "x"}]
    assert [field.nullable for field in pq.read_schema(path)] == [False, True]


def test_structs_whose_fields_are_not_in_alphabetical_order_are_proved_equal(tmp_path: Path) -> None:
    """Files that say in different ways that a field has no nulls: ids of its fields come from their names in both."""
    root = tmp_path / "t"
    for number, nullable in enumerate((True, False)):
        kind = pa.struct([pa.field("b", pa.int64(), nullable), pa.field("a", pa.int64(), nullable)])
        rows = pa.table({"n": pa.array([number]), "s": pa.array([{"b": 1, "a": 2}], kind)})
        parquet(rows.cast(pa.schema([("n", pa.int64()), ("s", kind)])), root / f"{number}.parquet")
    [path] = rewritten(scanned(root), tmp_path / "new", (("n", True, True),))
    assert pq.read_table(path).column("s").to_pylist() == [{"b": 1, "a": 2}] * 2


def test_a_column_without_nulls_in_some_files_may_hold_them_in_the_new_one(tmp_path: Path) -> None:
    """Spark says that there are none, at whatever depth, where a query cannot make one."""
    root = tmp_path / "t"
    for number, (value, nullable) in enumerate((([1, 2], False), ([3, None], True))):
        kind = pa.list_(pa.field("element", pa.int32(), nullable))
        rows = pa.table({"n": pa.array([number]), "l": pa.array([value], kind)})
        parquet(rows.cast(pa.schema([pa.field("n", pa.int64(), nullable), ("l", kind)])), root / f"{number}.parquet")
    [path] = rewritten(scanned(root), tmp_path / "new", (("n", True, True),))
    assert pq.read_table(path).to_pylist() == [{"n": 0, "l": [1, 2]}, {"n": 1, "l": [3, None]}]
    assert pq.ParquetFile(path).schema.equals(pq.ParquetFile(root / "1.parquet").schema)


def test_field_ids_of_another_table_mean_nothing(tmp_path: Path) -> None:
    """Files that an Iceberg table or an old pyarrow wrote have ids, which say nothing of this table's columns."""
    fields = [
        pa.field(name, pa.int64(), metadata={b"PARQUET:field_id": b"%d" % number})
        for name, number in (("a", 2), ("b", 1))
    ]
    rows = pa.table([pa.array([3, 1, 2]), pa.array([30, 10, 20])], schema=pa.schema(fields))
    parquet(rows, tmp_path / "t" / "a.parquet")
    [path] = rewritten(scanned(tmp_path / "t"), tmp_path / "new", (("a", True, True),))
    assert pq.read_table(path).to_pylist() == [{"a": n, "b": 10 * n} for n in (1, 2, 3)]
    assert footer_of(path)[SCHEMA] == footer_of(tmp_path / "t" / "a.parquet")[SCHEMA]


SPARK = {"org.apache.spark.version": "4.1.0"}
LEGACY = {**SPARK, "org.apache.spark.legacyDateTime": "", "org.apache.spark.timeZone": "America/Los_Angeles"}
LEGACY_96 = {**SPARK, "org.apache.spark.legacyINT96": "", "org.apache.spark.timeZone": "America/Los_Angeles"}
TWO = "dates or timestamps of its files are read by more than one calendar or zone"


@pytest.mark.parametrize(
    ("first", "said", "written_as", "expected"),
    [
        (OLD, (SPARK, LEGACY), {}, TWO),
        (NEW, (SPARK, LEGACY), {}, None),
        (OLD, (LEGACY, LEGACY), {}, None),
        (OLD, (LEGACY, {**LEGACY, "org.apache.spark.timeZone": "UTC"}), {}, TWO),
        (OLD, ({"org.apache.spark.version": "2.4.8"}, LEGACY | {"org.apache.spark.timeZone": "UTC"}), {}, TWO),
        (OLD, ({}, SPARK), {}, TWO),
        (NEW, (SPARK, LEGACY_96), {"use_deprecated_int96_timestamps": True}, TWO),
        (NEW, (LEGACY_96, LEGACY_96), {"use_deprecated_int96_timestamps": True}, None),
        (NEW, ({"writer.time.zone": "Asia/Tokyo"}, {}), {"use_deprecated_int96_timestamps": True}, TWO),
        (NEW, ({"writer.time.zone": "Asia/Tokyo"}, {}), {}, None),
    ],
)
def test_files_of_two_calendars_are_not_made_one(
    tmp_path: Path,
    first: dt.datetime,
    said: tuple[dict[str, str], ...],
    written_as: dict[str, Any],
    expected: str | None,
) -> None:
    root, rows = tmp_path / "t", table(first, count=5).select(["whole", "At"])
    for number, key_values in enumerate(said):
        parquet(rows, root / f"{number}.parquet", **written_as)
        edited(root / f"{number}.parquet", saying(key_values))
    assert reason(root) == expected
    if expected is None:
        [path] = rewritten(scanned(root), tmp_path / "new")
        held = {pair[1][1].decode(): pair[2][1].decode() for pair in footer_of(path)[KEY_VALUES][1].values}
        assert {key: text for key, text in held.items() if key != "lakeopt.plan-id"} == said[-1]


def test_an_encoding_that_the_bytes_cannot_have_is_left_out(tmp_path: Path) -> None:
    parquet(table(OLD, count=3), tmp_path / "t" / "a.parquet", use_deprecated_int96_timestamps=True)
    form = scanned(tmp_path / "t").form
    assert form is not None
    asked = dict.fromkeys((form.schema.names[-1], "cents", "long", "gone"), "delta-binary-packed")
    fitted = form.fitted(WriterOptions(codec="zstd", level=9, encodings=asked))
    assert (fitted.codec, fitted.level, fitted.encodings) == ("snappy", None, {"long": "delta-binary-packed"})


def test_int96_of_java_and_of_others_are_not_made_one(tmp_path: Path) -> None:
    """Hive and Spark convert an INT96 by who wrote it."""
    root = tmp_path / "t"
    for name, by in (("a", "parquet-mr version 1.13.1"), ("b", "impala version 3.4")):
        parquet(table(NEW, count=3).select(["At"]), root / f"{name}.parquet", use_deprecated_int96_timestamps=True)
        edited(root / f"{name}.parquet", saying({}, by))
    assert reason(root) == TWO
    with pytest.raises(Refused, match="more than one calendar"):
        scanned(root)


def test_int96_of_nanoseconds_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "t"
    for name, value in (("a", 1_000), ("b", 1_001)):
        times = pa.array([None, value], pa.timestamp("ns"))
        parquet(pa.table({"l": pa.array([[v] for v in times], pa.list_(times.type))}), root / f"{name}.parquet",
                use_deprecated_int96_timestamps=True)  # fmt: skip
    assert reason(root) == "it holds timestamps of nanoseconds, which are not carried here"
    (root / "b.parquet").unlink()
    assert reason(root) is None


def test_reasons(tmp_path: Path) -> None:
    """Files that no new file could stand for."""
    price = pa.table({"n": pa.array([Decimal("1.5")], pa.decimal128(9, 2)), "m": pa.array([1], pa.int64())})
    cases: dict[str, list[tuple[pa.Table, dict[str, Any]]]] = {
        "column n is stored in more than one way in its files": [
            (price, {}),
            (price, {"store_decimal_as_integer": True}),
        ],
        "names of columns in a file differ only in their case": [(pa.table({"m": [1], "M": [2]}), {})],
    }
    for number, (expected, files) in enumerate(cases.items()):
        root = tmp_path / str(number)
        for place, (rows, options) in enumerate(files):
            parquet(rows, root / f"{place}.parquet", **options)
        paths = [str(path) for path in sorted(root.iterdir())]
        schema = pa.schema([field for field in files[0][0].schema if field.name != "M"])
        found = hive_meaning.file_form(paths, "parquet", schema, lambda path: (pa.fs.LocalFileSystem(), path))
        assert found == expected
    assert hive_meaning.file_form(["x"], "avro", schema, lambda path: (pa.fs.LocalFileSystem(), path)) == (
        "avro files are not rewritten"
    )


def test_a_column_that_the_table_does_not_have_is_not_lost(tmp_path: Path) -> None:
    parquet(pa.table({"a": [1], "gone": [2]}), tmp_path / "a.parquet")
    schema, paths = pa.schema([("a", pa.int64())]), [str(tmp_path / "a.parquet")]
    found = hive_meaning.file_form(paths, "parquet", schema, lambda path: (pa.fs.LocalFileSystem(), path))
    assert found == "files hold column gone, which the table does not have"
    as_orc(pa.table({"a": [1], "gone": [2]}), tmp_path / "a.orc")
    found = hive_meaning.file_form(
        [str(tmp_path / "a.orc")], "orc", schema, lambda path: (pa.fs.LocalFileSystem(), path)
    )
    assert found == "files hold column gone, which the table does not have"


@settings(deadline=None)
@given(st.lists(st.none() | st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31)), max_size=20))
def test_int96_is_what_pyarrow_reads(times: list[dt.datetime | None]) -> None:
    """Bytes of our own, in a file whose footer calls them INT96, with nanoseconds that are never negative."""
    values = pa.array(times, pa.timestamp("us"))
    raw = int96.encoded(values)
    assert not int96.has_nanoseconds(raw)
    sink = io.BytesIO()
    pq.write_table(pa.table({"t": raw}), sink, use_dictionary=False, write_statistics=False)
    footer = RawFooter.read(pa.BufferReader(sink.getvalue())).fields()
    footer[SCHEMA][1].values[1] = {**footer[SCHEMA][1].values[1], TYPE: (5, INT96)}
    footer[SCHEMA][1].values[1].pop(2)
    for group in row_groups(footer):
        chunks(group)[0][CHUNK_META][1][1] = (5, INT96)
    metadata = RawFooter(encode(footer), 0).as_pyarrow().metadata
    file = pq.ParquetFile(io.BytesIO(sink.getvalue()), metadata=metadata, coerce_int96_timestamp_unit="us")
    assert file.read()["t"].to_pylist() == times
    assert all(cell is None or int.from_bytes(cell[:8], "little", signed=True) >= 0 for cell in raw.to_pylist())


def test_a_type_said_in_an_older_way_is_the_same(tmp_path: Path) -> None:
    """Converted types alone, as parquet-mr 1.8 says them, and logical types beside them."""
    rows = table(OLD, count=3).drop_columns(["At"])  # the older way knows no timestamps but those in UTC
    parquet(rows, tmp_path / "a.parquet", store_decimal_as_integer=True)
    footer, old = footer_of(tmp_path / "a.parquet"), footer_of(tmp_path / "a.parquet")
    for element in old[SCHEMA][1].values:
        if 6 in element:
            element.pop(10, None)
    named = [tree.name for tree in trees(old) if 6 in tree.head]
    assert len(named) > 5
    assert [meaning(tree) for tree in trees(old)] == [meaning(tree) for tree in trees(footer)]
    assert [leaf.kind for leaf in leaves(footer[SCHEMA][1].values)][:3] == [1, 1, 1]
