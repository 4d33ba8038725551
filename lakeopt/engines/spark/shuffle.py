"""What Spark counted while it staged a group: bytes between tasks, spill, and how evenly tasks shared the work."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from lakeopt.engines.spark.session import jvm
from lakeopt.model.result import Shuffle

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def observed(spark: SparkSession, group: str) -> Shuffle | None:
    """The counts of all stages of a job group, from Spark's own status store; None where nothing was shuffled.

    How even the work was is told of the stage that read the most from others: the one that sorts and writes.
    """
    context: Any = spark.sparkContext
    with contextlib.suppress(Exception):  # its own business; the store is merely late without
        context._jsc.sc().listenerBus().waitUntilEmpty(10_000)
    store = context._jsc.sc().statusStore()
    stages = [stage for number in _stage_ids(context, group) if (stage := _stage(store, number)) is not None]
    widest = max(stages, key=lambda stage: stage.shuffleReadBytes(), default=None)
    if widest is None or not widest.shuffleReadBytes():
        return None
    rows, size, seconds = _skew(spark, store, widest)
    return Shuffle(
        tasks=int(widest.numTasks()),
        read_bytes=sum(int(stage.shuffleReadBytes()) for stage in stages),
        written_bytes=sum(int(stage.shuffleWriteBytes()) for stage in stages),
        spilled_bytes=sum(int(stage.diskBytesSpilled()) for stage in stages),
        rows_skew=rows,
        bytes_skew=size,
        seconds_skew=seconds,
    )


def _stage_ids(context: Any, group: str) -> list[int]:
    tracker = context.statusTracker()
    jobs = [tracker.getJobInfo(number) for number in tracker.getJobIdsForGroup(group)]
    return sorted({number for job in jobs if job is not None for number in job.stageIds})


def _stage(store: Any, number: int) -> Any | None:
    try:
        return store.lastStageAttempt(number)
    except Exception:  # a stage that was skipped has none, nor has one that the store has forgotten
        return None


def _skew(spark: SparkSession, store: Any, stage: Any) -> tuple[float | None, float | None, float | None]:
    """Largest to median of rows, bytes and seconds of the stage's tasks."""
    gateway: Any = spark.sparkContext._gateway
    quantiles = gateway.new_array(jvm(spark).double, 2)
    quantiles[0], quantiles[1] = 0.5, 1.0
    summary = store.taskSummary(stage.stageId(), stage.attemptId(), quantiles)
    if not summary.isDefined():
        return None, None, None
    found = summary.get()
    read = found.shuffleReadMetrics()
    return _ratio(read.readRecords()), _ratio(read.readBytes()), _ratio(found.executorRunTime())


def _ratio(values: Any) -> float | None:
    median, largest = float(values.apply(0)), float(values.apply(1))
    return round(largest / median, 3) if median else None
