"""Which engine rewrites a table where the user leaves it open: by format and size, with the reason."""

from __future__ import annotations

import importlib.util

from lakeopt.config import Settings
from lakeopt.tables.base import Table
from lakeopt.units import format_size, parse_size

AUTO = "auto"
#: Bytes of a table above which one machine is taken to be too slow; the setting ``spark_above`` says otherwise.
SPARK_ABOVE = "200GB"


def chosen_engine(asked: str, table: Table, branch: str, settings: Settings) -> tuple[str, str]:
    """The engine's name, and why it was chosen: empty where it was asked for.

    :raises UnknownName: no such branch.
    :raises UsageError: the setting is no size.
    """
    if asked != AUTO:
        return asked, ""
    if table.format != "iceberg":
        return "duckdb", "it is a Hive table"
    if table.format_version >= 3:
        return "spark", "format version 3 is written by Spark alone"
    limit = parse_size(settings.spark_above or SPARK_ABOVE)
    base = table.snapshot_id(branch)
    total = 0 if base is None else sum(sum(part["file_size_in_bytes"].to_pylist()) for part in table.files(base))
    held = f"{format_size(total)} of data are"
    if total <= limit:
        return "duckdb", f"{held} not above {format_size(limit)}"
    if importlib.util.find_spec("pyspark") is None:
        return "duckdb", f"{held} above {format_size(limit)}, but pyspark is not installed"
    return "spark", f"{held} above {format_size(limit)}"
