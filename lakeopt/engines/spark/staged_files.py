"""What this process has staged and not committed: Java's own records of the new files, and of those they replace.

Iceberg's data files carry what no file list of ours has room for (split offsets, key metadata, first row ids), so that
a commit through Java takes the very objects that Iceberg's writer made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lakeopt.engines.spark.java_table import JavaTable
from lakeopt.errors import WorkFailed

_NEW: dict[str, Any] = {}
_TASKS: dict[str, tuple[JavaTable, Any]] = {}


def remember(table: JavaTable, new_files: Iterable[Any], tasks: Iterable[Any]) -> None:
    """Keep what was staged, and the scan tasks of the table that it was made of."""
    _NEW.update((file.location(), file) for file in new_files)
    _TASKS.update((task.file().location(), (table, task)) for task in tasks)


def staged_table(paths: Iterable[str]) -> JavaTable:
    """The table that these replaced files were read from.

    :raises WorkFailed: they were read by another process.
    """
    return _read(next(iter(paths), ""))[0]


def forget(new_paths: Iterable[str], old_paths: Iterable[str] = ()) -> None:
    """They are committed, or gone."""
    for path in new_paths:
        _NEW.pop(path, None)
    for path in old_paths:
        _TASKS.pop(path, None)


def new_file(path: str) -> Any:
    """Java's record of a staged file.

    :raises WorkFailed: it was staged by another process.
    """
    if path not in _NEW:
        raise WorkFailed(f"Spark knows nothing of the staged file {path}", hint="run the plan again")
    return _NEW[path]


def scan_task(path: str) -> Any:
    """Java's scan task of a file that is replaced.

    :raises WorkFailed: it was read by another process.
    """
    return _read(path)[1]


def _read(path: str) -> tuple[JavaTable, Any]:
    if path not in _TASKS:
        raise WorkFailed(f"Spark has not read the data file {path}", hint="run the plan again")
    return _TASKS[path]
