"""What ``inspect`` says of a Hive table that lies in an Iceberg table's folder."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from lakeopt.model.table import Finding
from lakeopt.tables.base import Table

if TYPE_CHECKING:
    from lakeopt.tables.hive.double_reads import DoubleRead
    from lakeopt.tables.hive.table import HiveTable

CODE = "double-reading"
#: Partitions that a command names at most.
_NAMED = 8


def double_reading(table: Table) -> Iterator[Finding]:
    """One finding for each Iceberg table whose folder a Hive table reads; none for a table of another format.

    :raises Unreachable: metastore or storage do not answer.
    """
    if table.format != "hive":
        return
    from lakeopt.tables.hive.double_reads import double_reads

    yield from (_finding(one) for one in double_reads(cast("HiveTable", table)))


def _finding(one: DoubleRead) -> Finding:
    evidence = {"iceberg_table": one.iceberg, "files": one.files, "rows": one.rows, "bytes": one.bytes}
    evidence["partitions"] = one.partitions
    if not one.files:
        message = f"it lies in the folder of {one.iceberg}: files that are replaced there will be read too"
        return Finding(CODE, "warning", message, evidence, None)
    message = (
        f"{one.rows:,} rows of {one.files:,} files are read that {one.iceberg} does not have (replaced, or not "
        "committed): once its snapshots let them go, lakeopt sweep removes what was replaced"
    )
    return Finding(CODE, "critical", message, evidence, None if one.keeps_everything else _command(one))


def _command(one: DoubleRead) -> str:
    named = ("--partition", one.partition) if one.partition and one.partitions <= _NAMED else ()
    return shlex.join(["lakeopt", "expire-snapshots", one.iceberg, *named, "--older-than", "0s", "--retain-last", "1"])
