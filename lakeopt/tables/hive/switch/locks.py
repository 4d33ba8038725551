"""An exclusive lock of the metastore on one partition, or on a whole table, for as long as a switch takes."""

from __future__ import annotations

import getpass
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lakeopt.errors import CommitConflict, Notice, Refused, StalePlan, first_line
from lakeopt.tables.hive.partition_names import partition_name
from lakeopt.tables.iceberg.commits.hive_locks import explained, locks_on
from lakeopt.tables.shield import Shield

if TYPE_CHECKING:
    from lakeopt.tables.hive.metastore import MetastoreSource

#: How long a lock is waited for, and the longest wait between two looks (seconds).
PATIENCE = 30.0
_LONGEST = 2.0
#: Waits before each try to give a lock back (seconds): a metastore may be restarting.
RETURNS = (0.0, 0.5, 2.0, 5.0)
_ACQUIRED, _WAITING = 1, 2
_PARTITION, _TABLE, _EXCLUSIVE = 3, 2, 3


@contextmanager
def locked(source: MetastoreSource, values: tuple[str | None, ...], shield: Shield) -> Iterator[int]:
    """Hold the lock of the partition with these values inside, of the whole table where it has none; its number.

    Hive's own writers respect it; Spark takes none. An interrupt ends the wait.

    :raises CommitConflict: another writer has it; one that seems forgotten is named.
    :raises StalePlan: the table is gone.
    :raises Refused: the metastore keeps no locks.
    :raises Unreachable: it does not answer.
    """
    number, state = _request(source, values)
    try:
        if state != _ACQUIRED:
            _wait(source, number, shield)
        yield number
    finally:
        _unlock(source, number)


def is_held(source: MetastoreSource, number: int) -> bool:
    """Renew a lock; whether it is there still: the metastore drops those that are forgotten, and so may an operator.

    :raises Unreachable: it does not answer.
    """
    from hive_metastore.ttypes import HeartbeatRequest, NoSuchLockException

    try:
        with source.connected() as client:
            client.heartbeat(HeartbeatRequest(lockid=number))
    except NoSuchLockException:
        return False
    return True


def _request(source: MetastoreSource, values: tuple[str | None, ...]) -> tuple[int, int]:
    """Number of a lock that was asked for, and its state."""
    from hive_metastore.ttypes import LockComponent, LockRequest, MetaException, NoSuchObjectException
    from thrift.Thrift import TApplicationException

    try:
        with source.connected() as client:
            # Locks meet where names are equal, letter by letter: Spark's schema may spell columns otherwise.
            columns = [one.name for one in client.get_table(*source.name).partitionKeys or ()]
            component = LockComponent(
                type=_EXCLUSIVE,
                level=_PARTITION if columns else _TABLE,
                dbname=source.database,
                tablename=source.table,
                partitionname=partition_name(columns, values) if columns else None,
                isTransactional=True,
            )
            request = LockRequest(component=[component], user=getpass.getuser(), hostname=socket.gethostname())
            try:
                made = client.lock(request)
                return made.lockid, made.state
            except (MetaException, TApplicationException) as error:
                raise Refused(
                    f"the metastore locks nothing: {getattr(error, 'message', None) or first_line(error)}",
                    hint="its database needs the tables of transactions and locks",
                ) from error
    except NoSuchObjectException as error:
        raise StalePlan("the table was dropped since the plan", hint="make a new plan") from error


def _wait(source: MetastoreSource, number: int, shield: Shield) -> None:
    from hive_metastore.ttypes import CheckLockRequest, NoSuchLockException

    deadline, pause = time.monotonic() + PATIENCE, 0.05
    while True:
        try:
            with source.connected() as client:
                state = client.check_lock(CheckLockRequest(lockid=number)).state
        except NoSuchLockException:
            state = None
        if state == _ACQUIRED:
            return
        if state != _WAITING or time.monotonic() > deadline:
            raise _held_by_others(source, number)
        if shield.came:
            raise KeyboardInterrupt
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST)


def _held_by_others(source: MetastoreSource, number: int) -> CommitConflict:
    name = f"{source.database}.{source.table}"
    with source.connected() as client:
        others = [lock for lock in locks_on(client, source.database, source.table) if lock.number != number]
    stale = explained(others, name)
    holders = ", ".join(f"lock {lock.number} of {lock.holder}" for lock in others) or "another writer"
    return stale or CommitConflict(
        f"{name} was locked in the Hive metastore for {PATIENCE:.0f} seconds: {holders}", hint="run it again later"
    )


def _unlock(source: MetastoreSource, number: int) -> None:
    """Give it back. A metastore that is away, or fails, keeps it until it finds that nobody renews it.

    No error is raised: what was done under the lock is done, and an error would look as if it were not.
    """
    from hive_metastore.ttypes import NoSuchLockException, UnlockRequest

    error: Any = None
    for pause in RETURNS:
        time.sleep(pause)
        try:
            with source.connected() as client:
                client.unlock(UnlockRequest(lockid=number))
            return
        except NoSuchLockException:
            return
        except Exception as failed:
            error = failed
    told = f"lock {number} on {source.database}.{source.table} could not be given back: {error}"
    warnings.warn(
        Notice(told, hint="the metastore drops a lock that nobody renews; or unlock it by its number"), stacklevel=2
    )
