"""A writer fitted to queries: filters where the order does not serve a lookup, smaller row groups where they pay."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake import Lake

from lakeopt.model.plan import LayoutRecommendation
from lakeopt.model.scan import WriterOptions
from lakeopt.workflows import fitted_writer
from lakeopt.workflows.apply import apply
from lakeopt.workflows.plan import plan
from lakeopt.workflows.recommend import recommend

COUNT, GROUP_ROWS = 20_000, 3_300
QUERIES = """
-- name: one device
-- weight: 5
SELECT avg(reading) FROM t WHERE device = 17
-- name: one event
SELECT * FROM t WHERE id = {id}
-- name: one event of a device
SELECT * FROM t WHERE device = 3 AND id IN ({id}, 5)
"""


def rows_of_events() -> pa.Table:
    """Devices report in turn; every event has an id that tells nothing, and a note."""
    draw = np.random.default_rng(8)
    device = draw.integers(0, 60, COUNT)
    return pa.table(
        {
            "id": draw.permutation(10**9 + np.arange(COUNT) * 977),
            "device": device,
            "model": pa.array([f"model-{n % 7}-{n * n}" for n in range(60)]).take(pa.array(device)),
            "reading": device * 7 + draw.integers(0, 2, COUNT),
            "note": pa.array([draw.bytes(32).hex() for _ in range(COUNT)]),
        }
    )


@pytest.fixture
def events(lake: Lake, tmp_path: Path) -> tuple[str, Path, pa.Table]:
    """The table in small row groups, the file of its queries, and its rows."""
    rows = rows_of_events()
    properties = {
        "write.parquet.row-group-size-bytes": str(rows.nbytes * GROUP_ROWS // COUNT + 50),
        "write.parquet.page-row-limit": "200",
    }
    lake.append(lake.create("demo.t", rows.schema, properties=properties), rows)
    queries = tmp_path / "q.sql"
    queries.write_text(QUERIES.format(id=rows["id"][77].as_py()))
    return "lake.demo.t", queries, rows


def writer_of(found: LayoutRecommendation) -> WriterOptions:
    assert found.chosen is not None
    return WriterOptions.from_mapping(found.candidates[found.chosen].writer)


def test_a_lookup_that_the_order_does_not_serve_gets_a_filter_that_readers_use(
    lake: Lake, events: tuple[str, Path, pa.Table]
) -> None:
    name, queries, rows = events
    found = recommend(name, goal="reads", queries=queries)
    assert list(writer_of(found).bloom_filters) == ["id"], "device leads the order, which serves it"
    assert "Bloom filter on id" in found.reason
    planned = plan(name, goal="reads", queries=queries)
    assert WriterOptions.from_mapping(planned.writer) == writer_of(found)
    assert apply(planned).verification.matched
    paths = [file.file_path.removeprefix("file://") for file in lake.files(lake.load("demo.t"))]
    for path in paths:
        footer = pq.read_metadata(path)
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        assert len(groups) > 1
        held = {
            group.column(n).path_in_schema
            for group in groups
            for n in range(group.num_columns)
            if group.column(n).bloom_filter_length is not None
        }
        assert held == {"id"}
    held_ids = set(rows["id"].to_pylist())
    with duckdb.connect() as connection:
        for value in [*rows["id"][:200:10].to_pylist(), 5, 10**9 - 1]:
            asked = f"SELECT count(*) FROM read_parquet({paths}) WHERE id = {value}"
            expected = int(value in held_ids)
            assert connection.sql(asked).fetchall() == [(expected,)]
            assert pq.read_table(paths, filters=[("id", "=", value)]).num_rows == expected


@pytest.mark.parametrize("goal", ["storage", "balanced"])
def test_filters_take_no_more_bytes_than_the_goal_gives(events: tuple[str, Path, pa.Table], goal: str) -> None:
    name, queries, _ = events
    found = recommend(name, goal=goal, queries=queries)  # type: ignore[arg-type]
    assert not [key for candidate in found.candidates for key in candidate.writer if key.startswith("bloom.")]


def test_without_queries_nothing_is_fitted(events: tuple[str, Path, pa.Table]) -> None:
    for candidate in recommend(events[0]).candidates:
        writer = WriterOptions.from_mapping(candidate.writer)
        assert (writer.bloom_filters, writer.row_group_rows) == ({}, WriterOptions().row_group_rows)


def test_row_groups_are_smaller_where_queries_read_less_for_few_bytes(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitted_writer, "FEWEST_ROWS", 1_000)
    rows = rows_of_events().select(["device", "model", "reading", "note"])
    properties = {"write.parquet.page-row-limit": "200"}
    lake.append(lake.create("demo.t", rows.schema, properties=properties), rows)
    queries = tmp_path / "q.sql"
    queries.write_text("SELECT avg(reading) FROM t WHERE device = 17")
    found = recommend("lake.demo.t", goal="reads", queries=queries)
    writer = writer_of(found)
    assert 1_000 <= writer.row_group_rows < COUNT
    assert f"Row groups of {writer.row_group_rows:,} rows" in found.reason
    assert apply(plan("lake.demo.t", goal="reads", queries=queries)).verification.matched
    (file,) = lake.files(lake.load("demo.t"))
    assert pq.read_metadata(file.file_path.removeprefix("file://")).row_group(0).num_rows == writer.row_group_rows
    assert found.chosen is not None
    written = found.candidates[found.chosen].bytes_ratio * found.baseline.bin_packed_bytes
    assert written == pytest.approx(file.file_size_in_bytes, rel=0.05)
