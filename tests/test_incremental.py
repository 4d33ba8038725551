"""Rewrites of what is badly clustered, on real tables: after appends, by what queries ask, and by what it is worth."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lake import Lake
from pyiceberg.types import DecimalType

import lakeopt
from lakeopt.config import Settings, load_settings
from lakeopt.errors import ConfigurationError, Refused, UsageError
from lakeopt.layout.worth import REWRITE_RATE
from lakeopt.model.layout_record import LAYOUT_PROPERTY, MEASURED_PROPERTY, remembered
from lakeopt.model.plan import Layout, MeasuredLayout, RewritePlan, SortField
from lakeopt.model.serde import from_json, to_json
from lakeopt.tables.open import open_table
from lakeopt.workflows import rewrite_rate as rates

NAME, ROWS, TARGET = "db.t", 40_000, 40_000


def rows(count: int, seed: int = 0, start: int = 0) -> pa.Table:
    """``at`` grows as rows arrive, ``key`` is anywhere."""
    draw = np.random.default_rng(seed)
    return pa.table(
        {
            "at": pa.array(start + np.arange(count), pa.int64()),
            "key": pa.array(draw.integers(0, 10**6, count), pa.int64()),
            "text": pa.array([f"{n:x}" for n in draw.integers(0, 10**9, count)]),
        }
    )


def bytes_of(lake: Lake) -> int:
    return sum(file.file_size_in_bytes for file in lake.files(lake.load(NAME)))


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "key"), [("sort", "at"), ("sort", "key"), ("hilbert", "key")])
def test_after_an_append_of_one_hundredth_little_is_rewritten(lake: Lake, strategy: str, key: str) -> None:
    choices: dict[str, Any] = {"strategy": strategy, "sort_by": [SortField(key)], "target_file_bytes": TARGET}
    table = lake.create(NAME, rows(1).schema)
    for part in range(4):  # each is larger than the target, and lies in no order
        table = lake.append(table, rows(ROWS // 4, part, part * ROWS // 4))
    assert min(file.file_size_in_bytes for file in lake.files(table)) > TARGET
    first = lakeopt.rewrite(NAME, **choices)
    assert (first.rewritten_data_files_count, first.record_count) == (4, ROWS)
    assert not lakeopt.plan(NAME, **choices).groups
    count = ROWS
    for step in range(2 if strategy == "sort" else 1):
        lake.append(table, rows(ROWS // 100, 10 + step, count))
        count += ROWS // 100
        total = bytes_of(lake)
        done = lakeopt.rewrite(NAME, **choices)
        assert done.verification is not None
        assert done.verification.matched
        assert 0 < done.bytes_before <= 0.05 * total
        assert not lakeopt.plan(NAME, **choices).groups
    found = lake.load(NAME).scan().to_arrow()
    assert sorted(found["at"].to_pylist()) == list(range(count))
    if (strategy, key) == ("sort", "key"):
        whole = lakeopt.rewrite(NAME, **choices, max_depth=1)
        assert whole.record_count == count
        assert not lakeopt.plan(NAME, **choices, max_depth=1).groups


def test_a_depth_below_one_is_refused(lake: Lake) -> None:
    lake.append(lake.create(NAME, rows(1).schema), rows(10))
    with pytest.raises(UsageError, match="at least one"):
        lakeopt.plan(NAME, strategy="sort", sort_by=[SortField("at")], max_depth=0)


@pytest.mark.slow
def test_groups_across_the_boundaries_of_queried_ranges_come_first(lake: Lake, tmp_path: Path) -> None:
    queries = tmp_path / "q.sql"
    queries.write_text(
        "-- name: edge\n-- weight: 3\nSELECT count(*) FROM t WHERE key BETWEEN 2500 AND 2600;\n"
        "-- name: inside\n-- weight: 1\nSELECT count(*) FROM t WHERE key < 2000 AND text = 'x';\n",
        encoding="utf-8",
    )
    schema = pa.schema([("part", pa.int32()), ("key", pa.int64()), ("text", pa.string())])
    table = lake.create(NAME, schema, partition=[("part", "identity")])
    for part, start in enumerate([0, 5000, 2000]):  # part 0 lies inside a range, 1 outside all, 2 across an edge
        keys = list(range(start, start + 1000))
        lake.append(table, pa.table({"part": [part] * 1000, "key": keys, "text": ["x"] * 1000}, schema=schema))
    choices: dict[str, Any] = {"strategy": "sort", "sort_by": [SortField("key")]}
    plain = lakeopt.plan(NAME, **choices)
    assert [(group.partition, group.across) for group in plain.groups] == [(f'{{"part": {n}}}', None) for n in range(3)]
    plan = lakeopt.plan(NAME, **choices, queries=queries, partial_progress=True)
    assert [group.partition for group in plan.groups] == ['{"part": 2}', '{"part": 0}', '{"part": 1}']
    assert [group.across for group in plan.groups] == [0.75, 0.0, 0.0]
    assert [group.group_id for group in plan.groups] == [0, 1, 2]
    assert lakeopt.apply(plan).groups_done == 3


@pytest.mark.parametrize("strategy", ["sort", "pv-buckets"])
def test_queries_that_cannot_be_used_do_not_keep_the_others(lake: Lake, tmp_path: Path, strategy: str) -> None:
    queries, schema = tmp_path / "q.sql", pa.schema([("part", pa.int32()), ("key", pa.int64())])
    good = "-- name: good\nSELECT count(*) FROM t WHERE key > 50;\n"
    bad = "-- name: cut off\nSELECT FROM WHERE;\n-- name: unknown\nSELECT no_column FROM t;\n"
    table = lake.create(NAME, schema, partition=[("part", "identity")])
    for part in range(2):
        lake.append(table, pa.table({"part": [part] * 100, "key": range(100)}, schema=schema))
    choices: dict[str, Any] = {"strategy": strategy, "sort_by": [SortField("key")], "queries": queries}
    queries.write_text(good + bad, encoding="utf-8")
    assert lakeopt.plan(NAME, **choices).groups
    queries.write_text(bad, encoding="utf-8")
    with pytest.raises(UsageError, match="no query can be used"):
        lakeopt.plan(NAME, **choices)


def grouped(count: int, seed: int, kinds: int = 40) -> pa.Table:
    """Rows that an order by ``kind`` makes much smaller: each kind has one long text."""
    draw = np.random.default_rng(seed)
    kind = draw.integers(0, kinds, count)
    words = [f"{np.random.default_rng(k).bytes(24).hex()}" for k in range(kinds)]
    return pa.table({"kind": pa.array(kind, pa.int32()), "text": pa.array([words[k] for k in kind])})


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The goals that were searched for."""
    from lakeopt.workflows import recommend as module

    found: list[str] = []
    search = module.recommend

    def counted(*args: Any, **options: Any) -> Any:
        found.append(options["goal"])
        return search(*args, **options)

    monkeypatch.setattr(module, "recommend", counted)
    return found


