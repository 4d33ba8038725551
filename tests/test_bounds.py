"""Bounds as other writers store them: pyiceberg's encoder and real Parquet footers are the other side."""

from __future__ import annotations

import datetime as dt
import math
import struct
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.conversions import to_bytes
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    PrimitiveType,
    StringType,
    TimestampNanoType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from lakeopt.analysis.bounds import ColumnBounds, truncation_width
from lakeopt.analysis.footer_facts import ColumnRange, footer_facts
from lakeopt.analysis.ranges import key_ranges
from lakeopt.analysis.single_values import decode, rank
from lakeopt.model.plan import SortField
from lakeopt.model.scan import FIELD_ID

LONG = st.integers(-(2**63), 2**63 - 1)
INT = st.integers(-(2**31), 2**31 - 1)
TYPES: list[tuple[PrimitiveType, st.SearchStrategy[Any]]] = [
    (BooleanType(), st.booleans()),
    (IntegerType(), INT),
    (LongType(), LONG),
    (DateType(), INT),
    (TimeType(), st.integers(0, 86_400 * 10**6 - 1)),
    (TimestamptzType(), LONG),
    (TimestampNanoType(), LONG),
    (FloatType(), st.floats(width=32, allow_nan=False)),
    (DoubleType(), st.floats(allow_nan=False)),
    (
        DecimalType(38, 3),
        st.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -3))),
    ),
    (DecimalType(9, 0), st.integers(-(10**9) + 1, 10**9 - 1).map(Decimal)),
    (StringType(), st.text()),
    (BinaryType(), st.binary()),
    (UUIDType(), st.uuids().map(lambda u: u.bytes)),
]


def ranked(encoded: list[bytes | None], kind: str) -> list[int]:
    (ranks,), _ = rank([decode(pa.array(encoded, pa.binary()), kind)])
    return ranks.tolist()


@pytest.mark.parametrize(("kind", "values"), TYPES, ids=[str(kind) for kind, _ in TYPES])
def test_codes_compare_as_the_values_do(kind: PrimitiveType, values: st.SearchStrategy[Any]) -> None:
    @given(st.lists(st.none() | values, max_size=30))
    def check(drawn: list[Any]) -> None:
        def order(value: Any) -> Any:
            return value.encode() if isinstance(value, str) else value

        distinct = sorted({order(value) for value in drawn if value is not None})
        encoded = [None if value is None else to_bytes(kind, value) for value in drawn]
        expected = [0 if value is None else distinct.index(order(value)) + 1 for value in drawn]
        assert ranked(encoded, str(kind)) == expected

    check()


@given(st.lists(INT, min_size=1, max_size=20), st.lists(LONG, min_size=1, max_size=20))
def test_promoted_columns_mix_widths(old: list[int], new: list[int]) -> None:
    encoded = [struct.pack("<i", value) for value in old] + [struct.pack("<q", value) for value in new]
    together = old + new
    assert ranked(encoded, "long") == [sorted(set(together)).index(value) + 1 for value in together]


def test_promoted_floats_dates_and_decimals() -> None:
    assert ranked([struct.pack("<f", 1.5), struct.pack("<d", 1.25), struct.pack("<d", 1.5)], "double") == [2, 1, 2]
    day = struct.pack("<i", 2)
    assert ranked([day, struct.pack("<q", 2 * 86_400 * 10**6), struct.pack("<q", 5)], "timestamp") == [2, 2, 1]
    assert ranked([day, struct.pack("<q", 2 * 86_400 * 10**9)], "timestamp_ns") == [1, 1]
    assert ranked([b"\x00\x05", b"\x05", b"\xfb", b"\xff\xff\xff\xfb"], "decimal(20, 2)") == [2, 2, 1, 1]


def test_floats_have_one_zero_and_a_nan_bound_says_nothing() -> None:
    numbers = [-math.inf, -1.0, -0.0, 0.0, 1.0, math.inf, math.nan]
    assert ranked([struct.pack("<d", number) for number in numbers], "double") == [1, 2, 3, 3, 4, 5, 0]


