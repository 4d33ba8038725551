"""A trial's figures against files that are really written, and windows against the whole."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakeopt.analysis.encoded_size import row_group_rows
from lakeopt.analysis.extrapolation import ColumnExtent, Extent
from lakeopt.analysis.rank_codes import rank_codes
from lakeopt.analysis.trial import Trial
from lakeopt.model.row_order import ARRIVAL, RowOrder
from lakeopt.model.scan import ENCODINGS, WriterOptions
from lakeopt.parquet.encode import encode, possible_encodings

WRITER = WriterOptions(codec="zstd", level=3)


def events(count: int, seed: int = 5) -> pa.Table:
    """Rows that arrive by time; a device determines its model and, nearly, its reading."""
    draw = np.random.default_rng(seed)
    device = (draw.zipf(1.3, count) % 500).astype(np.int32)
    return pa.table(
        {
            "at": np.arange(count, dtype=np.int64) * 1000 + draw.integers(0, 900, count),
            "device": device,
            "model": pa.array([f"model-{number % 37}" for number in range(500)]).take(pa.array(device)),
            "reading": device * 7 + draw.integers(0, 4, count),
            "noise": draw.random(count),
            "tags": pa.array([["a", "b"][: number % 3] for number in range(500)]).take(pa.array(device)),
        }
    )


def written_bytes(table: pa.Table, writer: WriterOptions) -> tuple[int, int]:
    """Column chunk bytes of a file written in full, and all its bytes."""
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression=writer.codec,
        compression_level=writer.level,
        dictionary_pagesize_limit=writer.dictionary_bytes,
        data_page_size=writer.page_bytes,
        max_rows_per_page=writer.page_rows,
        write_batch_size=writer.page_rows,
        write_page_index=True,
        store_schema=False,
    ) as file:
        file.write_table(table, row_group_size=row_group_rows(table, writer))
    footer = pq.read_metadata(io.BytesIO(sink.getvalue()))
    columns = sum(
        footer.row_group(group).column(leaf).total_compressed_size
        for group in range(footer.num_row_groups)
        for leaf in range(footer.num_columns)
    )
    return columns, len(sink.getvalue())


@pytest.mark.parametrize("order", [(), ("device",), ("model", "at"), ("noise",)])
@pytest.mark.parametrize("group_rows", [1_048_576, 7_000])
def test_a_whole_trial_is_what_is_written(order: tuple[str, ...], group_rows: int) -> None:
    table = events(20_000)
    writer = WriterOptions(codec="zstd", level=3, row_group_rows=group_rows)
    keys = [(name, "ascending") for name in order]
    number = table.append_column("row", pa.array(range(table.num_rows)))
    expected = number.sort_by([*keys, ("row", "ascending")]).drop_columns(["row"])
    trial = Trial(table, writer, threads=2)
    columns, file = written_bytes(expected, writer)
    # Trials write no statistics; that makes a few bytes a page.
    assert sum(trial.column_bytes(RowOrder(order), table.num_rows).values()) == pytest.approx(columns, rel=1e-3)
    assert trial.cost(RowOrder(order), table.num_rows) == pytest.approx(file, rel=0.02)


@pytest.mark.slow
def test_windows_estimate_the_whole() -> None:
    table = events(300_000)
    trial = Trial(table, WRITER, encodings=ENCODINGS, threads=2)
    arrival = trial.cost(ARRIVAL, table.num_rows)
    for order in [(), ("device",), ("model",), ("device", "at"), ("noise",), ("reading", "model")]:
        whole = trial.cost(RowOrder(order), table.num_rows)
        windows = trial.cost(RowOrder(order), 40_000)
        assert abs(windows - whole) < 0.04 * arrival, (order, windows, whole)


def test_windows_pay_a_dictionary_once_a_row_group() -> None:
    """A column of 30,000 long values costs its dictionary whatever the order; a window holds a part of it."""
    count = 200_000
    draw = np.random.default_rng(1)
    names = pa.array([bytes(draw.integers(97, 123, 24, dtype=np.uint8)).decode() for _ in range(30_000)])
    table = pa.table({"name": names.take(pa.array(draw.integers(0, 30_000, count)))})
    trial = Trial(table, WRITER)
    for order in [(), ("name",)]:
        assert trial.cost(RowOrder(order), 30_000) == pytest.approx(trial.cost(RowOrder(order), count), rel=0.1)


def test_columns_are_counted_apart_and_nested_ones_count() -> None:
    table = events(5_000)
    trial = Trial(table, WRITER)
    sizes = trial.column_bytes(ARRIVAL, 5_000)
    assert list(sizes) == table.column_names
    assert all(size > 0 for size in sizes.values())
    assert sum(sizes.values()) + trial.footer_bytes == trial.cost(ARRIVAL, 5_000)
    assert "tags" not in trial.codes


def test_rows_stay_in_their_partition() -> None:
    table = events(4_000)
    partition = np.repeat(np.array([0, 1], np.uint32), 2_000)
    trial = Trial(table, WRITER, partition=partition)
    order = trial.order(RowOrder(("device",)))
    assert sorted(order[:2_000].tolist()) == list(range(2_000))
    device = table["device"].to_numpy()[order]
    assert (np.diff(device[:2_000]) >= 0).all()
    assert (np.diff(device[2_000:]) >= 0).all()
    halves = [Trial(table.slice(start, 2_000), WRITER).cost(RowOrder(("device",)), 2_000) for start in (0, 2_000)]
    assert trial.cost(RowOrder(("device",)), 4_000) == pytest.approx(sum(halves), rel=0.01)


def test_trials_are_repeatable_and_threads_change_nothing() -> None:
    table = events(50_000)
    figures = [
        Trial(table, WRITER, threads=threads, seed=4).cost(RowOrder(("model",)), 10_000) for threads in (1, 2, 2)
    ]
    assert len(set(figures)) == 1


def test_what_a_trial_remembers_changes_no_figure() -> None:
    """A wide column that no order changes is encoded once: without it beside them others take no other pages."""
    table = events(20_000).append_column("wide", pa.array([b"x" * 600] * 20_000))
    writer, order = replace(WRITER, page_bytes=20_000), RowOrder(("model",))
    trial = Trial(table, writer)
    trial.cost(RowOrder(("device",)), 20_000)
    assert trial.cost(order, 20_000) == Trial(table, writer).cost(order, 20_000)


@pytest.mark.parametrize("count", [0, 1, 10])
def test_tiny_samples(count: int) -> None:
    trial = Trial(events(count), WRITER)
    assert trial.cost(ARRIVAL, 100) >= 0
    assert trial.order(RowOrder(("device", "at"))).size == count


def test_equal_sequences_are_encoded_once() -> None:
    """Columns that no order moves keep their size; the same order under another name costs nothing new."""
    table = events(3_000).append_column("same", events(3_000)["device"])
    trial = Trial(table, WRITER)
    orders = [RowOrder(columns) for columns in [("device",), ("same",), ("device", "same")]]
    assert len(set(trial.costs(orders, 3_000))) == 1


def test_rows_are_sorted_inside_blocks_of_a_partition() -> None:
    table = events(1_000)
    trial = Trial(table, WRITER, partition=np.repeat(np.array([0, 1], np.uint32), [300, 700]))
    order = trial.order(RowOrder(("device",), block_rows=200))
    device = table["device"].to_numpy()
    for start, end in [(0, 200), (200, 300), (300, 500), (500, 700), (700, 900), (900, 1_000)]:
        inside = order[start:end]
        assert sorted(inside) == list(range(start, end))
        assert (np.diff(device[inside]) >= 0).all()


@pytest.mark.parametrize("allowed", [ENCODINGS, ("dictionary", "plain"), ("plain",)])
def test_the_chosen_encodings_are_what_is_written_and_no_smaller_ones_are_allowed(allowed: Sequence[str]) -> None:
    table = events(20_000)
    trial = Trial(table, WRITER, encodings=allowed)
    order = RowOrder(("device", "at"))
    bytes_, chosen = trial.tuned(order, table.num_rows)
    rows = table.take(trial.order(order))
    assert set(chosen.values()) - {"dictionary"} <= set(allowed)
    assert chosen["tags"] == "dictionary"
    written = encode(rows, replace(WRITER, encodings=chosen)).data.size
    assert bytes_ == pytest.approx(written, rel=0.01)
    for name in ("at", "device", "model", "noise"):
        for encoding in set(possible_encodings(table.schema.field(name).type)) & set(allowed):
            other = encode(rows, replace(WRITER, encodings={**chosen, name: encoding})).data.size
            assert other >= written - 200


def test_encodings_are_read_back_equal() -> None:
    table = events(5_000)
    for encoding in ENCODINGS:
        held = {n: encoding for n in table.column_names if encoding in possible_encodings(table.schema.field(n).type)}
        part = encode(table, replace(WRITER, encodings=held))
        assert pq.read_table(pa.BufferReader(part.data)).equals(table)
        footer = pq.read_metadata(pa.BufferReader(part.data)).row_group(0)
        for leaf in range(footer.num_columns):
            chunk = footer.column(leaf)
            if chunk.path_in_schema in held:
                assert (chunk.has_dictionary_page) == (encoding == "dictionary")
                assert encoding in ("dictionary", "plain") or encoding.replace("-", "_").upper() in chunk.encodings


def test_time_that_runs_out_leaves_orders_unmeasured() -> None:
    trial = Trial(events(2_000), WRITER, threads=2)
    orders = [RowOrder((name,)) for name in ("device", "model", "noise", "reading")]
    asked = iter([False, False, True, True])
    found = trial.costs(orders, 2_000, lambda: next(asked))
    assert sum(cost is None for cost in found) == 2


@pytest.mark.parametrize("rows", [16_000, 18_000, 19_999])
def test_windows_that_hold_nearly_all_rows_hold_none_twice(rows: int) -> None:
    """Noise encoded twice would look like noise that repeats, and half as large."""
    noise = pa.table({"noise": np.random.default_rng(3).integers(0, 2**62, 20_000)})
    trial = Trial(noise, WRITER, encodings=("plain",), seed=7)
    assert trial.cost(ARRIVAL, rows) == pytest.approx(trial.cost(ARRIVAL, 20_000), rel=0.01)


def test_a_row_group_of_shuffled_rows_holds_as_many_values_as_counted() -> None:
    draw = np.random.default_rng(6)
    for values in (10, 3_000, 40_000, 10**9):
        column = rank_codes(pa.chunked_array([pa.array(draw.integers(0, values, 40_000))]))
        found = ColumnExtent(column, Extent(40_000, 4))
        assert found.at_random == pytest.approx(found.on_arrival, rel=0.02)
