"""PV buckets of a table: counts of its values, what their rows weigh, and the cut points that divide them evenly."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.analysis.bucket_weights import ValueRows, Weights, by_value, bytes_a_row, count_rows, order_bytes, plain
from lakeopt.errors import UsageError
from lakeopt.keys.cut_points import ascending, codes, from_text, to_text
from lakeopt.keys.layout_key import layout_key
from lakeopt.keys.leading_key import RangeKey
from lakeopt.layout.pv_buckets import SNAP, Cut, cuts, evenness, second_key
from lakeopt.model.plan import Layout, SortField
from lakeopt.workflows.cut_request import CutRequest

#: Up to so many values a plan names those that it has seen where not all were counted; a row of any other value is in
#: a bucket behind the last. Where there are more, a value that was not seen is where it sorts.
MAX_SEEN = 10_000
#: Buckets of which the heaviest is at most so much above the mean are kept from run to run.
EVEN = 1.15
#: Their number is kept unless that of the target size has grown or shrunk by more than this.
_GROWTH = 1.5


@dataclass(frozen=True)
class BucketPlan:
    """A layout with its cut points, and what each bucket is expected to hold (rows, relative weight)."""

    layout: Layout
    rows: tuple[int, ...]
    weights: tuple[float, ...]


def plan_buckets(
    layout: Layout,
    held: Layout | None,
    request: CutRequest,
    *,
    for_others: bool = False,
    second_keys: Collection[str] | None = None,
) -> BucketPlan:
    """Buckets for the layout's column; those of ``held`` where they are about as many and as even as new ones.

    ``for_others``: rows are to come of values that no count of today can know. Where the layout names no second key,
    one of ``second_keys`` is chosen; any column but nested ones is if none are given.

    :raises UsageError: a file of counts cannot be read, or there is nothing to take counts from.
    """
    sample = request.sample()
    columns = [column.name for column in (held.columns if held is not None else layout.columns)]
    wanted = request.buckets or _bucket_number(request)
    others = [f.name for f in sample.schema if f.name != columns[0] and not pa.types.is_nested(f.type)]
    others = [name for name in others if second_keys is None or name in second_keys]
    if len(columns) == 1 and (second := _second_key(sample, columns[0], others, wanted, request)) is not None:
        columns.append(second)
    counted = _counts(columns, sample, request)
    table_writer = request.table.writer_options()
    weights = counted.counts * bytes_a_row(sample, columns, counted.values, table_writer)
    exact = request.counts in (None, "exact") and not for_others
    made = _layout(layout, columns, _cut_points(counted, weights, wanted), None if exact else counted.values)
    new = _expected(made, counted, weights, request)
    if held is None:
        return new
    old = _expected(held, counted, weights, request)
    number = len(old.rows)
    alike = number == len(new.rows) or (request.buckets is None and wanted / _GROWTH <= number <= wanted * _GROWTH)
    return old if alike and evenness(old.weights) <= max(EVEN, 1.05 * evenness(new.weights)) else new


def _bucket_number(request: CutRequest) -> int:
    """Files of the target size in the largest partition."""
    files = request.files
    sizes = files.group_by(["spec_id", "partition"]).aggregate([("file_size_in_bytes", "sum")])
    largest = pc.max(sizes["file_size_in_bytes_sum"]).as_py() or 0
    return max(1, round(largest / request.target_file_bytes))


def _second_key(sample: pa.Table, column: str, others: Sequence[str], wanted: int, request: CutRequest) -> str | None:
    """The one of the others that is to divide heavy values, by the sample's rows of the heaviest."""
    numbers = codes(plain(sample.column(column)))[0]
    if not len(numbers):
        return None
    counts = np.bincount(numbers)
    heaviest = sample.filter(pa.array(numbers == counts.argmax()))
    held = {name: plain(heaviest.column(name)).value_counts().field("counts").to_pylist() for name in others}
    measure = partial(order_bytes, heaviest, writer=request.table.writer_options())
    return second_key(held, counts.max() / len(numbers) * wanted, request.filtered, measure)


def _counts(columns: list[str], sample: pa.Table, request: CutRequest) -> ValueRows:
    """Rows by value, as asked."""
    from lakeopt.parquet.scan import read_batches

    counts = request.counts or "exact"
    kept = sample.select(columns)
    if counts == "sample":
        values = plain(kept.column(0))
        return by_value(values, np.ones(len(values), np.int64), kept)
    if counts not in ("exact", "previous"):
        given, numbers = _from_file(Path(counts), kept.schema.field(0).type)
        return by_value(given, numbers, kept)
    files = request.files if counts == "exact" else _newest_partition(request.files)
    batches = read_batches(
        request.table.scan(files, stored_only=True),
        columns=columns,
        threads=request.threads,
        memory_bytes=request.memory_bytes // 2,
    )
    return count_rows(
        batches,
        kept.schema,
        record_count=pc.sum(files["record_count"]).as_py() or 0,
        memory_bytes=request.memory_bytes // 4,
    )


def _newest_partition(files: pa.Table) -> pa.Table:
    """The files of the partition that was written last.

    :raises UsageError: the table has no partitions.
    """
    if not files.num_rows or set(files["partition"].to_pylist()) == {"{}"}:
        raise UsageError("the table has no partition to take counts from", hint="use --counts exact")
    order = [("data_sequence_number", "descending"), ("partition", "descending")]
    last = files.select(["spec_id", "partition", "data_sequence_number"]).sort_by(order).slice(0, 1).to_pylist()[0]
    same = pc.and_(pc.equal(files["spec_id"], last["spec_id"]), pc.equal(files["partition"], last["partition"]))
    return files.filter(same)