@pytest.mark.slow
def test_a_chosen_layout_is_remembered_and_serves_new_rows_without_a_search(lake: Lake, searches: list[str]) -> None:
    table = lake.create(NAME, grouped(1, 0).schema)
    lake.append(table, grouped(6000, 1))
    plan = lakeopt.plan(NAME)
    assert plan.measured is not None
    assert not plan.is_remembered
    assert from_json(RewritePlan, to_json(plan)) == plan
    first = lakeopt.apply(plan)
    lake.append(table, grouped(3000, 2))
    again = lakeopt.plan(NAME)
    assert searches == ["storage"]
    assert again.is_remembered
    assert (again.layout, again.writer) == (plan.layout, plan.writer)
    held = again.measured
    assert held is not None
    assert (held.plan_id, held.record_count) == (plan.plan_id, 6000)
    assert (held.arrival_bytes, held.written_bytes) == (first.bytes_before, first.bytes_after)
    assert held.bytes_ratio == plan.measured.bytes_ratio
    assert again.groups
    lakeopt.apply(again)
    assert lakeopt.plan(NAME).measured == held  # what came later does not change what it was chosen by
    assert not lakeopt.plan(NAME).groups
    assert lakeopt.plan(NAME, compression_level=1).writer["level"] == "1"
    assert searches == ["storage"]
    assert not lakeopt.plan(NAME, search_again=True).is_remembered
    lake.append(table, grouped(60_000, 3))  # so many more that what holds of few rows need not hold
    lakeopt.plan(NAME)
    assert searches == ["storage"] * 3


