"""The committers that a plan may name, and what else workflows ask of a table's format."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lakeopt.errors import UnknownName

if TYPE_CHECKING:
    from lakeopt.tables.base import Committer, Table, Upkeep

#: Where each committer is defined, by its name.
COMMITTERS = {
    "lakeopt": "lakeopt.tables.iceberg.commits.replace_commit:ReplaceCommitter",
    "iceberg-spark": "lakeopt.tables.iceberg.commits.spark_commit:SparkCommitter",
    "hive-switch": "lakeopt.tables.hive.switch.committer:HiveSwitch",
    "hive-copy": "lakeopt.tables.hive.switch.copying:HiveCopy",
}
_UPKEEP = {
    "iceberg": "lakeopt.tables.iceberg.upkeep:IcebergUpkeep",
    "hive": "lakeopt.tables.hive.upkeep:HiveUpkeep",
}


def committer(name: str) -> Committer:
    """The committer of that name.

    :raises UnknownName: no committer has it.
    """
    if name not in COMMITTERS:
        raise UnknownName("committer", name, COMMITTERS)
    made: Committer = _made(COMMITTERS[name])
    return made


def upkeep(table: Table) -> Upkeep:
    """What the clean-up asks of the table's format."""
    made: Upkeep = _made(_UPKEEP[table.format])
    return made


def _made(where: str) -> Any:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)()
