"""Engines order rows by a leading key first: z-order, Hilbert and PV buckets, on columns of every type."""

from __future__ import annotations

import dataclasses
import math
import uuid
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scans import field, scan_of, table, write

from lakeopt.engines.base import Engine
from lakeopt.keys.cut_points import ascending, quantiles
from lakeopt.keys.leading_key import CurveKey, RangeKey
from lakeopt.model.scan import LeadingKey, Scan, StageRequest, WriterOptions
from lakeopt.parquet.order import OrderCheck, leading_numbers
from lakeopt.parquet.scan import read_batches
from lakeopt.registry import ENGINES, load, names
from lakeopt.workflows.verify import prove, staged_scan

SCHEMA = pa.schema(
    [
        field("n", pa.int64(), 1),
        field("f", pa.float64(), 2),
        field("t", pa.string(), 3),
        field("d", pa.decimal128(20, 3), 4),
        field("e", pa.decimal128(9, 2), 5),
        field("u", pa.uuid(), 6),
        field("z", pa.timestamp("us", "UTC"), 7),
        field("b", pa.bool_(), 8),
        field("x", pa.binary(3), 9),
        field("day", pa.date32(), 10),
        field("l", pa.list_(field("element", pa.int32(), 12)), 11),
    ]
)


# Spark works on tables of a catalog only: tests/services/test_spark_engine.py.
@pytest.fixture(params=[name for name in names(ENGINES) if name != "spark"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = load(ENGINES, request.param).ENGINE
    return found


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    """Three small files with nulls, NaN, both zeros, ties, text beyond ASCII."""
    paths = []
    for number in range(3):
        count = range(number * 40, number * 40 + 40)
        part = table(
            SCHEMA,
            n=[None if n % 11 == 0 else n % 5 for n in count],
            f=[[None, math.nan, -0.0, 0.0, -math.inf, 1.5, -2.5][n % 7] for n in count],
            t=[["", "a", "é", "🦆", "Z", None][n % 6] for n in count],
            d=[Decimal(n * 7 % 50 - 20).scaleb(-3) for n in count],
            e=[None if n % 9 == 0 else Decimal(n * 7 % 50 - 20).scaleb(-2) for n in count],
            u=[uuid.UUID(int=(n * 7919 % 251) << 120).bytes for n in count],
            z=[n * 77 % 40 * 1_000_003 for n in count],
            b=[[True, False, None][n % 3] for n in count],
            x=[bytes([n * 37 % 256, 0, 255]) for n in count],
            day=[n - 50 for n in count],
            l=[[n] for n in count],
        )
        paths.append(write(tmp_path / "in" / f"{number}.parquet", part, row_group_size=15))
    return scan_of(SCHEMA, paths)


def rows(scan: Scan) -> list[dict[str, Any]]:
    return [row for batch in read_batches(scan, threads=1) for row in batch.to_pylist()]


def column(scan: Scan, name: str) -> pa.Array:
    batches = list(read_batches(scan, columns=[name], threads=1))
    return pa.concat_arrays([batch.column(0) for batch in batches])


def numbers(leading: LeadingKey, scan: Scan, staged: pa.Table) -> list[list[int]]:
    """The key's number of each row, file by file, as they lie."""
    written = staged_scan(scan, staged)
    found = []
    for place in range(staged.num_rows):
        one = dataclasses.replace(written, files=written.files.slice(place, 1))
        parts = [leading_numbers(batch, leading).to_pylist() for batch in read_batches(one, threads=1)]
        found.append([number for part in parts for number in part])
    return found


def staged_by(
    engine: Engine, scan: Scan, root: Path, leading: LeadingKey, sort: Sequence[tuple[str, bool, bool]] = ()
) -> pa.Table:
    request = StageRequest(
        scan,
        tuple(sort),
        WriterOptions(level=1),
        target_file_bytes=1 << 30,
        locate=lambda n: (root / "out" / f"{n:05d}.parquet").as_uri(),
        memory_bytes=1 << 30,
        threads=2,
        temp_dir=str(root / "spill"),
        leading=leading,
    )
    staged = engine.stage(request)
    assert all(staged["sorted"].to_pylist())
    assert prove(engine, scan, staged_scan(scan, staged), "rows", threads=1, memory_bytes=1 << 28).matched
    return staged


@pytest.mark.parametrize("curve", ["z-order", "hilbert"])
@pytest.mark.parametrize("columns", [("n", "f", "t"), ("d", "u"), ("z", "b", "x", "day")])
def test_rows_come_along_the_curve_and_ties_as_they_arrived(
    engine: Engine, scan: Scan, tmp_path: Path, curve: str, columns: Sequence[str]
) -> None:
    leading = CurveKey(curve, tuple(columns), tuple(quantiles(column(scan, name), 8) for name in columns))
    staged = staged_by(engine, scan, tmp_path, leading)
    (found,) = numbers(leading, scan, staged)
    assert found == sorted(found)
    assert len(set(found)) > 4
    days = [row["day"] for row in rows(staged_scan(scan, staged))]  # ascending as they arrive
    ties = [(one, two) for one, two in pairwise(zip(found, days, strict=True)) if one[0] == two[0]]
    assert all(one[1] < two[1] for one, two in ties)


@pytest.mark.parametrize("name", ["n", "f", "t", "d", "e", "u", "z", "b", "x", "day"])
def test_a_file_begins_where_the_bucket_changes(engine: Engine, scan: Scan, tmp_path: Path, name: str) -> None:
    values, second = column(scan, name), column(scan, "day")
    cuts = ascending(values.drop_null()).take(pa.array([10, 30, 30, 60]))
    leading = RangeKey((name, "day"), (cuts, second.take(pa.array([0, 20, 60, 0]))))
    staged = staged_by(engine, scan, tmp_path, leading, sort=[(name, True, True), ("day", True, True)])
    found = numbers(leading, scan, staged)
    assert all(len(set(of_file)) == 1 for of_file in found)
    together = [of_file[0] for of_file in found]
    assert together == sorted(set(together))
    assert len(together) > 1


def test_values_that_the_plan_did_not_see_lie_behind_all_others(engine: Engine, scan: Scan, tmp_path: Path) -> None:
    seen = pa.array(["", "Z", "a"])
    leading = RangeKey(("t", "n"), (pa.array(["Z"]), pa.array([3], pa.int64())), seen)
    staged = staged_by(engine, scan, tmp_path, leading, sort=[("t", True, True), ("n", True, True)])
    found = rows(staged_scan(scan, staged))
    last = [row["t"] for row in found[-60:]]
    assert set(last) == {None, "é", "🦆"}
    assert [of_file[0] for of_file in numbers(leading, scan, staged)] == [0, 1, 2]


def test_the_check_sees_rows_that_are_not_along_the_curve(scan: Scan) -> None:
    leading = CurveKey("hilbert", ("n", "day"), tuple(quantiles(column(scan, name), 8) for name in ("n", "day")))
    batch = pa.Table.from_batches(read_batches(scan, threads=1)).combine_chunks().to_batches()[0]
    order = np.argsort(np.asarray(leading_numbers(batch, leading)), kind="stable")
    assert OrderCheck(SCHEMA, (), leading).update(batch.take(pa.array(order)))
    assert not OrderCheck(SCHEMA, (), leading).update(batch)
    check = OrderCheck(SCHEMA, (), leading)
    for row in order[::-1][:2]:
        check.update(batch.slice(row, 1))
    assert check.ok == (leading_numbers(batch.take(pa.array(order[-2:])), leading).to_pylist()[0] == 63)


def test_a_scan_without_rows_makes_no_file(engine: Engine, scan: Scan, tmp_path: Path) -> None:
    empty = dataclasses.replace(scan, files=scan.files.slice(0, 0))
    leading = CurveKey("z-order", ("n",), (pa.array([1], pa.int64()),))
    assert staged_by(engine, empty, tmp_path, leading).num_rows == 0
    assert not list((tmp_path / "out").glob("**/*.parquet"))
