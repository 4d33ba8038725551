"""Keys of equality deletes are looked up as plain Python compares them, null with null and NaN with NaN."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from scans import field

from lakeopt.parquet.deleted_keys import DeletedKeys

FEW: dict[pa.DataType, list[Any]] = {
    pa.int32(): [None, 0, -1, 2**31 - 1],
    pa.int64(): [None, 0, -(2**63), 5],
    pa.float64(): [None, math.nan, 0.0, -0.0, 1.5],
    pa.string(): [None, "", "a", "b"],
    pa.date32(): [None, 0, -1],
    pa.timestamp("us", "UTC"): [None, 0, 2**60],
    pa.bool_(): [None, True, False],
    pa.binary(2): [None, b"ab", b"\0\0"],
}


@st.composite
def lookups(draw: st.DrawFn) -> tuple[list[pa.DataType], list[list[tuple[Any, ...]]], list[tuple[Any, ...]]]:
    kinds = draw(st.lists(st.sampled_from(list(FEW)), min_size=1, max_size=3))
    rows = st.lists(st.tuples(*(st.sampled_from(FEW[kind]) for kind in kinds)), max_size=6)
    return kinds, draw(st.lists(rows, min_size=1, max_size=4)), draw(rows)


def arrays(kinds: list[pa.DataType], rows: list[tuple[Any, ...]]) -> list[pa.Array]:
    return [pa.array([row[place] for row in rows], kind) for place, kind in enumerate(kinds)]


@given(lookups(), st.data())
def test_rows_are_found_as_python_finds_them(drawn: Any, data: st.DataObject) -> None:
    kinds, files, rows = drawn
    applying = data.draw(st.sets(st.integers(0, len(files) - 1)))
    fields = [field(f"c{place}", kind, place + 1) for place, kind in enumerate(kinds)]
    keys = DeletedKeys(fields, [arrays(kinds, file) for file in files])
    found = keys.rows(arrays(kinds, rows), len(rows), keys.applying(applying))
    deleted = {repr(key) for number in applying for key in files[number]}
    assert found.tolist() == [place for place, row in enumerate(rows) if repr(row) in deleted]
