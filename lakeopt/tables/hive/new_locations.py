"""Where new files of a Hive table go: a folder that no reader's listing shows, which ends in the partition's names.

Hive, Spark and ``MSCK REPAIR`` pass over ``.lakeopt``; whoever is told of the folder below it reads it. A folder's last
names stay ``key=value``, which readers that go by paths rely on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lakeopt.errors import UsageError
from lakeopt.model.plan import FileGroup
from lakeopt.tables.hive.partition_names import parse_folder, partition_name

if TYPE_CHECKING:
    from lakeopt.tables.hive.table import HiveTable

#: Folder below a table's root in which new folders are made.
HIDDEN = ".lakeopt"
#: ``<plan>-<token>-<group>-`` at the begin of a new file's name.
_RUN = re.compile(r"(.+-[0-9a-f]{8}-[0-9]{5,})-")


def base(location: str) -> str:
    """A location as it was before any switch.

    >>> base("s3://b/t/.lakeopt/p-1/d=1"), base("/t")
    ('s3://b/t', '/t')
    """
    return location.partition(f"/{HIDDEN}/")[0]


def new_location(table: HiveTable, group: FileGroup, name: str) -> str:
    """Location of a new file of a group.

    :raises UsageError: the group is no partition of a Hive table, or the name is none of a run's files.
    """
    run = _RUN.match(name)
    if group.switch is None or run is None:
        raise UsageError(f"{name} is no file of a Hive partition", hint="make a new plan")
    if table.description.storage.file_format == "orc":
        name = name.removesuffix(".parquet") + ".orc"
    folders = _folders(table, group.switch.values, group.switch.location)
    return f"{table.base_location}/{HIDDEN}/{run[1]}/{folders}/{name}"


def _folders(table: HiveTable, values: tuple[str | None, ...], location: str) -> str:
    """The partition's names, as they are spelt now where the folder has them."""
    if not values:
        return table.base_location.rpartition("/")[2] or "table"
    held = location.rstrip("/").split("/")[-len(values) :]
    columns = [name for name, _ in table.partition_columns]
    pairs = [parse_folder(part) for part in held]
    wanted = [(name.lower(), value) for name, value in zip(columns, values, strict=True)]
    if [pair and (pair[0].lower(), pair[1]) for pair in pairs] == wanted:
        return "/".join(held)
    return partition_name(columns, values)
