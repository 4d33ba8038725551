"""``profile``: what the columns of a table are like, as far as its layout is concerned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lakeopt.config import Settings
from lakeopt.model.profile import ColumnProfile, ColumnProfiles, CorrelationMatrix
from lakeopt.tables.base import Table
from lakeopt.workflows.sampled import SampledTable, sampled_table

if TYPE_CHECKING:
    from lakeopt.analysis.columns import Distribution, MeasuredColumns

#: Of wider tables only so many columns, those that take the most bytes, are correlated with the others.
MATRIX_COLUMNS = 64


def profile(
    table: str | Table,
    *,
    exact: bool = False,
    sample_rows: int | None = None,
    memory: int | None = None,
    threads: int | None = None,
    settings: Settings | None = None,
    seed: int = 0,
) -> ColumnProfiles:
    """Profile every column of a table, on a sample of its rows whose size is stated.

    ``exact`` counts nulls, distinct values and skew over all rows; width and correlation are always measured by
    encoding the sample, which is then as large as ``memory`` (bytes of the whole process) allows. Columns of
    lists, maps and structs are not counted by value. The same seed gives the same figures.

    :raises UnknownName: no such table.
    :raises Refused: ``exact``, and a column has too many different values for the memory.
    """
    from lakeopt.analysis.columns import bytes_shares, measure_columns
    from lakeopt.analysis.trial import Trial, window_rows
    from lakeopt.model.row_order import ARRIVAL

    opened = sampled_table(
        table, sample_rows=sample_rows, whole=exact, memory=memory, threads=threads, settings=settings
    )
    rows, writer = opened.sample.rows, opened.table.writer_options()
    windows = window_rows(rows)
    shares = bytes_shares(opened.files, opened.table.schema)
    if shares is None:
        arrival = Trial(rows, writer, partition=opened.sample.partition, threads=opened.threads, seed=seed)
        sizes = arrival.column_bytes(ARRIVAL, windows)
        shares = {name: size / max(1, sum(sizes.values())) for name, size in sizes.items()}
    widest = sorted(shares, key=lambda name: -shares[name])[:MATRIX_COLUMNS]
    keys = [name for name in rows.column_names if name in widest]
    measured = measure_columns(rows, writer, keys, trial_rows=windows, threads=opened.threads, seed=seed)
    spread = _distributions(opened) if exact and not opened.sample.whole else measured.distributions
    return ColumnProfiles(
        table=opened.table.identifier,
        snapshot_id=None if opened.snapshot_id is None else str(opened.snapshot_id),
        record_count=opened.sample.record_count,
        sampled_rows=rows.num_rows,
        exact=exact or opened.sample.whole,
        columns=tuple(_column(name, opened, spread, measured, shares) for name in rows.column_names),
        correlation_matrix=_matrix(keys, measured),
    )


def _column(
    name: str,
    opened: SampledTable,
    spread: Mapping[str, Distribution],
    measured: MeasuredColumns,
    shares: Mapping[str, float],
) -> ColumnProfile:
    values, rows = spread.get(name), opened.sample.rows
    return ColumnProfile(
        name=name,
        type=opened.table.field_types[name],
        null_fraction=values.null_fraction if values else rows[name].null_count / max(1, rows.num_rows),
        distinct_count=values.distinct_count if values else None,
        redundancy=values.redundancy if values else None,
        group_size=values.group_size if values else None,
        width=measured.widths[name],
        correlation=measured.correlation(name),
        skew=values.skew if values else None,
        effective_values=values.effective_values if values else None,
        bytes_share=shares[name],
    )


def _matrix(keys: Sequence[str], measured: MeasuredColumns) -> CorrelationMatrix:
    rows = (measured.saved.get(key) for key in keys)
    return CorrelationMatrix(
        tuple(keys), tuple(tuple(None if row is None else row[name] for name in keys) for row in rows)
    )


def _distributions(opened: SampledTable) -> dict[str, Distribution]:
    """Distributions over every row of the table, one column at a time so that one column's values are held."""
    from lakeopt.analysis.columns import distribution
    from lakeopt.analysis.rank_codes import is_sortable
    from lakeopt.analysis.value_counts import ValueCounts
    from lakeopt.parquet.scan import read_batches

    scan = opened.table.scan(opened.files)
    result = {}
    for field in scan.schema:
        if is_sortable(field.type):
            counts = ValueCounts(field.name, memory_bytes=opened.memory_bytes // 2)
            for batch in read_batches(scan, columns=[field.name], threads=opened.threads):
                counts.add(batch.column(0))
            result[field.name] = distribution(counts.counts(), counts.nulls)
    return result
