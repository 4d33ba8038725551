"""Tables that may be committed to: loaded anew, and refused where they cannot be written."""

from __future__ import annotations

import random
import time
from typing import Any

from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.metadata import TableMetadata

from lakeopt.errors import Refused, StalePlan, Unreachable
from lakeopt.tables.base import Table
from lakeopt.tables.iceberg.catalog import answering
from lakeopt.tables.iceberg.commits.commit_outcome import is_busy
from lakeopt.tables.iceberg.commits.hive_locks import stale_lock
from lakeopt.tables.refusals import SPARK_HINT, read_only_hint

#: How long to try (seconds), and how long to wait between attempts: short, since long waits lose every race.
PATIENCE = 60.0
WAIT = (0.01, 0.2)


def pyiceberg_table(table: Table) -> Iceberg:
    """The pyiceberg table of an Iceberg table of ours."""
    found: Any = table
    inner: Iceberg = found.iceberg
    return inner


def writable(table: Table) -> Iceberg:
    """The table as the catalog has it now.

    :raises Refused: it cannot be written.
    :raises CommitConflict: another writer has held its lock in the Hive metastore for longer than a commit takes.
    """
    if table.read_only is not None:
        raise Refused(f"{table.identifier} cannot be written: {table.read_only}", hint=read_only_hint(table))
    fresh = reload(pyiceberg_table(table), time.monotonic() + PATIENCE)
    require_known_format(fresh.metadata)
    with answering(fresh.catalog.name):
        stale = stale_lock(fresh)
    if stale is not None:
        raise stale
    return fresh


def require_known_format(metadata: TableMetadata) -> None:
    """Refuse what a commit of ours would damage: row lineage and deletion vectors of v3, and what comes after it.

    :raises Refused: the table is of a format version above 2.
    """
    if metadata.format_version > 2:
        raise Refused(
            f"tables of format version {metadata.format_version} are not written",
            hint=SPARK_HINT,
        )


def reload(table: Iceberg, deadline: float) -> Iceberg:
    """The same table anew. A busy SQLite is asked again until ``deadline`` (of the monotonic clock).

    :raises StalePlan: the table was dropped.
    :raises Unreachable: the catalog does not answer.
    """
    while True:
        try:
            return table.catalog.load_table(table.name())
        except NoSuchTableError as error:
            raise StalePlan("the table was dropped since the plan", hint="make a new plan") from error
        except Exception as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise Unreachable(f"the catalog does not answer: {error}", hint="try again later") from error
        time.sleep(random.uniform(*WAIT))
