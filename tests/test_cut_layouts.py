"""Z-order, Hilbert and PV buckets end to end: rows kept, files in order, a second run that finds nothing."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake import Lake

import lakeopt
from lakeopt.errors import UsageError
from lakeopt.keys.layout_key import layout_key
from lakeopt.model.layout_record import LAYOUT_PROPERTY, digest, digest_in, recorded
from lakeopt.model.plan import Layout, RewritePlan, SortField
from lakeopt.model.serde import from_json, to_json
from lakeopt.parquet.order import leading_numbers

#: Whole rewrites, each a second or two: left out of `make check`.
pytestmark = pytest.mark.slow

NAMES = ["z-order", "hilbert", "pv-buckets"]


def key(*names: str) -> tuple[SortField, ...]:
    return tuple(SortField(name) for name in names)


def events(rows: int, seed: int = 0) -> pa.Table:
    """Skewed names with a null, hours, and a payload."""
    random = np.random.default_rng(seed)
    names = np.array(["a'b", "é", "home", "view", "🦆", "pay", "", "x" * 20])
    picked = np.minimum(random.zipf(1.5, rows) - 1, len(names) - 1)
    return pa.table(
        {
            "name": pa.array(names[picked], mask=random.random(rows) < 0.05),
            "at": pa.array(random.integers(0, 10**6, rows), pa.int64()),
            "price": pa.array(random.choice([math.nan, -0.0, 0.0, 1.5, -3.0], rows), pa.float64()),
            "text": pa.array([f"payload {n % 97}" for n in range(rows)]),
        }
    )


def live(lake: Lake, name: str) -> list[str]:
    return sorted(file.file_path for file in lake.files(lake.load(name)))


def numbers(lake: Lake, name: str, layout: Layout) -> list[list[int]]:
    """The layout's number of each row, file by file."""
    leading = layout_key(layout, lake.load(name).schema().as_arrow())
    assert leading is not None
    found = []
    for path in live(lake, name):
        (batch,) = pq.read_table(path.removeprefix("file://")).combine_chunks().to_batches()
        found.append(leading_numbers(batch, leading).to_pylist())
    return found


def sorted_rows(lake: Lake, name: str) -> list[str]:
    return sorted(map(repr, lake.load(name).scan().to_arrow().to_pylist()))


@pytest.mark.parametrize("strategy", NAMES)
def test_rows_are_kept_files_are_in_order_and_a_second_run_finds_nothing(lake: Lake, strategy: str) -> None:
    table = lake.create("db.t", events(1).schema)
    for seed in range(3):
        lake.append(table, events(300, seed))
    before = sorted_rows(lake, "db.t")
    choices: dict[str, Any] = {"strategy": strategy, "sort_by": key("name", "at")}
    if strategy == "pv-buckets":
        choices["buckets"] = 5
    plan = lakeopt.plan("db.t", **choices)
    saved = from_json(RewritePlan, to_json(plan))
    assert saved == plan
    result = lakeopt.apply(saved)
    assert result.verification.matched
    assert sorted_rows(lake, "db.t") == before
    assert recorded(lake.load("db.t").properties) == plan.layout
    assert {digest_in(path) for path in live(lake, "db.t")} == {digest(plan.layout)}
    found = numbers(lake, "db.t", plan.layout)
    assert all(of_file == sorted(of_file) for of_file in found)
    if strategy == "pv-buckets":
        assert [set(of_file) for of_file in found] == [{bucket} for bucket in range(5)]
        assert max(map(len, found)) <= 1.15 * 180
    else:
        assert len({number for of_file in found for number in of_file}) > 20
    again = lakeopt.plan("db.t", **choices)
    assert not again.groups
    assert again.layout == plan.layout
    lake.append(table, events(30, 9))
    third = lakeopt.rewrite("db.t", **choices)
    assert third.record_count == (930 if strategy == "pv-buckets" else 30)  # buckets never overlap, curves may
    assert third.layout == plan.layout
    assert not lakeopt.plan("db.t", **choices).groups


@pytest.mark.parametrize("strategy", NAMES)
def test_only_partitions_with_new_files_are_rewritten(lake: Lake, strategy: str) -> None:
    table = lake.flights(days=2, rows_per_day=60, partition=[("day", "identity")])
    lakeopt.rewrite("db.flights", strategy=strategy, sort_by=key("origin", "flight"))
    assert not lakeopt.plan("db.flights", strategy=strategy, sort_by=key("origin", "flight")).groups
    lake.append(table, lake.load("db.flights").scan("day = '2013-01-01'").to_arrow())
    plan = lakeopt.plan("db.flights", strategy=strategy, sort_by=key("origin", "flight"))
    assert [group.partition for group in plan.groups] == ['{"day": "2013-01-01"}']


@pytest.mark.parametrize("strategy", NAMES)
@pytest.mark.parametrize("rows", [0, 40])
def test_tables_with_one_value_or_no_rows(lake: Lake, strategy: str, rows: int) -> None:
    one = pa.table({"v": pa.array([7] * rows, pa.int32()), "w": pa.array([None] * rows, pa.string())})
    table = lake.create("db.t", one.schema)
    if rows:
        lake.append(table, one)
    result = lakeopt.rewrite("db.t", strategy=strategy, sort_by=key("v", "w"))
    assert result.record_count == rows
    assert not lakeopt.plan("db.t", strategy=strategy, sort_by=key("v", "w")).groups


