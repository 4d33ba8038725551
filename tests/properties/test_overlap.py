"""Depth and excess depth against a comparison of every pair of files, straight from the definition."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from lakeopt.analysis.footer_facts import ColumnRange, FooterFacts
from lakeopt.analysis.overlap import key_depths, partition_groups
from lakeopt.model.plan import SortField
from lakeopt.model.scan import FIELD_ID, files_schema

TYPES = {"n": "long", "s": "string", "f": "double"}
SCHEMA = pa.schema(
    [
        pa.field(name, kind, metadata={FIELD_ID: str(index).encode()})
        for index, (name, kind) in enumerate({"n": pa.int64(), "s": pa.string(), "f": pa.float64()}.items(), start=1)
    ]
)
WIDTH = 16
#: Strings that agree before, at and after the place where Iceberg cuts bounds.
STRINGS = [*"abc", "", *("p" * 15 + tail for tail in ("", "x", "y", "xa", "xb", "y\x00", "xa" * 9, "é", "éa"))]


@dataclass(frozen=True)
class Rows:
    """A file: its partition and its rows."""

    spec_id: int
    partition: str
    rows: tuple[tuple[Any, Any, Any], ...]

    def column(self, name: str) -> list[Any]:
        return [row[list(TYPES).index(name)] for row in self.rows]


def binary(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return struct.pack("<q" if isinstance(value, int) else "<d", value)


def cut(value: Any, *, raised: bool) -> bytes:
    """A bound as metrics mode truncate(16) writes it."""
    if not isinstance(value, str) or len(value) <= WIDTH:
        return binary(value)
    kept = value[:WIDTH]
    return binary(kept[:-1] + chr(ord(kept[-1]) + 1) if raised else kept)


def file_list(files: Sequence[Rows], *, bounded: bool = True) -> pa.Table:
    rows = []
    for number, file in enumerate(files):
        columns = {i: file.column(name) for i, name in enumerate(TYPES, start=1)}
        present = {i: [v for v in c if v is not None and v == v] for i, c in columns.items()}
        rows.append(
            {
                "content": 0,
                "file_path": f"f{number}",
                "file_format": "PARQUET",
                "spec_id": file.spec_id,
                "partition": file.partition,
                "record_count": len(file.rows),
                "file_size_in_bytes": 1,
                "value_counts": [(i, len(c)) for i, c in columns.items()],
                "null_value_counts": [(i, sum(v is None for v in c)) for i, c in columns.items()],
                "nan_value_counts": [(3, sum(v is not None and v != v for v in columns[3]))],
                "lower_bounds": [(i, cut(min(c), raised=False)) for i, c in present.items() if c] if bounded else [],
                "upper_bounds": [(i, cut(max(c), raised=True)) for i, c in present.items() if c] if bounded else [],
            }
        )
    return pa.Table.from_pylist(rows, schema=files_schema())


def exact_ranges(files: Sequence[Rows]) -> Any:
    """What the footers of these files say, for the columns that footers can speak about."""

    def ask(paths: Sequence[str]) -> Mapping[str, FooterFacts]:
        found = {}
        for path in paths:
            ranges = {}
            for field_id, name in ((1, "n"), (2, "s")):
                column = files[int(path[1:])].column(name)
                present = [value for value in column if value is not None]
                ends = (binary(min(present)), binary(max(present))) if present else (None, None)
                ranges[field_id] = ColumnRange(*ends, len(column) - len(present), len(column))
            found[path] = FooterFacts((), (), frozenset(), True, True, ranges)
        return found

    return ask


def place(value: Any, part: SortField) -> tuple[float, ...]:
    """A value as something that Python orders like the key does (strings as numbers of their bytes)."""
    if value is None:
        return (0 if part.nulls == "first" else 2,)
    sign = 1 if part.direction == "asc" else -1
    if value != value:
        return (1, sign, 0)
    if isinstance(value, str):
        value = int.from_bytes(value.encode().ljust(64, b"\0") + bytes([len(value.encode())]), "big")
    return (1, 0, sign * value)


def exceed(one: Rows, other: Rows, key: Sequence[SortField]) -> bool:
    if not key:
        return False
    (lo, hi), (lo2, hi2) = (ends(file, key[0]) for file in (one, other))
    if lo == hi == lo2 == hi2:
        return exceed(one, other, key[1:])
    return lo < hi2 and lo2 < hi


def meet(one: Rows, other: Rows, key: Sequence[SortField]) -> bool:
    if not key:
        return True
    (lo, hi), (lo2, hi2) = (ends(file, key[0]) for file in (one, other))
    if lo == hi == lo2 == hi2:
        return meet(one, other, key[1:])
    return lo <= hi2 and lo2 <= hi


def ends(file: Rows, part: SortField) -> tuple[Any, Any]:
    places = [place(value, part) for value in file.column(part.name)]
    return min(places), max(places)


def neighbours(files: Sequence[Rows], key: Sequence[SortField], test: Any) -> list[int]:
    return [
        sum(
            test(one, other, key)
            for other in files
            if other is not one and (other.spec_id, other.partition) == (one.spec_id, one.partition)
        )
        for one in files
    ]


values = st.tuples(
    st.none() | st.integers(-2, 3),
    st.none() | st.sampled_from(STRINGS),
    st.none() | st.sampled_from([-1.5, 0.0, 2.0, math.nan, math.inf]),
)
files_of_rows = st.lists(
    st.builds(
        Rows,
        st.sampled_from([0, 1]),
        st.sampled_from(["{}", '{"p": 1}']),
        st.lists(values, min_size=1, max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=12,
)
keys = st.lists(
    st.builds(
        SortField, st.sampled_from(list(TYPES)), st.sampled_from(["asc", "desc"]), st.sampled_from(["first", "last"])
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda part: part.name,
)


@given(files_of_rows, keys)
def test_counts_are_those_of_all_pairs(files: list[Rows], key: list[SortField]) -> None:
    found = key_depths(file_list(files), key, SCHEMA, TYPES, footers=exact_ranges(files))
    assert found.excess.tolist() == neighbours(files, key, exceed)
    assert (found.depth >= np.array(neighbours(files, key, meet)) + 1).all()
    (low, high), group = found.ends(), partition_groups(file_list(files))
    overlap = (low[:, None] < high) & (low < high[:, None]) & (group[:, None] == group)
    np.fill_diagonal(overlap, False)
    assert overlap.sum(axis=1).tolist() == found.excess.tolist()


@given(files_of_rows, keys.filter(lambda key: all(part.name != "s" for part in key)))
def test_depth_of_uncut_bounds_is_that_of_all_pairs(files: list[Rows], key: list[SortField]) -> None:
    found = key_depths(file_list(files), key, SCHEMA, TYPES)
    assert found.depth.tolist() == [1 + met for met in neighbours(files, key, meet)]
    assert found.excess.tolist() == neighbours(files, key, exceed)


@given(files_of_rows, keys)
def test_without_footers_a_file_is_right_or_unknown(files: list[Rows], key: list[SortField]) -> None:
    found = key_depths(file_list(files), key, SCHEMA, TYPES)
    truth = neighbours(files, key, exceed)
    assert all(mine in (-1, true) for mine, true in zip(found.excess.tolist(), truth, strict=True))


@given(files_of_rows, keys, st.integers(0, 3))
def test_some_footers_never_make_a_wrong_count(files: list[Rows], key: list[SortField], budget: int) -> None:
    every, left = exact_ranges(files), [budget]

    def few(paths: Sequence[str]) -> Mapping[str, FooterFacts]:
        given_now = paths[: left[0]]
        left[0] -= len(given_now)
        return every(given_now)

    found = key_depths(file_list(files), key, SCHEMA, TYPES, footers=few)
    truth = neighbours(files, key, exceed)
    assert all(mine in (-1, true) for mine, true in zip(found.excess.tolist(), truth, strict=True))


@given(files_of_rows, st.sampled_from(["n", "s"]))
def test_absent_bounds_are_unknown_until_a_footer_speaks(files: list[Rows], name: str) -> None:
    key, unbounded = [SortField(name)], file_list(files, bounded=False)
    found = key_depths(unbounded, key, SCHEMA, TYPES)
    only_nulls = [all(value is None for value in file.column(name)) for file in files]
    assert (found.excess >= 0).tolist() == only_nulls
    assert (found.depth >= 1).tolist() == only_nulls
    asked = key_depths(unbounded, key, SCHEMA, TYPES, footers=exact_ranges(files))
    assert asked.excess.tolist() == neighbours(files, key, exceed)


@given(st.lists(values, min_size=1, max_size=40), keys, st.integers(1, 5))
def test_rows_in_key_order_have_no_excess(rows: list[tuple[Any, Any, Any]], key: list[SortField], size: int) -> None:
    names = list(TYPES)
    rows = sorted(rows, key=lambda row: tuple(place(row[names.index(part.name)], part) for part in key))
    files = [Rows(0, "{}", tuple(rows[start : start + size])) for start in range(0, len(rows), size)]
    found = key_depths(file_list(files), key, SCHEMA, TYPES, footers=exact_ranges(files))
    assert found.excess.tolist() == [0] * len(files)
    summary = found.summary("key")
    assert (summary.excess_depth, summary.max_excess_depth, summary.unknown_files) == (0.0, 0, 0)


def test_a_heavy_value_over_several_files_is_perfect_and_a_second_copy_is_not() -> None:
    def of(*numbers: int) -> Rows:
        return Rows(0, "{}", tuple((number, None, None) for number in numbers))

    files = [of(1, 3), of(3), of(3), of(3, 5), of(5, 9)]
    found = key_depths(file_list(files), [SortField("n")], SCHEMA, TYPES)
    assert found.excess.tolist() == [0, 0, 0, 0, 0]
    assert found.depth.tolist() == [4, 4, 4, 5, 2]
    again = key_depths(file_list([*files, *files]), [SortField("n")], SCHEMA, TYPES)
    assert again.excess.tolist() == [1, 0, 0, 1, 1] * 2
