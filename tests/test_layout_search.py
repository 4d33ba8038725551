"""The search as a whole on tables that are awkward, and within a time that is short."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from lakeopt.layout.search import MIN_GAIN
from lakeopt.model.row_order import ARRIVAL
from lakeopt.model.scan import ENCODINGS, WriterOptions
from lakeopt.parquet.encode import encode
from lakeopt.workflows import layout_search
from lakeopt.workflows.layout_search import LayoutSearch, Tuned

WRITER = WriterOptions(level=3, page_rows=1_048_576, dictionary_bytes=64 * 1024 * 1024)


def searched(rows: pa.Table, **asked: object) -> tuple[LayoutSearch, Tuned]:
    """What is chosen: the best order with its encodings, arrival order where none gains 2 %."""
    search = LayoutSearch(rows, WRITER, encodings=ENCODINGS, **asked)  # type: ignore[arg-type]
    found, arrival = search.run(), search.tuned(ARRIVAL)
    best = search.tuned(found.ranked[0].order) if found.ranked else arrival
    return search, best if best.bytes <= (1 - MIN_GAIN) * arrival.bytes else arrival


def events(count: int) -> pa.Table:
    """A device fixes its model and, nearly, its reading; rows arrive by time."""
    draw = np.random.default_rng(8)
    device = draw.integers(0, 60, count)
    return pa.table(
        {
            "at": np.arange(count) * 1_000 + draw.integers(0, 900, count),
            "device": device,
            "model": pa.array([f"model-{n % 7}" for n in range(60)]).take(pa.array(device)),
            "reading": device * 7 + draw.integers(0, 2, count),
        }
    )


AWKWARD: dict[str, Callable[[], pa.Table]] = {
    "no rows": lambda: events(0),
    "one row": lambda: events(1),
    "ten rows": lambda: events(10),
    "one column": lambda: events(3_000).select(["device"]),
    "all null": lambda: pa.table({"a": pa.nulls(3_000, pa.string()), "b": pa.nulls(3_000, pa.int64())}),
    "constants": lambda: pa.table({"a": ["x"] * 3_000, "b": [1] * 3_000}),
    "all unique": lambda: pa.table({"a": np.random.default_rng(1).permutation(3_000), "b": np.arange(3_000.0)}),
    "nested alone": lambda: pa.table({"a": [[n % 5, n] for n in range(500)], "b": [{"x": n % 3} for n in range(500)]}),
    "long text": lambda: pa.table({"a": ["x" * 10_000_000, None, "y" * 10_000_000], "b": [3, 1, 2]}),
    "many columns": lambda: pa.table({f"c{n}": np.arange(60) * (n + 1) % 7 for n in range(300)}),
    "no type": lambda: pa.table({"a": pa.nulls(50), "b": list(range(50))}),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "many columns")) for name in AWKWARD]
)
def test_an_awkward_table_is_answered_and_becomes_no_larger(name: str) -> None:
    rows = AWKWARD[name]()
    search, chosen = searched(rows, threads=2)
    plain = encode(rows, WRITER).data.size
    written = encode(rows.take(pa.array(search.trial.order(chosen.order))), chosen.writer).data.size
    assert written <= plain * 1.001 + 50
    # The footer is that of dictionaries everywhere: of many columns and few rows it is most of the file.
    assert chosen.bytes == pytest.approx(written, rel=0.08, abs=200)


@pytest.mark.slow
def test_ten_times_as_many_columns_are_answered_too() -> None:
    rows = pa.table({f"c{n}": np.arange(100) * (n + 1) % 7 for n in range(2_000)})
    _, chosen = searched(rows, threads=2)
    assert chosen.bytes < encode(rows, WRITER).data.size


def test_what_is_foretold_is_what_is_written_and_less_than_in_arrival_order() -> None:
    rows = events(30_000)
    search, chosen = searched(rows)
    assert chosen.order.columns
    ordered = rows.take(pa.array(search.trial.order(chosen.order)))
    written = encode(ordered, chosen.writer).data.size
    assert chosen.bytes == pytest.approx(written, rel=0.02)
    assert written < 0.9 * encode(rows, search.tuned(ARRIVAL).writer).data.size


def test_blocks_are_tried_where_rows_fill_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout_search, "BLOCKS", (1_000, 5_000))
    search = LayoutSearch(events(6_000), WRITER, encodings=ENCODINGS)
    tried = {measured.order.block_rows for measured in search.run().ranked}
    assert tried == {None, 1_000}


def test_the_same_seed_finds_the_same_on_any_number_of_threads() -> None:
    found = [searched(events(20_000), threads=threads)[1] for threads in (1, 2)]
    assert found[0] == found[1]


class Clock:
    """Time that goes on by a second each time it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.mark.parametrize("seconds", [0.0, 1.0, 5.0, 40.0])
def test_a_short_time_gives_the_best_found_so_far(seconds: float) -> None:
    rows = events(20_000)
    search = LayoutSearch(rows, WRITER, encodings=ENCODINGS, time_budget=seconds, clock=Clock())
    found = search.run()
    best = search.tuned(found.ranked[0].order if found.ranked else ARRIVAL)
    written = encode(rows.take(pa.array(search.trial.order(best.order))), best.writer).data.size
    assert best.bytes == pytest.approx(written, rel=0.25)
    assert not found.complete
    assert found.trials <= seconds + 4


def test_columns_that_time_left_unranked_are_counted_and_no_key() -> None:
    rows = events(20_000)
    search = LayoutSearch(rows, WRITER, encodings=ENCODINGS, time_budget=6.0, clock=Clock())
    assert 0 < len(search.trial.unranked) < rows.num_columns
    found = search.run()
    assert not found.complete
    assert not {name for one in found.ranked for name in one.order.columns} & set(search.trial.unranked)
    assert set(search.trial.column_bytes(ARRIVAL, 20_000)) == set(rows.column_names)


def test_a_higher_level_is_measured_at_the_end() -> None:
    rows = events(5_000)
    search = LayoutSearch(rows, replace(WRITER, level=9), encodings=ENCODINGS)
    tuned = search.tuned(ARRIVAL)
    assert tuned.writer.level == 9
    assert tuned.bytes == pytest.approx(encode(rows, tuned.writer).data.size, rel=0.01)
