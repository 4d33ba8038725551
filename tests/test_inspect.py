"""``inspect`` on real tables: what it states, what it reads, and what it does when something is wrong."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lake import Lake
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, UUIDType

from lakeopt.config import Settings
from lakeopt.errors import DataFileError, UnknownName
from lakeopt.model.serde import from_json, to_json
from lakeopt.model.table import ColumnOverlap, TableProfile, TableView
from lakeopt.tables.open import open_table
from lakeopt.workflows.inspect import VIEWS, inspect

PREFIX = "customer of the north "  # 22 characters: bounds keep 16


def profile(name: str = "lake.db.t", **options: Any) -> TableProfile:
    value = inspect(name, **options)
    assert isinstance(value, TableProfile)
    return value


def view(name: str, **options: Any) -> list[dict[str, Any]]:
    value = inspect("lake.db.t", view=name, **options)
    assert isinstance(value, TableView)
    return [dict(row) for row in value.rows]


def columns(value: TableProfile) -> dict[str, ColumnOverlap]:
    return {overlap.column: overlap for overlap in value.overlap}


def land(lake: Lake, parts: list[pa.Table], **options: Any) -> Any:
    table = lake.create("db.t", parts[0].schema, **options)
    return lake.land(table, *[lake.data_file(table, part, sort_order_id=1) for part in parts])


def two_column_rows(count: int) -> pa.Table:
    """A first key whose top value is a third of all rows, and names that differ after their 22nd character only."""
    random = np.random.default_rng(7)
    kind = np.where(random.random(count) < 0.35, 3, random.integers(0, 9, count))
    names = [f"{PREFIX}{n:05d}" for n in random.integers(0, 99_999, count)]
    return pa.table({"kind": pa.array(kind, pa.int32()), "name": names, "n": np.arange(count)})


def cut(rows: pa.Table, files: int) -> list[pa.Table]:
    size = -(-rows.num_rows // files)
    return [rows.slice(start, size) for start in range(0, rows.num_rows, size)]


def test_rows_in_order_are_perfect_though_bounds_are_cut(lake: Lake) -> None:
    rows = two_column_rows(4000).sort_by([("kind", "ascending"), ("name", "ascending")])
    parts = cut(rows, 20)
    assert sum(part["kind"].unique().to_pylist() == [3] for part in parts) >= 3
    land(lake, parts, sort=["kind", "name"])
    found = profile()
    assert found.sort_key is not None
    assert found.sort_key.column == "kind,name"
    assert (found.sort_key.excess_depth, found.sort_key.max_excess_depth, found.sort_key.unknown_files) == (0.0, 0, 0)
    assert {finding.code for finding in found.findings}.isdisjoint({"badly-clustered", "stale-sort-order"})
    assert columns(found)["name"].unknown_files == 0
    assert columns(found)["name"].excess_depth > 1


def test_the_same_rows_as_they_came_are_not(lake: Lake) -> None:
    land(lake, cut(two_column_rows(4000), 20), sort=["kind", "name"])
    found = profile()
    assert found.sort_key is not None
    assert found.sort_key.excess_depth == found.sort_key.max_excess_depth == 19
    assert "badly-clustered" in {finding.code for finding in found.findings}


def test_swapped_rows_behind_the_cut_are_seen(lake: Lake) -> None:
    names = [f"{PREFIX}{n:05d}" for n in range(60)]
    names[15], names[45] = names[45], names[15]
    land(lake, cut(pa.table({"name": names}), 6), sort=["name"])
    found = profile().sort_key
    assert found is not None
    assert (found.unknown_files, found.max_excess_depth) == (0, 3)


def test_at_most_200_footers_are_read_and_it_is_said(lake: Lake) -> None:
    # Two files each agree in the characters that bounds keep: 110 ties, of which 50 can be settled.
    rows = pa.table({"name": [f"pair {n // 2:03d} of the north {n:05d}" for n in range(220)]})
    land(lake, cut(rows, 220), sort=["name"])
    found = profile()
    assert 100 < found.footers_read <= 200
    assert found.footers_total == found.data_file_count == 220
    assert found.sort_key is not None
    assert found.sort_key.unknown_files == 120
    every = profile(all_footers=True)
    assert every.footers_read == 220
    assert every.sort_key is not None
    assert (every.sort_key.unknown_files, every.sort_key.excess_depth) == (0, 0.0)


def test_figures_are_those_of_the_files(lake: Lake) -> None:
    table = lake.flights("db.t", days=3, partition=[("origin", "identity")])
    listed = list(lake.files(table))
    found = profile()
    assert found.record_count == 600 == sum(file.record_count for file in listed)
    assert found.total_bytes == sum(file.file_size_in_bytes for file in listed)
    assert (found.data_file_count, found.partition_count, found.delete_file_count) == (len(listed), 3, 0)
    assert found.snapshot_id == str(table.current_snapshot().snapshot_id)
    assert (found.format, found.format_version, found.sort_key) == ("iceberg", 2, None)
    assert columns(found)["day"].max_depth == 1
    assert columns(found)["origin"].excess_depth == 0.0
    assert columns(found)["flight"].mean_depth == 3.0
    assert from_json(TableProfile, to_json(found)) == found


def test_views_have_a_row_for_each(lake: Lake) -> None:
    table = lake.flights("db.t", days=3, partition=[("origin", "identity")])
    file = next(lake.files(table))
    lake.land(table, lake.position_deletes(table, {file.file_path: [0]}, like=file))
    files = view("files")
    assert len(files) == 10
    assert sum(row["delete_file_count"] for row in files) == 1
    assert {row["content"] for row in files} == {"data", "position deletes"}
    partitions = view("partitions")
    assert [row["data_file_count"] for row in partitions] == [3, 3, 3]
    assert sum(row["record_count"] for row in partitions) == 600
    assert sum(row["delete_file_count"] for row in partitions) == 1
    assert [row["small_file_count"] for row in partitions] == [3, 3, 3]
    assert [row["operation"] for row in view("snapshots")] == ["append"] * 3 + ["delete"]
    assert isinstance(view("snapshots")[0]["summary"], dict)
    assert [row["name"] for row in view("refs")] == ["main"]
    assert len(view("manifests")) == 4
    for name in VIEWS:
        json.loads(to_json(inspect("lake.db.t", view=name)))


def test_an_older_snapshot_a_tag_and_an_unknown_one(lake: Lake) -> None:
    table = lake.flights("db.t", days=3)
    first = table.snapshots()[0].snapshot_id
    table.manage_snapshots().create_tag(first, "start").commit()
    assert profile(ref=str(first)).data_file_count == profile(ref="start").data_file_count == 1
    assert profile().data_file_count == 3
    assert len(view("files", ref="start")) == 1
    with pytest.raises(UnknownName, match="strat") as caught:
        profile(ref="strat")
    assert "start" in str(caught.value.hint)


def test_an_empty_table(lake: Lake) -> None:
    lake.create("db.t", pa.schema([("a", pa.int64())]), sort=["a"])
    found = profile()
    assert (found.snapshot_id, found.data_file_count, found.total_bytes, found.partition_count) == (None, 0, 0, 0)
    assert (found.footers_read, found.overlap) == (0, ())
    for name in VIEWS[1:]:
        assert view(name) == []


def test_unknown_table_and_view(lake: Lake) -> None:
    lake.create("db.t", pa.schema([("a", pa.int64())]))
    with pytest.raises(UnknownName) as caught:
        inspect("lake.db.t", view="file")
    assert "files" in str(caught.value.hint)
    with pytest.raises(UnknownName):
        inspect("lake.db.tt")


def test_a_table_object_does_for_its_name(lake: Lake) -> None:
    lake.flights("db.t", days=2)
    assert inspect(open_table("lake.db.t", Settings())) == inspect("lake.db.t")


def test_a_damaged_manifest_is_an_error_that_names_it(lake: Lake) -> None:
    table = lake.flights("db.t", days=2)
    path = Path(table.current_snapshot().manifests(table.io)[0].manifest_path.removeprefix("file://"))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataFileError, match=path.name):
        profile()


EVERY_TYPE = pa.schema(
    [
        ("flag", pa.bool_()),
        ("i", pa.int32()),
        ("l", pa.int64()),
        ("f", pa.float32()),
        ("d", pa.float64()),
        ("dec", pa.decimal128(9, 2)),
        ("wide", pa.decimal128(38, 2)),
        ("day", pa.date32()),
        ("t", pa.time64("us")),
        ("ts", pa.timestamp("us")),
        ("tz", pa.timestamp("us", "UTC")),
        ("s", pa.string()),
        ("b", pa.binary()),
        ("fixed", pa.binary(3)),
        ("list", pa.list_(pa.int64())),
        ("map", pa.map_(pa.string(), pa.int64())),
        ("struct", pa.struct([("x", pa.int64())])),
    ]
)


def every_type(n: int) -> pa.Table:
    moment = dt.datetime(1969, 12, 31, 23, 59, 59) + dt.timedelta(seconds=n)
    row = {
        "flag": bool(n),
        "i": n - 1,
        "l": (n - 1) * 2**40,
        "f": n - 0.5,
        "d": n - 0.5,
        "dec": Decimal(n - 1) / 4,
        "wide": Decimal(n - 1) * 10**30,
        "day": moment.date(),
        "t": dt.time(n),
        "ts": moment,
        "tz": moment.replace(tzinfo=dt.UTC),
        "s": f"{PREFIX}{n}",
        "b": b"\xff" * 17 + bytes([n]),
        "fixed": bytes([n, 0, 255]),
        "list": [n],
        "map": [("k", n)],
        "struct": {"x": n},
    }
    return pa.Table.from_pylist([row, row], schema=EVERY_TYPE)


def test_every_type_has_an_order_or_none(lake: Lake) -> None:
    land(lake, [every_type(0), every_type(1), every_type(1)])
    found = columns(profile())
    assert list(found) == EVERY_TYPE.names[:-3]
    for overlap in found.values():
        assert (overlap.unknown_files, overlap.max_excess_depth, overlap.max_depth) == (0, 0, 2), overlap


def test_uuids_compare_by_their_bytes(lake: Lake) -> None:
    schema = Schema(NestedField(1, "u", UUIDType(), required=False))
    table = lake.create("db.t", schema)
    for low, high in ((0, 2**127 - 1), (2**127, 2**128 - 1)):
        values = pa.array([uuid.UUID(int=low).bytes, uuid.UUID(int=high).bytes], pa.binary(16))
        table = lake.land(table, lake.data_file(table, pa.table({"u": values})))
    assert columns(profile())["u"].max_depth == 1


def test_promoted_added_renamed_and_dropped_columns(lake: Lake) -> None:
    table = land(lake, [pa.table({"a": pa.array([1, 5], pa.int32()), "gone": [1, 2]})], sort=["a", "gone"])
    with table.update_schema(allow_incompatible_changes=True) as update:
        update.update_column("a", LongType())
        update.rename_column("a", "b c")
        update.add_column("late", LongType())
    table = lake.load("db.t")
    later = {"b c": pa.array([5, 2**40], pa.int64()), "gone": [1, 2], "late": [7, 8]}
    lake.land(table, lake.data_file(table, pa.table(later)))
    found = columns(profile())
    assert (found["b c"].max_depth, found["b c"].max_excess_depth, found["b c"].unknown_files) == (2, 0, 0)
    # The manifest of the first file knows nothing of the new column, and neither is its footer asked for a number.
    assert found["late"].unknown_files == 1


def test_zeros_are_one_point_and_uncounted_nan_leaves_a_file_unknown(lake: Lake) -> None:
    table = lake.create("db.t", pa.schema([("x", pa.float64())]))
    for values in ([1.0, 2.0], [float("nan")], [-0.0, 0.0], [0.0, 0.0], [-0.0]):
        table = lake.append(table, pa.table({"x": values}))
    found = columns(profile())["x"]
    assert (found.unknown_files, found.max_depth, found.max_excess_depth) == (1, 3, 0)
    assert "missing-bounds" not in {finding.code for finding in profile().findings}


def test_files_without_field_ids_are_told_by_their_manifests_alone(lake: Lake, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table = lake.create("db.t", pa.schema([("name", pa.string()), ("n", pa.int64())]), sort=["name"])
    paths = []
    for n in range(3):
        path = tmp_path / f"{n}.parquet"
        pq.write_table(pa.table({"name": [f"{PREFIX}{n}"], "n": [n]}), path)
        paths.append(f"file://{path}")
    table.add_files(paths)
    found = profile()
    assert found.footers_read == 3
    assert columns(found)["n"].max_excess_depth == 0
    assert columns(found)["name"].unknown_files == 3


@pytest.mark.parametrize("name", ["a.b", "select", "semi;colon", 'quo"te', "spa ce", "café ☕"])
def test_any_column_name(lake: Lake, name: str) -> None:
    land(lake, [pa.table({name: [f"{PREFIX}{n}"]}) for n in range(3)], sort=[name])
    found = profile()
    assert found.overlap[0].column == name
    assert found.sort_key is not None
    assert (found.sort_key.unknown_files, found.sort_key.excess_depth) == (0, 0.0)


def test_loading_inspect_loads_nothing_heavy() -> None:
    heavy = ("pyarrow", "pyiceberg", "numpy")
    probe = f"import sys, lakeopt.workflows.inspect; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