@pytest.mark.parametrize(
    "change",
    [{"bytes_ratio": 1e308}, {"read_ratio": -1.0}, {"layout": Layout("sort", (SortField("kind"),), block_rows=0)}],
)
def test_a_memory_that_no_measuring_can_have_made_is_none(change: dict[str, Any]) -> None:
    held = MeasuredLayout("p", "2026-11-01T00:00:00+00:00", "storage", Layout("bin-pack"), {}, 0.5, 0.5, 9)
    assert remembered({MEASURED_PROPERTY: to_json(held)}) == held
    assert remembered({MEASURED_PROPERTY: to_json(dataclasses.replace(held, **change))}) is None


@pytest.mark.parametrize("change", ["goal", "column", "readers", "text", "version"])
def test_a_memory_that_does_not_fit_is_searched_anew(
    lake: Lake, searches: list[str], tmp_path: Path, change: str
) -> None:
    table = lake.create(NAME, grouped(1, 0).schema)
    lake.append(table, grouped(3000, 1))
    lakeopt.rewrite(NAME, compatible_with=["duckdb"])
    queries = tmp_path / "q.sql"
    queries.write_text("SELECT count(*) FROM t WHERE kind = 3", encoding="utf-8")
    options: dict[str, Any] = {}
    loaded = lake.load(NAME)
    if change == "goal":
        options = {"goal": "balanced", "queries": queries}
    elif change == "column":
        loaded.update_schema().rename_column("kind", "sort").commit()
    elif change == "text":
        loaded.transaction().set_properties({"lakeopt.measured-layout": "{"}).commit_transaction()
    elif change == "version":
        held = lakeopt.plan(NAME, compatible_with=["duckdb"]).measured
        assert held is not None
        text = to_json(dataclasses.replace(held, layout=dataclasses.replace(held.layout, version=99)))
        loaded.transaction().set_properties({"lakeopt.measured-layout": text}).commit_transaction()
        options = {"compatible_with": ["duckdb"]}
    else:
        held = lakeopt.plan(NAME, compatible_with=["duckdb"]).measured
        assert held is not None
        writer = {**held.writer, "encoding.kind": "delta-binary-packed"}
        text = to_json(dataclasses.replace(held, writer=writer))
        loaded.transaction().set_properties({"lakeopt.measured-layout": text}).commit_transaction()
        assert lakeopt.plan(NAME, compatible_with=["duckdb"]).is_remembered
        assert lakeopt.plan(NAME, compatible_with=["spark-iceberg=1.10"]).is_remembered
    before = len(searches)
    assert not lakeopt.plan(NAME, **options).is_remembered
    assert len(searches) == before + 1


