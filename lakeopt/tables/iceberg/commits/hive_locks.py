"""Locks of a Hive metastore: who holds one on a table, so that a forgotten one is explained. None is ever broken.

A writer that was killed leaves its lock behind, and every commit then waits for it in vain. Only an operator can know
that the holder is dead, so only an operator removes it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyiceberg.table import Table

from lakeopt.errors import CommitConflict
from lakeopt.tables.iceberg.identifiers import join_identifier

#: A commit holds its lock for a second or so; one that is older, and was not renewed, is worth telling (seconds).
LONG_HELD = 60.0
_ACQUIRED = 1


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held: its number, by whom, and since when (seconds since the epoch, the metastore's clock)."""

    number: int
    holder: str
    since: float
    renewed: float

    @property
    def age(self) -> float:
        """Seconds since it was taken or last renewed; the clocks of two machines may differ."""
        return time.time() - max(self.since, self.renewed)


def held_locks(table: Table) -> list[Lock]:
    """Locks that are held on a table now, the oldest first; none where the catalog is no Hive metastore.

    :raises Exception: what the metastore's client raises where it does not answer.
    """
    catalog: Any = table.catalog
    if type(catalog).__name__ != "HiveCatalog":
        return []
    database, name = catalog.identifier_to_database_and_table(table.name())
    with catalog._client as client:
        return locks_on(client, database, name)


def locks_on(client: Any, database: str, name: str) -> list[Lock]:
    """Locks that a metastore's client sees held on a table, the oldest first."""
    from hive_metastore.ttypes import ShowLocksRequest

    listed = client.show_locks(ShowLocksRequest(dbname=database, tablename=name)).locks or []
    held = [
        Lock(
            number=int(lock.lockid),
            holder=f"{lock.user or 'an unknown user'}@{lock.hostname or 'an unknown host'}",
            since=(lock.acquiredat or 0) / 1000,
            renewed=(lock.lastheartbeat or 0) / 1000,
        )
        for lock in listed
        if lock.state == _ACQUIRED
    ]
    return sorted(held, key=lambda lock: lock.since)


def stale_lock(table: Table) -> CommitConflict | None:
    """The error that names the holder of a lock that no live commit would hold so long, if there is one."""
    return explained(held_locks(table), join_identifier(table.name()))


def explained(locks: Sequence[Lock], name: str) -> CommitConflict | None:
    """The error that names the oldest of these locks on a table, if no live commit would hold it so long."""
    old = [lock for lock in locks if lock.age > LONG_HELD]
    if not old:
        return None
    since = datetime.fromtimestamp(old[0].since, UTC).isoformat(timespec="seconds")
    return CommitConflict(
        f"{name} is locked in the Hive metastore: lock {old[0].number} of {old[0].holder}, held since {since}",
        hint=f"if that writer is dead, have the metastore drop lock {old[0].number}"
        " (Hive: ABORT its transaction, or unlock by its number); lakeopt never breaks a lock",
    )
