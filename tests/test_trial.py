"""A trial's figures against files that are really written, and windows against the whole."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakeopt.analysis.encoded_size import row_group_rows
from lakeopt.analysis.trial import Trial
from lakeopt.model.scan import WriterOptions

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
    assert sum(trial.column_bytes(trial.order(order), table.num_rows).values()) == columns
    assert trial.cost(order, table.num_rows) == pytest.approx(file, rel=0.02)


def test_windows_estimate_the_whole() -> None:
    table = events(300_000)
    trial = Trial(table, WRITER, threads=2)
    arrival = trial.cost((), table.num_rows)
    for order in [(), ("device",), ("model",), ("device", "at"), ("noise",), ("reading", "model")]:
        whole = trial.cost(order, table.num_rows)
        windows = trial.cost(order, 40_000)
        assert abs(windows - whole) < 0.04 * arrival, (order, windows, whole)


def test_windows_pay_a_dictionary_once_a_row_group() -> None:
    """A column of 30,000 long values costs its dictionary whatever the order; a window holds a part of it."""
    count = 200_000
    draw = np.random.default_rng(1)
    names = pa.array([bytes(draw.integers(97, 123, 24, dtype=np.uint8)).decode() for _ in range(30_000)])
    table = pa.table({"name": names.take(pa.array(draw.integers(0, 30_000, count)))})
    trial = Trial(table, WRITER)
    for order in [(), ("name",)]:
        assert trial.cost(order, 30_000) == pytest.approx(trial.cost(order, count), rel=0.1)


def test_columns_are_counted_apart_and_nested_ones_count() -> None:
    table = events(5_000)
    trial = Trial(table, WRITER)
    sizes = trial.column_bytes(trial.order(()), 5_000)
    assert list(sizes) == table.column_names
    assert all(size > 0 for size in sizes.values())
    assert sum(sizes.values()) + trial.footer_bytes == trial.cost((), 5_000)
    assert "tags" not in trial.codes


def test_rows_stay_in_their_partition() -> None:
    table = events(4_000)
    partition = np.repeat(np.array([0, 1], np.uint32), 2_000)
    trial = Trial(table, WRITER, partition=partition)
    order = trial.order(("device",))
    assert sorted(order[:2_000].tolist()) == list(range(2_000))
    device = table["device"].to_numpy()[order]
    assert (np.diff(device[:2_000]) >= 0).all()
    assert (np.diff(device[2_000:]) >= 0).all()
    halves = [Trial(table.slice(start, 2_000), WRITER).cost(("device",), 2_000) for start in (0, 2_000)]
    assert trial.cost(("device",), 4_000) == pytest.approx(sum(halves), rel=0.01)


def test_trials_are_repeatable_and_threads_change_nothing() -> None:
    table = events(50_000)
    figures = [Trial(table, WRITER, threads=threads, seed=4).cost(("model",), 10_000) for threads in (1, 2, 2)]
    assert len(set(figures)) == 1


@pytest.mark.parametrize("count", [0, 1, 10])
def test_tiny_samples(count: int) -> None:
    trial = Trial(events(count), WRITER)
    assert trial.cost((), 100) >= 0
    assert trial.order(("device", "at")).size == count


def test_equal_sequences_are_encoded_once() -> None:
    """Columns that no order moves keep their size; the same order under another name costs nothing new."""
    table = events(3_000).append_column("same", events(3_000)["device"])
    trial = Trial(table, WRITER)
    assert trial.cost(("device",), 3_000) == trial.cost(("same",), 3_000) == trial.cost(("device", "same"), 3_000)
