"""The order check against a slow comparison in Python, as the Iceberg spec words it."""

from __future__ import annotations

import math
import struct
import uuid
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.errors import UnknownName, UsageError
from lakeopt.parquet.order import OrderCheck

NAN = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000001))[0]
VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "double": (pa.float64(), [-math.inf, -1.5, -0.0, 0.0, 5e-324, 1.5, math.inf, math.nan, NAN]),
    "float": (pa.float32(), [-math.inf, -1.5, -0.0, 0.0, 1.5, math.inf, math.nan]),
    "string": (pa.string(), ["", "\0", "a", "a\0", "aa", "Z", "é", "￿", "🦆"]),
    "binary": (pa.binary(), [b"", b"\0", b"\x7f", b"\x80", b"\xff", b"\xff\0"]),
    "fixed": (pa.binary(2), [b"\0\0", b"\x7f\xff", b"\x80\0", b"\xff\xff"]),
    "bool": (pa.bool_(), [False, True]),
    "long": (pa.int64(), [-(2**63), -1, 0, 1, 2**63 - 1]),
    "date": (pa.date32(), [-(2**31), -1, 0, 2**31 - 1]),
    "time": (pa.time64("us"), [0, 1, 86_399_999_999]),
    "timestamptz": (pa.timestamp("us", "UTC"), [-(2**63) + 1, -1, 0, 2**63 - 1]),
    "uuid": (pa.uuid(), [uuid.UUID(int=n).bytes for n in (0, 1, 1 << 127, (1 << 128) - 1)]),
    "decimal": (pa.decimal128(38, 2), [-(10**30), -1, 0, 1, 10**30]),
}
ROWS = st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 8)), st.one_of(st.none(), st.integers(0, 8))), max_size=9)


def rank(kind: str, value: Any) -> Any:
    """A Python value that compares as the spec says."""
    if kind in ("double", "float"):
        return (1, 0.0, 0.0) if math.isnan(value) else (0, value, math.copysign(1.0, value))
    return value.encode() if kind == "string" else value


def reference(kinds: list[str], rows: list[tuple[Any, ...]], key: list[tuple[str, bool, bool]]) -> bool:
    def not_above(left: tuple[Any, ...], right: tuple[Any, ...]) -> bool:
        for (a, b), kind, (_, ascending, nulls_first) in zip(zip(left, right, strict=True), kinds, key, strict=True):
            if a is None and b is None:
                continue
            if a is None or b is None:
                return (a is None) == nulls_first
            if rank(kind, a) != rank(kind, b):
                return bool(rank(kind, a) < rank(kind, b)) == ascending
        return True

    return all(not_above(left, right) for left, right in pairwise(rows))


@given(
    kinds=st.lists(st.sampled_from(sorted(VALUES)), min_size=2, max_size=2),
    picks=ROWS,
    directions=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=2),
    cut=st.integers(0, 9),
    arrange=st.booleans(),
    encode=st.booleans(),
)
def test_the_check_agrees_with_a_plain_comparison(
    kinds: list[str], picks: list[Any], directions: list[Any], cut: int, arrange: bool, encode: bool
) -> None:
    if arrange:
        picks = sorted(picks, key=lambda pair: [(n is not None, n or 0) for n in pair])
    columns = []
    for place, kind in enumerate(kinds):
        among = VALUES[kind][1]
        columns.append([None if pick[place] is None else among[pick[place] % len(among)] for pick in picks])
    arrays = [pa.array(c, VALUES[k][0]) for c, k in zip(columns, kinds, strict=True)]
    schema = pa.schema([(name, array.type) for name, array in zip("ab", arrays, strict=True)])
    if encode:
        arrays = [a.dictionary_encode() if pa.types.is_string(a.type) else a for a in arrays]
    batch = pa.RecordBatch.from_arrays(arrays, names=["a", "b"])
    key = [(name, *direction) for name, direction in zip("ab", directions, strict=True)]
    check = OrderCheck(schema, key)
    check.update(batch.slice(0, cut))
    check.update(batch.slice(cut))
    assert check.ok == reference(kinds, list(zip(*columns, strict=True)), key)


def test_a_step_down_between_batches_is_seen_and_not_forgotten() -> None:
    check = OrderCheck(pa.schema([("a", pa.int32())]), [("a", True, True)])
    for value, ok in ((1, True), (2, True), (1, False), (5, False)):
        assert check.update(pa.record_batch({"a": pa.array([value], pa.int32())})) is ok


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int32()), pa.map_(pa.string(), pa.int32()), pa.struct([("x", pa.int32())])]
)
def test_a_nested_column_is_no_sort_key(kind: pa.DataType) -> None:
    with pytest.raises(UsageError, match="'tags' cannot be sorted by"):
        OrderCheck(pa.schema([("tags", kind)]), [("tags", True, True)])


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(UnknownName, match="'flihgt'"):
        OrderCheck(pa.schema([("flight", pa.int32())]), [("flihgt", True, True)])
