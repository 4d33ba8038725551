from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeopt.workflows.event_log import DAY, LATENESS_SECONDS, NAME_EXPONENT, NAMES, START, event_log, zipf

ROWS, DAYS = 60_000, 12


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return pa.concat_tables(list(event_log(ROWS, days=DAYS)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3_000), st.integers(1, 9), st.integers(0, 2**32))
def test_days_share_the_rows_evenly_and_the_seed_decides_them(rows: int, days: int, seed: int) -> None:
    parts = list(event_log(rows, days=days, seed=seed))
    sizes = [part.num_rows for part in parts]
    assert len(parts) == days
    assert sum(sizes) == rows
    assert max(sizes) - min(sizes) <= 1
    assert parts == list(event_log(rows, days=days, seed=seed))
    if rows >= 100:
        assert parts != list(event_log(rows, days=days, seed=seed + 1))


@pytest.mark.parametrize(
    ("column", "determined"),
    [
        ("device_id", "device_model"),
        ("device_id", "country"),
        ("device_id", "city"),
        ("device_id", "user_id"),
        ("device_id", "channel"),
        ("device_id", "app_version"),
        ("device_model", "os"),
        ("device_model", "os_version"),
        ("city", "country"),
        ("country", "language"),
        ("event_name", "page"),
    ],
)
def test_one_column_determines_another(log: pa.Table, column: str, determined: str) -> None:
    counted = log.group_by(column).aggregate([(determined, "count_distinct")])[f"{determined}_count_distinct"]
    assert pc.max(counted).as_py() == 1
    assert len(log[determined].unique()) > 1


def test_names_are_skewed_as_zipf_says(log: pa.Table) -> None:
    counts = np.sort(pc.value_counts(log["event_name"]).field("counts").to_numpy())[::-1]
    weights = np.arange(1, NAMES + 1) ** -NAME_EXPONENT
    expected = weights / weights.sum() * ROWS
    assert np.allclose(counts[:10], expected[:10], rtol=0.1)
    assert counts.sum() == ROWS


@settings(deadline=None)
@given(st.integers(1, 50), st.floats(0.5, 2.0), st.integers(0, 2**32))
def test_ranks_lie_within_their_range(values: int, exponent: float, seed: int) -> None:
    ranks = zipf(np.random.default_rng(seed), values, exponent, 500)
    assert ranks.min() >= 0
    assert ranks.max() < values


def test_rows_come_in_order_of_arrival_and_not_much_after_their_time(log: pa.Table) -> None:
    received, happened = (log[name].cast(pa.int64()).to_numpy() for name in ("received_at", "event_time"))
    assert (np.diff(received) >= 0).all()
    assert received[0] >= START
    assert received[-1] < START + DAYS * DAY
    late = received - happened
    assert late.min() >= 0
    assert late.max() <= LATENESS_SECONDS * 1_000_000
    assert (np.diff(happened) < 0).any()


def test_attributes_go_with_the_name_of_the_event(log: pa.Table) -> None:
    area = pc.replace_substring_regex(log["event_name"], r"_\d+$", "")
    for column, names in {"amount": ["purchase"], "duration_ms": ["page_view", "video_play"]}.items():
        carriers = pc.is_in(area, value_set=pa.array(names))
        assert pc.equal(carriers, pc.is_valid(log[column])).to_numpy().all()
    assert pc.equal(pc.equal(area, "heartbeat"), pc.is_null(log["item_id"])).to_numpy().all()


def test_ids_are_their_own(log: pa.Table) -> None:
    assert len(log["event_id"].unique()) == ROWS
    assert log["event_id"].null_count == 0