@pytest.mark.slow
def test_what_a_restored_plan_recorded_is_as_it_was_before(lake: Lake) -> None:
    table = lake.append(lake.create(NAME, grouped(1, 0).schema), grouped(3000, 1))
    first = lakeopt.rewrite(NAME)
    lakeopt.rewrite(NAME, strategy="hilbert", sort_by=[SortField("kind")])
    before = lake.load(NAME).properties
    assert {LAYOUT_PROPERTY, MEASURED_PROPERTY} <= before.keys()
    lake.append(table, grouped(12_000, 2))
    second = lakeopt.rewrite(NAME, search_again=True)
    curve = lakeopt.rewrite(NAME, strategy="z-order", sort_by=[SortField("text")])
    assert lake.load(NAME).properties[LAYOUT_PROPERTY] != before[LAYOUT_PROPERTY]
    held = remembered(lake.load(NAME).properties)
    assert held is not None
    assert held.plan_id == second.plan_id != first.plan_id
    for plan_id in (curve.plan_id, second.plan_id):
        lakeopt.restore(NAME, plan_id)
    assert lake.load(NAME).properties == before
    alone = lake.append(lake.create("db.alone", grouped(1, 0).schema), grouped(3000, 1))
    lakeopt.restore("db.alone", lakeopt.rewrite("db.alone").plan_id)
    assert lake.load("db.alone").properties == alone.properties


def test_a_plan_that_comes_late_does_not_replace_what_was_measured_later(lake: Lake) -> None:
    lake.append(lake.create(NAME, grouped(1, 0).schema), grouped(3000, 1))
    late, later = lakeopt.plan(NAME), lakeopt.plan(NAME)
    assert late.measured is not None
    early = dataclasses.replace(late.measured, measured_at="2026-01-01T00:00:00+00:00")
    transaction = lake.load(NAME).transaction()
    transaction.set_properties({MEASURED_PROPERTY: to_json(later.measured, indent=None)}).commit_transaction()
    lakeopt.apply(dataclasses.replace(late, measured=early))
    assert remembered(lake.load(NAME).properties) == later.measured


@pytest.mark.slow
def test_a_column_of_another_type_is_searched_anew(lake: Lake, searches: list[str]) -> None:
    prices = pa.array(range(3000), pa.decimal128(9, 0))
    grouped_prices = grouped(3000, 1).append_column("price", prices)
    table = lake.append(lake.create(NAME, grouped_prices.schema), grouped_prices)
    plan = lakeopt.plan(NAME, compatible_with=["duckdb"])
    assert plan.measured is not None
    written = {**plan.writer, "encoding.price": "delta-binary-packed"}
    lakeopt.apply(dataclasses.replace(plan, measured=dataclasses.replace(plan.measured, writer=written)))
    assert lakeopt.plan(NAME, compatible_with=["duckdb"]).is_remembered
    with table.update_schema() as update:
        update.update_column("price", DecimalType(38, 0))  # what is no integer in Parquet takes no such encoding
    lake.append(lake.load(NAME), grouped_prices)
    before = len(searches)
    assert lakeopt.rewrite(NAME, compatible_with=["duckdb"]).record_count
    assert len(searches) == before + 1


def test_a_remembered_layout_is_written_in_the_codec_of_today(lake: Lake, searches: list[str]) -> None:
    table = lake.append(lake.create(NAME, grouped(1, 0).schema), grouped(3000, 1))
    lakeopt.rewrite(NAME, compression_level=1)
    assert lakeopt.plan(NAME).writer["level"] == "9"  # what one run was asked for is not what the table asks for
    table.transaction().set_properties({"write.parquet.compression-codec": "snappy"}).commit_transaction()
    plan = lakeopt.plan(NAME)
    assert plan.is_remembered
    assert (plan.writer["codec"], plan.writer.get("level")) == ("snappy", None)
    with pytest.raises(Refused, match="no compression levels"):
        lakeopt.plan(NAME, compression_level=1)
    assert len(searches) == 1


