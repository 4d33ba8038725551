"""What the columns of a table are like, in the figures that a row order depends on.

- **redundancy**: 1 - distinct values / non-null rows; beside it the mean **group size**, since redundancy
  saturates near 1 and cannot rank columns.
- **width**: encoded bytes per row of the column in shuffled order, not its width in memory.
- **correlation** of a column: the share of the *other* columns' shuffled bytes that sorting by it saves. The
  pairwise matrix holds the single terms. Ties are left shuffled, so that a constant column correlates with
  nothing: what arrival order saves is no merit of the column.
- **skew**: share of the most frequent value among the non-null ones, and the **effective values** 2^H, the
  number of equally frequent values that would have the same entropy H.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.analysis.rank_codes import RankCodes
from lakeopt.analysis.trial import Trial
from lakeopt.model.row_order import ARRIVAL, RowOrder
from lakeopt.model.scan import FIELD_ID, WriterOptions

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Distribution:
    """How the values of a column are spread. Figures of the non-null values are None where there are none."""

    null_fraction: float
    distinct_count: int
    redundancy: float | None
    group_size: float | None
    skew: float | None
    effective_values: float | None


def distribution(counts: Counts, nulls: int) -> Distribution:
    """From how often each different value occurs.

    >>> distribution(np.array([3, 1]), nulls=4).skew
    0.75
    >>> distribution(np.array([2, 2]), nulls=0).effective_values
    2.0
    """
    rows = int(counts.sum())
    null_fraction = nulls / (rows + nulls) if rows + nulls else 0.0
    if not rows:
        return Distribution(null_fraction, 0, None, None, None, None)
    shares = counts / rows
    return Distribution(
        null_fraction=null_fraction,
        distinct_count=len(counts),
        redundancy=1 - len(counts) / rows,
        group_size=rows / len(counts),
        skew=float(shares.max()),
        effective_values=float(2 ** -(shares * np.log2(shares)).sum()),
    )


def distribution_of(column: RankCodes) -> Distribution:
    """The distribution of a column whose rank codes are known."""
    counts = np.bincount(column.codes, minlength=column.cardinality)
    return distribution(counts[1:], int(counts[0])) if column.has_nulls else distribution(counts, 0)


@dataclass(frozen=True, slots=True)
class MeasuredColumns:
    """Columns of a sample: ``widths`` in bytes per row in shuffled order, and what sorting saves of it.

    ``saved[key][column]`` is the share of the column's shuffled bytes that sorting by the key saves.
    ``distributions`` has the columns that can be sorted.
    """

    widths: Mapping[str, float]
    saved: Mapping[str, Mapping[str, float]]
    distributions: Mapping[str, Distribution]

    def correlation(self, key: str) -> float | None:
        """Share of the other columns' bytes that sorting by a column saves; None without other columns."""
        others = {name: width for name, width in self.widths.items() if name != key}
        total = sum(others.values())
        if key not in self.saved or not total:
            return None
        return sum(self.saved[key][name] * width for name, width in others.items()) / total


def measure_columns(
    rows: pa.Table, writer: WriterOptions, keys: Sequence[str], *, trial_rows: int, threads: int = 1, seed: int = 0
) -> MeasuredColumns:
    """Encode the rows shuffled, and sorted by each key in turn, in windows of about ``trial_rows`` rows.

    ``keys`` that cannot be sorted by are passed over.
    """
    shuffled = rows.take(pa.array(np.random.default_rng(seed).permutation(rows.num_rows)))
    trial = Trial(shuffled, writer, encodings=("dictionary", "plain"), threads=threads, seed=seed)
    base = trial.column_bytes(ARRIVAL, trial_rows)
    saved = {}
    for key in keys:
        if key in trial.codes and rows.num_rows:
            ordered = trial.column_bytes(RowOrder((key,)), trial_rows)
            saved[key] = {name: 1 - ordered[name] / size if size else 0.0 for name, size in base.items()}
    widths = {name: size / max(1, rows.num_rows) for name, size in base.items()}
    return MeasuredColumns(widths, saved, {name: distribution_of(codes) for name, codes in trial.codes.items()})


def bytes_shares(files: pa.Table, schema: pa.Schema) -> dict[str, float] | None:
    """Share of the table's column bytes that each top-level column takes, from the manifests' ``column_sizes``.

    None where they record no sizes, or none of some column (metrics modes can switch them off).
    """
    entries = pc.list_flatten(files["column_sizes"].combine_chunks().cast(_entries()))
    by_leaf = pa.table({"leaf": entries.field(0), "bytes": entries.field(1)}).group_by("leaf")
    summed = by_leaf.aggregate([("bytes", "sum")])
    sizes = dict(zip(summed["leaf"].to_pylist(), summed["bytes_sum"].to_pylist(), strict=True))
    columns = {field.name: [sizes[leaf] for leaf in _leaves(field) if leaf in sizes] for field in schema}
    total = sum(map(sum, columns.values()))
    if not total or not all(columns.values()):
        return None
    return {name: sum(found) / total for name, found in columns.items()}


def _entries() -> pa.DataType:
    return pa.list_(pa.struct([("key", pa.int32()), ("value", pa.int64())]))


def _leaves(field: pa.Field) -> Iterable[int]:
    """Field ids of a field and everything in it."""
    if field.metadata and FIELD_ID in field.metadata:
        yield int(field.metadata[FIELD_ID])
    kind = field.type
    if pa.types.is_map(kind):
        children = [kind.key_field, kind.item_field]
    elif pa.types.is_struct(kind):
        children = [kind.field(number) for number in range(kind.num_fields)]
    elif pa.types.is_nested(kind):
        children = [kind.value_field]
    else:
        children = []
    for child in children:
        yield from _leaves(child)
