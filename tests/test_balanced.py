"""The goal ``balanced`` on a generated event log and on real flights: few more bytes, and pruning as by the column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from lake import Lake

from lakeopt.model.plan import Candidate, Goal, LayoutRecommendation
from lakeopt.workflows import demo_data
from lakeopt.workflows.event_log import event_log
from lakeopt.workflows.recommend import recommend

GOALS: tuple[Goal, ...] = ("storage", "balanced", "reads")


@dataclass(frozen=True)
class Case:
    """Rows, and queries of which most filter by one column."""

    rows: Callable[[], pa.Table]
    main: str
    queries: str


def _events() -> pa.Table:
    rows = pa.concat_tables(event_log(30_000, days=3))
    return rows.drop_columns([field.name for field in rows.schema if pa.types.is_nested(field.type)])


CASES = {
    "events": Case(
        _events,
        "device_id",
        "-- name: device\n-- weight: 4\nSELECT count(*) FROM t WHERE device_id = {value}\n"
        "-- name: city\nSELECT count(*) FROM t WHERE city = 'none'\n",
    ),
    "flights": Case(
        lambda: demo_data.flights().slice(0, 30_000),
        "carrier",
        "-- name: carrier\n-- weight: 3\nSELECT avg(arr_delay) FROM t WHERE carrier = {value}\n"
        "-- name: destination\nSELECT count(*) FROM t WHERE dest = 'ORD' AND month = 1\n",
    ),
}


def chosen(found: LayoutRecommendation) -> Candidate:
    assert found.chosen is not None, found.reason
    return found.candidates[found.chosen]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_balanced_loses_few_bytes_and_prunes_as_the_main_column_does(lake: Lake, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    rows = case.rows()
    # One page size and level for all goals: what is compared is the order.
    table = lake.create("demo.t", rows.schema, properties={"write.parquet.page-row-limit": "500"})
    lake.append(table, rows)
    value = repr(rows[case.main][rows.num_rows // 2].as_py())
    queries = tmp_path / "q.sql"
    queries.write_text(case.queries.format(value=value))
    storage = recommend("lake.demo.t", compression_level=3)
    balanced = recommend("lake.demo.t", goal="balanced", queries=queries, compression_level=3)
    taken = {goal: chosen(found) for goal, found in (("storage", storage), ("balanced", balanced))}
    held = {
        "storage": taken["storage"].bytes_ratio * storage.baseline.bin_packed_bytes,
        "balanced": taken["balanced"].bytes_ratio * balanced.baseline.bin_packed_bytes,
    }
    assert held["balanced"] <= 1.03 * held["storage"] * 1.002
    (alone,) = [c for c in balanced.candidates if [field.name for field in c.columns] == [case.main]]
    assert alone.scanned_ratio is not None
    assert taken["balanced"].scanned_ratio is not None
    assert taken["balanced"].scanned_ratio <= alone.scanned_ratio + 1e-9
    assert alone.scanned_ratio < 0.5


@pytest.mark.slow
def test_pages_are_as_small_as_the_bytes_allow(lake: Lake, tmp_path: Path) -> None:
    rows = demo_data.flights().select(["carrier", "dest", "distance", "month", "origin", "hour"]).slice(0, 150_000)
    lake.append(lake.create("demo.t", rows.schema), rows)
    queries = tmp_path / "q.sql"
    queries.write_text("SELECT count(*) FROM t WHERE dest = 'ORD' AND month = 1")
    found = {goal: recommend("lake.demo.t", goal=goal, queries=queries, compression_level=3) for goal in GOALS}
    bytes_of = {goal: chosen(one).bytes_ratio * one.baseline.bin_packed_bytes for goal, one in found.items()}
    pages = {goal: int(chosen(one).writer["page_rows"]) for goal, one in found.items()}
    assert bytes_of["balanced"] <= 1.03 * bytes_of["storage"] * 1.002 < bytes_of["reads"]
    assert pages["reads"] < pages["balanced"] <= pages["storage"]
