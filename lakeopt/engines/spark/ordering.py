"""The order of rows in Spark's words: columns that are added for it, and what to sort by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from lakeopt.engines.spark.arrow_values import LeadingNumbers
from lakeopt.errors import MissingExtra, UnknownName, UsageError
from lakeopt.model.scan import StageRequest

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

#: Columns that are added while rows are sorted, and not written.
ARRIVAL, LEADING, BLOCK, RANGE = "_lakeopt_arrival", "_lakeopt_leading", "_lakeopt_block", "_lakeopt_range"
ROW_ID = "_row_id"
_PATH, _START = "_lakeopt_path", "_lakeopt_start"


@dataclass(frozen=True)
class Term:
    """One column that rows are ordered by."""

    name: str
    ascending: bool = True
    nulls_first: bool = True
    floating: bool = False

    @property
    def direction(self) -> tuple[bool, bool]:
        """Ascending, nulls first."""
        return self.ascending, self.nulls_first

    def sorts(self) -> list[Column]:
        """What Spark sorts by. It holds -0.0 and 0.0 for equal, the spec does not."""
        column = quoted(self.name)
        found = [_directed(column, self)]
        if self.floating:
            from pyspark.sql import functions as f

            below = f.when((column == 0) & (column.cast("string") == "-0.0"), 0).otherwise(1)
            found.append(_directed(below, self))
        return found


def terms(request: StageRequest) -> list[Term]:
    """What rows of this request are ordered by, the first before all others; empty for a bin-pack.

    :raises UnknownName: a column is not there.
    :raises UsageError: a column cannot be sorted by.
    """
    found = [Term(BLOCK)] if request.block_rows is not None else []
    if request.leading is not None:
        found.append(Term(LEADING))
    schema = request.scan.schema
    for name, ascending, nulls_first in request.sort:
        if name not in schema.names:
            raise UnknownName("column", name, schema.names)
        kind = schema.field(name).type
        if pa.types.is_nested(kind):
            raise UsageError(f"column {name!r} cannot be sorted by: its type is {kind}")
        found.append(Term(name, ascending, nulls_first, pa.types.is_floating(kind)))
    return [*found, Term(ARRIVAL)] if found else []


def ordered_by(frame: DataFrame, request: StageRequest, spark: SparkSession) -> DataFrame:
    """The rows with the columns that they are ordered by."""
    from pyspark.sql import functions as f

    framed = _with_arrival(frame, request, spark)
    if request.block_rows is not None:
        framed = framed.withColumn(BLOCK, f.expr(f"{ARRIVAL} div {request.block_rows}"))
    if request.leading is not None:
        kinds = tuple(request.scan.schema.field(name).type for name in request.leading.columns)
        numbers = arrow_function(LeadingNumbers(request.leading, kinds), "bigint")
        framed = framed.withColumn(LEADING, numbers(*(quoted(name) for name in request.leading.columns)))
    return framed


def _with_arrival(frame: DataFrame, request: StageRequest, spark: SparkSession) -> DataFrame:
    """Each row's place among all rows of the group as they arrived: where its file begins, and its place in that.

    Of v3 it is the row's own id; rows that have none, from before the table was upgraded, come first.
    """
    from pyspark.sql import functions as f

    if ROW_ID in frame.columns:  # Spark shows no places in files beside row ids
        return frame.withColumn(ARRIVAL, quoted(ROW_ID))
    files = request.scan.files
    counts = files["record_count"].to_pylist()
    starts = list(_running(counts))
    listed = spark.createDataFrame(
        list(zip(files["file_path"].to_pylist(), starts, strict=True)), f"{_PATH} string, {_START} bigint"
    )
    joined = frame.withColumn(ARRIVAL, f.col("_pos")).withColumn("_lakeopt_file", f.col("_file"))
    joined = joined.join(f.broadcast(listed), f.col("_lakeopt_file") == f.col(_PATH), "left")
    return joined.withColumn(ARRIVAL, f.col(ARRIVAL) + f.col(_START)).drop(_PATH, _START, "_lakeopt_file")


def _running(counts: Sequence[int]) -> list[int]:
    starts, total = [], 0
    for count in counts:
        starts.append(total)
        total += count
    return starts


def quoted(name: str) -> Column:
    """A column by its name, dots and all."""
    from pyspark.sql import functions as f

    return f.col(f"`{name.replace('`', '``')}`")


def _directed(column: Column, term: Term) -> Column:
    name = ("asc" if term.ascending else "desc") + "_nulls_" + ("first" if term.nulls_first else "last")
    return getattr(column, name)()  # type: ignore[no-any-return]


def arrow_function(function: Callable[..., pa.Array], returns: str) -> Callable[..., Column]:
    """A function of Arrow arrays as one of columns.

    :raises MissingExtra: this Spark has no such functions.
    """
    from pyspark.sql import functions

    made = getattr(functions, "arrow_udf", None)
    if made is None:
        raise MissingExtra("pyspark>=4.1", "spark")
    # Spark wants annotations of a fixed number of arguments, or none at all.
    found: Callable[..., Column] = made(lambda *values: function(*values), returnType=returns)
    return found


def distributed(frame: DataFrame, count: int) -> DataFrame:
    """Rows sent to the task whose number is in the column ``RANGE``, and to no other."""
    return frame.repartitionById(count, quoted(RANGE))
