"""What a stage that failed leaves behind: jobs that still run, and files that tasks have written."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from lakeopt.errors import Unreachable

if TYPE_CHECKING:
    from pyarrow import fs
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
    except BaseException:
        with contextlib.suppress(Exception):  # the JVM itself may be gone
            context.cancelJobGroup(name)
            deadline = time.monotonic() + _PATIENCE
            tracker = context.statusTracker()
            while tracker.getActiveJobsIds() and time.monotonic() < deadline:
                time.sleep(0.05)
        raise
    finally:
        with contextlib.suppress(Exception):
            context._jsc.clearJobGroup()


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