def _from_file(path: Path, kind: pa.DataType) -> tuple[pa.Array, Any]:
    """Values and rows of a file: a JSON object, or a CSV or Parquet file with these two columns first.

    :raises UsageError: the file cannot be read, or is something else.
    """
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() == ".parquet":
            table = pq.read_table(path)
            return plain(table.column(0).cast(kind)), table.column(1).cast(pa.int64()).to_numpy()
        if path.suffix.lower() == ".csv":
            read = pa_csv.ConvertOptions(column_types={0: pa.string()}, strings_can_be_null=True)
            table = pa_csv.read_csv(path, convert_options=read)
            texts = table.column(0).cast(pa.string()).to_pylist()
            return from_text(texts, kind), table.column(1).cast(pa.int64()).to_numpy()
        held = json.loads(path.read_text(encoding="utf-8"))
        return from_text(list(held), kind), np.array([int(count) for count in held.values()], np.int64)
    except (OSError, ValueError, AttributeError, IndexError, TypeError, pa.ArrowException) as error:
        raise UsageError(
            f"counts cannot be read: {path}: {error}",
            hint="give exact, sample, previous, or a .json object, .csv or .parquet file of values and rows",
        ) from error


def _cut_points(counted: ValueRows, weights: Weights, wanted: int) -> tuple[pa.Array, pa.Array | None]:
    """Where the second and later buckets begin, as values and second keys."""
    if counted.rows.num_columns == 1:
        found = cuts(weights.tolist(), wanted, spread=[False] * len(weights))
        return counted.values.take(pa.array([cut.value for cut in found], pa.int64())), None
    second = plain(counted.rows.column(1))
    at = _places(counted)
    heavy = weights > SNAP * weights.sum() / max(1, wanted)
    of_heavy = {int(value): _ascending(second, np.flatnonzero(at == value)) for value in np.flatnonzero(heavy)}
    spread = [value in of_heavy and len(of_heavy[value].unique()) > 1 for value in range(len(weights))]
    null = pa.nulls(1, second.type)
    pairs: list[tuple[int, pa.Array]] = []
    for cut in cuts(weights.tolist(), wanted, spread=spread):
        key = _key(cut, of_heavy)
        key = null if key is None else key
        again = pairs and pairs[-1][0] == cut.value and pairs[-1][1].equals(key)
        if not again and (cut.value or key.null_count == 0):  # nothing is below the first row of the first value
            pairs.append((cut.value, key))
    values = counted.values.take(pa.array([value for value, _ in pairs], pa.int64()))
    return values, pa.concat_arrays([null.slice(1), *(key for _, key in pairs)])


def _places(counted: ValueRows) -> np.ndarray:
    """The value of each kept row, as its place among all; -1 where it was not counted."""
    count = len(counted.values)
    numbers = codes(pa.concat_arrays([counted.values, plain(counted.rows.column(0))]))[0]
    known, held = numbers[:count], numbers[count:]
    at = np.minimum(np.searchsorted(known, held), max(count - 1, 0))
    return np.where(known[at] == held, at, -1) if count else np.full(len(held), -1)


def _ascending(second: pa.Array, rows: np.ndarray) -> pa.Array:
    """Second keys of some rows, null first."""
    some = second.take(pa.array(rows))
    ordered = ascending(some)
    return pa.concat_arrays([ordered.slice(len(some) - some.null_count), ordered.slice(0, len(some) - some.null_count)])


def _key(cut: Cut, of_heavy: dict[Any, pa.Array]) -> pa.Array | None:
    """The second key (one value) nearest to this share of a value's rows; None: the value's first row."""
    if not cut.share:
        return None
    keys = of_heavy[cut.value]
    place = min(round(cut.share * len(keys)), len(keys) - 1)
    numbers = codes(keys)[0]
    low, high = (int(np.searchsorted(numbers, numbers[place], side)) for side in ("left", "right"))
    nearest = high if high < len(keys) and high - place < place - low else low
    return keys.slice(nearest, 1) if nearest and keys[nearest].is_valid else None


def _layout(
    layout: Layout, columns: list[str], found: tuple[pa.Array, pa.Array | None], seen: pa.Array | None
) -> Layout:
    values, second = found
    texts = {columns[0]: to_text(values)} | ({} if second is None else {columns[1]: to_text(second)})
    named = None if seen is None or len(seen) > MAX_SEEN else to_text(seen)
    fields = tuple(SortField(name) for name in columns)
    return dataclasses.replace(layout, columns=fields, cuts=texts, seen=named)


def _expected(layout: Layout, counted: ValueRows, weights: Weights, request: CutRequest) -> BucketPlan:
    """What the buckets of a layout would hold, by the rows that were kept."""
    key = layout_key(layout, request.table.schema)
    assert isinstance(key, RangeKey)
    number = len(key.cuts[0]) + 1 + (layout.seen is not None)
    if not counted.rows.num_rows or not len(weights):
        return BucketPlan(layout, (0,) * number, (0.0,) * number)
    rows = [plain(counted.rows.column(name)) for name in layout.cuts]
    buckets = np.asarray(key(rows)).astype(np.int64)
    at = _places(counted)
    buckets, at = buckets[at >= 0], at[at >= 0]
    kept = np.maximum(np.bincount(at, minlength=len(weights)), 1)
    held = np.bincount(buckets, weights=(counted.counts / kept)[at], minlength=number)
    heavy = np.bincount(buckets, weights=(weights / kept)[at], minlength=number)
    return BucketPlan(layout, tuple(round(count) for count in held), tuple(heavy.tolist()))
