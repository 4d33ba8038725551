"""Write one file group anew: Spark reads, distributes and sorts, Iceberg's own writer encodes."""

from __future__ import annotations

import contextlib
import math
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lakeopt.engines.spark.arrow_values import RangeNumbers
from lakeopt.engines.spark.java_table import StagedRewrite, load
from lakeopt.engines.spark.lineage import Digest, has_lineage, lineage_of, require_kept
from lakeopt.engines.spark.native_ranges import native_ranges
from lakeopt.engines.spark.ordering import (
    LEADING,
    RANGE,
    Term,
    arrow_function,
    distributed,
    ordered_by,
    quoted,
    terms,
)
from lakeopt.engines.spark.session import java_classes, reason, session
from lakeopt.engines.spark.shuffle import observed
from lakeopt.engines.spark.staged_files import remember
from lakeopt.engines.spark.staged_list import scan_of, staged_list
from lakeopt.engines.spark.unfinished import delete_below, job_group
from lakeopt.engines.spark.writer_settings import table_properties
from lakeopt.errors import DataFileError, Refused, WorkFailed
from lakeopt.keys.row_ranges import RowRanges, divided_ranges, even_ranges
from lakeopt.model.scan import StageRequest, TableSource, staged_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

#: Rows whose keys are looked at to divide all rows evenly: so many a range (a part more or less by 1 % then), and
#: between so many in all.
SAMPLE_A_RANGE, SAMPLE_LEAST, SAMPLE_MOST = 20_000, 200_000, 1_000_000
#: Tasks, not sizes, divide rows into files; the writer cuts a file only where it comes to so many times the target
#: (and a row group: what is not written yet it counts uncompressed).
_LARGEST = 2


def stage(request: StageRequest) -> pa.Table:
    """Stage one group; see :meth:`lakeopt.engines.base.Engine.stage`."""
    source = _source(request)
    order = terms(request)
    paths = request.scan.files["file_path"].to_pylist()
    if not paths:
        return staged_schema().empty_table()
    spark = session(source.conf, threads=request.threads, memory_bytes=request.memory_bytes)
    table = load(spark, source)
    tasks = table.tasks(paths)
    group = f"lakeopt-{uuid.uuid4()}"
    properties = table_properties(request.writer, source.folder)
    with _removed_on_failure(request, source):
        with table.staged(tasks, properties) as rewrite, job_group(spark, group, f"lakeopt: {'.'.join(source.name)}"):
            lineage = _write(request, source, rewrite, order)
            new_files = rewrite.new_files()
        staged = staged_list(new_files, request)
        if lineage is not None:
            require_kept(lineage, staged, request, scan_of)
        request.progress(pc.sum(staged["record_count"]).as_py() or 0)
        remember(table, new_files, tasks)
        if (shuffle := observed(spark, group)) is not None:
            request.observe(shuffle)
    return staged


def _source(request: StageRequest) -> TableSource:
    if request.source is None:
        raise Refused(
            "Spark rewrites tables of a catalog only, and these files are of none", hint="use --engine duckdb"
        )
    if request.partition is not None:
        raise Refused(
            "rows are not moved to another partition spec by Spark yet", hint="--to-current-spec is for --engine duckdb"
        )
    return request.source


@contextlib.contextmanager
def _removed_on_failure(request: StageRequest, source: TableSource) -> Iterator[None]:
    """Remove what tasks have written where the whole of it fails, and say what did."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except BaseException as error:
        delete_below(source.folder, request.scan.resolve)
        if isinstance(error, Py4JError | PySparkException) and _is_missing(error):
            raise DataFileError(f"a file of the group cannot be read: {reason(error)}", hint="plan again") from error
        if isinstance(error, Py4JError | PySparkException):
            raise WorkFailed(
                f"Spark did not write the group: {reason(error)}",
                hint="the table is as it was; see Spark's log, and its memory (spark.executor.memory)",
            ) from error
        raise


def _is_missing(error: BaseException) -> bool:
    told = str(error)
    return "NotFoundException" in told or any("NotFoundException" in name for name in java_classes(error))


def _write(request: StageRequest, source: TableSource, rewrite: StagedRewrite, order: list[Term]) -> Digest | None:
    """Write the rows; the lineage of those that were read, where they have one."""
    stored = pc.sum(request.scan.files["file_size_in_bytes"]).as_py()
    count = max(1, math.ceil(stored / request.target_file_bytes))
    reader = rewrite.spark.read.format("iceberg").option("scan-task-set-id", rewrite.name)
    if not order:
        reader = reader.option("split-size", str(math.ceil(stored / count * 1.01))).option("file-open-cost", "0")
    frame = reader.load(rewrite.name)
    lineage = lineage_of(frame) if has_lineage(frame) else None
    if order:
        frame = _sorted(frame, request, order, count, rewrite)
    writer = frame.write.format("iceberg").option("rewritten-file-scan-task-set-id", rewrite.name)
    options = {
        "target-file-size-bytes": str(_LARGEST * request.target_file_bytes + request.writer.row_group_bytes),
        "use-table-distribution-and-ordering": "false",
        "output-spec-id": str(source.spec_id),
    }
    writer.options(**options).mode("append").save(rewrite.name)
    return lineage


def _sorted(
    frame: DataFrame, request: StageRequest, order: list[Term], count: int, rewrite: StagedRewrite
) -> DataFrame:
    """The rows in order, in as many tasks as there are to be files."""
    written = frame.columns
    framed = ordered_by(frame, request, rewrite.spark)
    divides = request.leading is not None and request.leading.divides_files and request.block_rows is None
    if count == 1 and not divides:
        framed = framed.coalesce(1) if request.scan.files.num_rows == 1 else framed.repartition(1)
    else:
        ranges = _ranges(framed, request, order, count, divides=divides)
        names = [quoted(term.name) for term in order]
        native = native_ranges(ranges, order)
        framed = framed.withColumn(
            RANGE, arrow_function(RangeNumbers(ranges), "int")(*names) if native is None else native
        )
        framed = distributed(framed, len(ranges.cuts[0]) + 1)
    sorts = [column for term in order for column in term.sorts()]
    return framed.sortWithinPartitions(*sorts).select(*(quoted(name) for name in written))


def _ranges(frame: DataFrame, request: StageRequest, order: list[Term], count: int, *, divides: bool) -> RowRanges:
    """Where rows are cut, by the keys of all rows or, where these are many, of a part of them."""
    rows = pc.sum(request.scan.files["record_count"]).as_py()
    keys = frame.select(*(quoted(term.name) for term in order))
    wanted = min(SAMPLE_MOST, max(SAMPLE_LEAST, SAMPLE_A_RANGE * count))
    if rows > wanted:
        keys = keys.sample(wanted / rows, seed=0)
    held: Any = keys.toArrow()
    columns = [column.combine_chunks() for column in held.columns]
    directions = [term.direction for term in order]
    if not divides:
        return even_ranges(columns, directions, count)
    assert order[0].name == LEADING
    assert request.leading is not None
    return divided_ranges(columns, directions, request.leading.count, 1 / count)