def test_the_same_plan_gives_the_same_buckets_whatever_was_measured(lake: Lake) -> None:
    lake.append(lake.create("db.t", events(1).schema), events(400))
    one, two = (lakeopt.plan("db.t", strategy="pv-buckets", sort_by=key("name"), buckets=6) for _ in range(2))
    assert one.layout == two.layout
    assert [column.name for column in one.layout.columns] == ["name", "at"]  # the one that divides heavy values


@pytest.mark.parametrize("counts", ["sample", "file", "previous"])
def test_values_that_were_not_counted_lie_behind_the_last_bucket(lake: Lake, counts: str, tmp_path: Path) -> None:
    rows = events(400).append_column("part", pa.array([1] * 300 + [2] * 100, pa.int32()))
    table = lake.create("db.t", rows.schema, partition=[("part", "identity")])
    lake.append(table, rows.slice(0, 300))
    lake.append(table, rows.slice(300))
    if counts == "file":
        counts = str(tmp_path / "counts.json")
        Path(counts).write_text('{"home": 60, "a\'b": 200}', encoding="utf-8")
    choices: dict[str, Any] = {
        "strategy": "pv-buckets",
        "sort_by": key("name", "at"),
        "buckets": 3,
        "counts": counts,
    }
    plan = lakeopt.plan("db.t", **choices)
    assert plan.layout.seen is not None
    lakeopt.apply(plan)
    last = len(plan.layout.cuts["name"]) + 1
    for path, found in zip(live(lake, "db.t"), numbers(lake, "db.t", plan.layout), strict=True):
        names = set(pq.read_table(path.removeprefix("file://"))["name"].to_pylist())
        assert (found[0] == last) == names.isdisjoint(plan.layout.seen)
    assert not lakeopt.plan("db.t", **choices).groups


def test_recorded_cut_points_that_rows_have_left_are_made_anew(lake: Lake) -> None:
    table = lake.create("db.t", pa.schema([("n", pa.int64())]))
    lake.append(table, pa.table({"n": pa.array(range(500), pa.int64())}))
    first = lakeopt.plan("db.t", strategy="hilbert", sort_by=key("n"))
    lakeopt.apply(first)
    lake.append(table, pa.table({"n": pa.array(range(10_000, 12_000), pa.int64())}))
    second = lakeopt.plan("db.t", strategy="hilbert", sort_by=key("n"))
    assert second.layout.cuts != first.layout.cuts
    assert second.groups[0].record_count == 2500


def test_a_property_that_was_edited_is_not_believed(lake: Lake) -> None:
    table = lake.create("db.t", events(1).schema)
    lake.append(table, events(200))
    lakeopt.rewrite("db.t", strategy="z-order", sort_by=key("at"))
    text = lake.load("db.t").properties[LAYOUT_PROPERTY]
    assert recorded({LAYOUT_PROPERTY: text}) is not None
    assert recorded({LAYOUT_PROPERTY: text.replace("z-order", "hilbert")}) is None
    assert recorded({LAYOUT_PROPERTY: "{"}) is None
    summary = lake.load("db.t").current_snapshot().summary
    assert '"cuts": {}' in summary[LAYOUT_PROPERTY]  # of which there is one for each snapshot


def test_what_cannot_be_is_refused(lake: Lake) -> None:
    lake.append(lake.create("db.t", events(1).schema), events(20))
    for words, choices in {
        "no direction": {"strategy": "z-order", "sort_by": (SortField("at", "desc", "last"),)},
        "a second key": {"strategy": "pv-buckets", "sort_by": key("name", "at", "text")},
        "needs columns": {"strategy": "hilbert"},
        "has no buckets": {"strategy": "sort", "sort_by": key("at"), "buckets": 3},
        "is no sort order": {"strategy": "z-order", "sort_by": key("at"), "set_default_sort_order": True},
        "counts cannot be read": {"strategy": "pv-buckets", "sort_by": key("name"), "counts": "/nowhere.json"},
        "no partition": {"strategy": "pv-buckets", "sort_by": key("name"), "counts": "previous"},
    }.items():
        with pytest.raises(UsageError, match=words):
            lakeopt.plan("db.t", **choices)  # type: ignore[arg-type]


def test_an_edited_plan_is_refused_and_a_column_of_another_type_takes_new_cut_points(lake: Lake) -> None:
    table = lake.create("db.t", pa.schema([("n", pa.int64()), ("t", pa.string())]))
    lake.append(table, pa.table({"n": pa.array(range(50), pa.int64()), "t": [str(n) for n in range(50)]}))
    plan = lakeopt.plan("db.t", strategy="z-order", sort_by=key("n"))
    backwards = dataclasses.replace(plan.layout, cuts={"n": plan.layout.cuts["n"][::-1]})
    before = live(lake, "db.t")
    with pytest.raises(UsageError, match="no cut points"):
        lakeopt.apply(dataclasses.replace(plan, layout=backwards))
    assert live(lake, "db.t") == before
    lakeopt.apply(plan)
    with lake.load("db.t").update_schema(allow_incompatible_changes=True) as update:
        update.rename_column("n", "old").rename_column("t", "n")
    again = lakeopt.plan("db.t", strategy="z-order", sort_by=key("n"))
    assert again.groups
    assert again.layout.cuts != plan.layout.cuts