@pytest.mark.parametrize("kind", ["long", "double", "boolean", "decimal(9, 2)"])
def test_bounds_of_no_valid_length_are_absent(kind: str) -> None:
    assert ranked([b"", b"\x00" * 17, None], kind) == [0, 0, 0]
    assert ranked([], kind) == []


@pytest.mark.parametrize(
    ("properties", "width"),
    [
        ({}, 16),
        ({"write.metadata.metrics.default": "truncate(8)"}, 8),
        ({"write.metadata.metrics.default": "full"}, 16),
        ({"write.metadata.metrics.default": "Truncate(64)"}, 16),
        ({"write.metadata.metrics.default": "none", "write.metadata.metrics.column.a b": "truncate(3)"}, 3),
    ],
)
def test_truncation_width_is_what_every_writer_kept(properties: dict[str, str], width: int) -> None:
    assert truncation_width(properties, "a b") == width


def one_file(
    kind: str, low: bytes | None, high: bytes | None, *, nulls: int = 0, nans: int = -1, values: int = 9
) -> ColumnBounds:
    exact = np.array([low is not None])
    counts = [np.array([count]) for count in (nulls, nans, values)]
    return ColumnBounds(kind, pa.array([low], pa.binary()), pa.array([high], pa.binary()), exact, exact, *counts)


@pytest.mark.parametrize(
    ("bounds", "known"),
    [
        (one_file("int", b"\x01\x00\x00\x00", b"\x02\x00\x00\x00"), True),
        (one_file("int", b"\x02\x00\x00\x00", b"\x01\x00\x00\x00"), False),  # the wrong way round
        (one_file("int", b"\x01\x00\x00\x00", None), False),
        (one_file("int", b"\x01\x00\x00\x00", b"\x02\x00\x00\x00", nulls=-1), False),
        (one_file("int", None, None, nulls=9), True),
        (one_file("double", None, None, nulls=4, nans=5), True),
        (one_file("double", None, None, nulls=4, nans=4), False),
        (one_file("double", struct.pack("<d", math.nan), struct.pack("<d", math.nan)), False),
    ],
)
def test_what_is_known_of_a_file(bounds: ColumnBounds, known: bool) -> None:
    assert key_ranges(bounds, SortField("c")).known.tolist() == [known]


UTC = dt.UTC
COLUMNS: list[tuple[PrimitiveType, pa.DataType, list[Any], list[Any]]] = [
    (BooleanType(), pa.bool_(), [False, True, None], [False, True]),
    (IntegerType(), pa.int32(), [-7, 3, None], [-7, 3]),
    (LongType(), pa.int32(), [-7, 3, None], [-7, 3]),
    (DateType(), pa.date32(), [dt.date(1969, 12, 30), dt.date(2026, 1, 2)], [-2, 20455]),
    (TimeType(), pa.time64("us"), [dt.time(1), dt.time(2)], [3_600_000_000, 7_200_000_000]),
    (TimeType(), pa.time32("ms"), [dt.time(1), dt.time(2)], [3_600_000_000, 7_200_000_000]),
    (TimestamptzType(), pa.timestamp("ms", "UTC"), [dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)], [10**6, 10**6]),
    (TimestamptzType(), pa.timestamp("us", "UTC"), [dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)], [10**6, 10**6]),
    (TimestampNanoType(), pa.timestamp("ns"), [dt.datetime(1970, 1, 1, 0, 0, 1)], [10**9, 10**9]),
    (DecimalType(9, 2), pa.decimal128(9, 2), [Decimal("-1.25"), Decimal("1.00")], [Decimal("-1.25"), Decimal("1.00")]),
    (
        DecimalType(38, 2),
        pa.decimal128(38, 2),
        [Decimal("-1.28"), Decimal("2.55")],
        [Decimal("-1.28"), Decimal("2.55")],
    ),
    (StringType(), pa.string(), ["b" * 40, "a", "é"], ["a", "é"]),
    (BinaryType(), pa.binary(), [b"\xff\x00", b"\x00"], [b"\x00", b"\xff\x00"]),
    (UUIDType(), pa.binary(16), [uuid.UUID(int=5).bytes], [uuid.UUID(int=5).bytes] * 2),
]


