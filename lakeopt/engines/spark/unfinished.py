"""What a stage that failed leaves behind: jobs that still run, and files that tasks have written."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lakeopt.errors import Unreachable

if TYPE_CHECKING:
    from pyarrow import fs
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

#: How long to wait for cancelled jobs to end (seconds) before their files are looked for.
_PATIENCE = 10.0


@contextlib.contextmanager
def job_group(spark: SparkSession, name: str, description: str) -> Iterator[None]:
    """Jobs of this block under one name; left by an error, those that still run are cancelled and waited for."""
    context = spark.sparkContext
    context.setJobGroup(name, description, interruptOnCancel=True)
    try:
        yield
    except BaseException as error:
        apart(lambda: _cancel(context, name))
        if isinstance(error, Exception):
            with contextlib.suppress(Exception):
                context._jsc.clearJobGroup()
        raise
    context._jsc.clearJobGroup()


def apart(clean_up: Callable[[], object]) -> None:
    """Clean up in a thread of its own, for a few seconds at most; what fails in it is left.

    An interrupt leaves a thread's own connection to the JVM amid an answer.
    """

    def run() -> None:
        with contextlib.suppress(Exception):  # the JVM itself may be gone
            clean_up()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(2 * _PATIENCE)


def _cancel(context: SparkContext, name: str) -> None:
    context.cancelJobGroup(name)
    deadline = time.monotonic() + _PATIENCE
    tracker = context.statusTracker()
    mine = set(tracker.getJobIdsForGroup(name))
    while mine & set(tracker.getActiveJobsIds()) and time.monotonic() < deadline:
        time.sleep(0.05)


def delete_below(folder: str, resolve: Callable[[str], tuple[fs.FileSystem, str]]) -> int:
    """Delete a folder of our own with all that is in it; the number of files. One that is not there is no error.

    :raises Unreachable: the storage refuses.
    """
    from pyarrow import fs

    filesystem, path = resolve(folder)
    try:
        listed = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True))
        files = [info for info in listed if info.is_file]
        if listed:
            filesystem.delete_dir(path)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise Unreachable(f"files of a failed rewrite cannot be removed: {folder}: {error}") from error
    return len(files)