def test_what_costs_more_than_it_gains_is_left_alone_unless_it_was_asked_for(lake: Lake) -> None:
    lake.append(lake.create(NAME, grouped(1, 0).schema), grouped(6000, 1))
    short = Settings(keep_days=0.0001)
    plan = lakeopt.plan(NAME, settings=short)
    assert plan.groups == ()
    (left,) = plan.skipped
    assert (left.reason, left.file_count) == ("not worth it", 1)
    assert left.worth is not None
    assert 0 < left.worth.gain < left.worth.cost
    assert left.worth.seconds == left.bytes / REWRITE_RATE
    assert left.worth.saved_bytes == round(left.bytes * (1 - plan.measured.bytes_ratio))  # type: ignore[union-attr]
    assert from_json(RewritePlan, to_json(plan)) == plan
    assert lakeopt.plan(NAME, settings=Settings(keep_days=0.0001, reads_per_day=10**9)).groups
    assert lakeopt.plan(NAME, strategy="sort", sort_by=[SortField("kind")], settings=short).groups
    assert lakeopt.plan(NAME).groups


def test_prices_are_set_in_the_file_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "lakeopt.toml"
    file.write_text("keep_days = 30\nstorage_price = 0.02\n", encoding="utf-8")
    found = load_settings(tmp_path, {"LAKEOPT_READS_PER_DAY": "2.5"})
    assert (found.keep_days, found.storage_price, found.reads_per_day, found.compute_price) == (30, 0.02, 2.5, 0.1)
    for text in ('keep_days = "30"', "keep_days = true", "keep_days = -1", "keep_days = inf", "threads = 1.5"):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError):
            load_settings(tmp_path, {})
    file.unlink()
    for value in ("often", "nan", "-3"):
        with pytest.raises(ConfigurationError):
            load_settings(tmp_path, {"LAKEOPT_READS_PER_DAY": value})


def test_the_rate_of_rewrites_is_that_of_the_last_ones(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = lake.create(NAME, rows(1).schema)
    monkeypatch.setattr(rates, "ENOUGH_BYTES", 1)  # a test writes no 100 MB
    assert rates.rewrite_rate(open_table(NAME, Settings()), Settings()) == REWRITE_RATE
    read, seconds = 0, 0.0
    for step in range(2):
        lake.append(table, rows(2000, step))
        done = lakeopt.rewrite(NAME, strategy="sort", sort_by=[SortField("key")], max_depth=1)
        read, seconds = read + done.bytes_before, seconds + done.elapsed_seconds
    assert rates.rewrite_rate(open_table(NAME, Settings()), Settings()) == pytest.approx(read / seconds)


@pytest.mark.slow
@pytest.mark.parametrize("changed", [False, True])
def test_rows_that_the_layout_no_longer_serves_are_a_finding(lake: Lake, changed: bool) -> None:
    def of_day(day: int, count: int, new: bool) -> pa.Table:
        """Columns that all say the same as the first, or (``new``) each something else."""
        draw = np.random.default_rng(day)
        kinds = [draw.integers(0, 997, count) if new or n == 0 else None for n in range(6)]
        columns = {f"c{n}": (n + 1) * (kinds[0] if one is None else one) % 997 for n, one in enumerate(kinds)}
        return pa.table({**columns, "day": pa.array([day] * count, pa.int32())})

    table = lake.create(NAME, of_day(0, 1, False).schema, partition=[("day", "identity")])
    lake.append(table, of_day(0, 30_000, False))
    lakeopt.rewrite(NAME)
    for day in (1, 2):
        lake.append(table, of_day(day, 10_000, changed))
        assert lakeopt.rewrite(NAME).record_count == 10_000
    found = {finding.code: finding for finding in lakeopt.inspect(NAME).findings}
    assert ("layout-drift" in found) == changed
    if changed:
        drift = found["layout-drift"]
        assert drift.fix == "lakeopt recommend lake.db.t"
        assert (drift.evidence["rewrites"], drift.evidence["record_count"]) == (2, 20_000)
        assert drift.evidence["saving_now"] < 0.75 * drift.evidence["saving_then"]
        assert drift.evidence["bytes_a_row_now"] > drift.evidence["bytes_a_row_then"]