def written(path: Path, table: pa.Table, **options: Any) -> pq.FileMetaData:
    pq.write_table(table, path, **options)
    return pq.read_metadata(path)


def identified(name: str, kind: pa.DataType, field_id: int) -> pa.Field:
    return pa.field(name, kind, metadata={FIELD_ID: str(field_id).encode()})


@pytest.mark.parametrize(("kind", "arrow", "values", "ends"), COLUMNS, ids=[f"{k}-{a}" for k, a, *_ in COLUMNS])
def test_a_footer_gives_the_exact_range(
    tmp_path: Path, kind: PrimitiveType, arrow: pa.DataType, values: list[Any], ends: list[Any]
) -> None:
    nested = identified("n", pa.struct([identified("x", pa.int32(), 8), identified("y", pa.list_(pa.int8()), 9)]), 7)
    column = identified("c", arrow, 3)
    table = pa.table([[None] * len(values), values], schema=pa.schema([nested, column]))
    for row_group_rows in (1, 100):
        footer = written(tmp_path / "f.parquet", table, row_group_size=row_group_rows)
        found = footer_facts(footer, {3: str(kind)}).ranges[3]
        assert ranked([found.lower, to_bytes(kind, ends[0])], str(kind)) in ([1, 1],)
        assert ranked([found.upper, to_bytes(kind, ends[1])], str(kind)) in ([1, 1],)
        assert (found.nulls, found.values) == (values.count(None), len(values))


def test_a_footer_knows_only_nulls_and_columns_that_came_later(tmp_path: Path) -> None:
    table = pa.table(
        [[None, None], [1, 2]], schema=pa.schema([identified("s", pa.string(), 1), identified("n", pa.int64(), 2)])
    )
    ranges = footer_facts(written(tmp_path / "f.parquet", table), {1: "string", 2: "long", 3: "long"}).ranges
    assert ranges[1] == ranges[3] == ColumnRange(None, None, 2, 2)
    assert ranges[2].nulls == 0


def test_a_footer_says_nothing_without_statistics_ids_or_about_nan(tmp_path: Path) -> None:
    schema = pa.schema([identified("f", pa.float64(), 1), identified("n", pa.int64(), 2)])
    table = pa.table([[1.0, math.nan], [1, 2]], schema=schema)
    assert footer_facts(written(tmp_path / "f.parquet", table), {1: "double"}).ranges == {}
    assert footer_facts(written(tmp_path / "f.parquet", table, write_statistics=False), {2: "long"}).ranges == {}
    bare = written(tmp_path / "f.parquet", pa.table({"n": [1]}))
    assert footer_facts(bare, {1: "long"}).ranges == {}
    assert not footer_facts(bare, {}).field_ids


def test_long_statistics_of_a_writer_that_may_cut_them_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    for text, believed in (("a" * 40, True), ("a" * 64, False)):
        table = pa.table([[text]], schema=pa.schema([identified("s", pa.string(), 1)]))
        assert 1 in footer_facts(written(path, table), {1: "string"}).ranges
        content = path.read_bytes()
        assert content.count(b"parquet-cpp-arrow") == 1
        path.write_bytes(content.replace(b"parquet-cpp-arrow", b"parquet-rs-x64-64"))
        assert (1 in footer_facts(pq.read_metadata(path), {1: "string"}).ranges) is believed


def test_facts_of_a_footer(tmp_path: Path) -> None:
    table = pa.table({"a": list(range(1000)), "s": ["x"] * 1000})
    facts = footer_facts(
        written(tmp_path / "f.parquet", table, row_group_size=400, compression="gzip", write_page_index=True), {}
    )
    assert facts.row_group_rows == (400, 400, 200)
    assert sum(facts.row_group_bytes) < (tmp_path / "f.parquet").stat().st_size
    assert (facts.codecs, facts.page_index) == (frozenset({"gzip"}), True)
    assert not footer_facts(written(tmp_path / "g.parquet", table), {}).page_index
