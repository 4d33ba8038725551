"""Send a commit to the catalog and find out what became of it, whatever the answer was."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum

from pyiceberg.exceptions import (
    AuthorizationExpiredError,
    BadRequestError,
    CommitFailedException,
    ForbiddenError,
    NoSuchTableError,
    TooManyRequestsError,
    UnauthorizedError,
    WaitingForLockException,
)
from pyiceberg.table import Table
from pyiceberg.table.update import TableRequirement, TableUpdate

from lakeopt.errors import CommitOutcomeUnknown, LakeoptError, Refused, StalePlan, Unreachable, first_line
from lakeopt.tables.iceberg.commits.hive_locks import stale_lock
from lakeopt.tables.shield import Shield

#: Waits between looks for our snapshot after an answer was lost (seconds); some catalogs answer late.
LOOKS = (0.0, 0.2, 0.5, 1.0, 2.0, 3.0)


class Outcome(Enum):
    """What became of one attempt."""

    COMMITTED = "committed"
    OVERTAKEN = "overtaken"  # definitely not committed; another attempt may succeed


def send(
    table: Table,
    snapshot_id: int,
    requirements: tuple[TableRequirement, ...],
    updates: tuple[TableUpdate, ...],
    shield: Shield,
    landed: Callable[[Table], bool] | None = None,
) -> Outcome:
    """One attempt, behind a shield that lets a second interrupt end the wait for an answer.

    The id of the snapshot is the same in all attempts, so it can be looked for. A commit that adds none says with
    ``landed``, told the table as the catalog has it now, whether what it does has been done.

    :raises CommitOutcomeUnknown: the answer was lost and the snapshot is not there: it may still appear.
    :raises Refused: the catalog may not be written; definite.
    :raises Unreachable: the catalog does not let us in; definite.
    :raises StalePlan: the table was dropped; definite.
    :raises CommitConflict: another writer has long held the table's lock in the Hive metastore; definite.
    """
    try:
        shield.open = True
        table.catalog.commit_table(table, requirements, updates)
        shield.open = False
    except BaseException as error:
        shield.open = False
        return _settle(table, snapshot_id, error, landed)
    return Outcome.COMMITTED


def _settle(table: Table, snapshot_id: int, error: BaseException, landed: Callable[[Table], bool] | None) -> Outcome:
    definite = _definite(error)
    looked = False
    for wait in LOOKS:
        time.sleep(wait)
        try:
            present = is_there(table, snapshot_id) if landed is None else landed(_same(table))
        except NoSuchTableError:
            present = False
        except Exception:  # the catalog is away: look again; never take that for an answer
            continue
        if present:
            return Outcome.COMMITTED
        looked = True
        if definite is not None:
            break
    if definite is None or not looked:
        raise CommitOutcomeUnknown(
            f"the answer to the commit of snapshot {snapshot_id} was lost: {first_line(error)}",
            hint="the written files are kept; the next lakeopt run on the table tells whether it was committed",
        ) from error
    if isinstance(definite, LakeoptError):
        raise definite from error
    if "lock" in str(error) and (stale := stale_lock(table)) is not None:
        raise stale from error
    return definite


def _same(table: Table) -> Table:
    """The table as the catalog has it now.

    :raises NoSuchTableError: there is none of that name, or another one.
    """
    fresh = table.catalog.load_table(table.name())
    if fresh.metadata.table_uuid != table.metadata.table_uuid:
        raise NoSuchTableError(f"made anew: {table.name()}")
    return fresh


def is_there(table: Table, snapshot_id: int) -> bool:
    """Whether the catalog's table has that snapshot now."""
    fresh = table.catalog.load_table(table.name())
    return bool(fresh.metadata.table_uuid == table.metadata.table_uuid and fresh.snapshot_by_id(snapshot_id))


def _definite(error: BaseException) -> Outcome | LakeoptError | None:
    """What an error says for certain, given that a look does not find the snapshot; None: nothing."""
    if isinstance(error, CommitFailedException | TooManyRequestsError | WaitingForLockException) or is_busy(error):
        return Outcome.OVERTAKEN
    if isinstance(error, NoSuchTableError):
        return StalePlan("the table was dropped since the plan", hint="make a new plan")
    if isinstance(error, UnauthorizedError | ForbiddenError | AuthorizationExpiredError):
        return Unreachable(
            f"the catalog does not let this user commit: {first_line(error)}", hint="check the credentials"
        )
    if isinstance(error, BadRequestError | NotImplementedError | PermissionError) or _is_read_only(error):
        return Refused(f"the catalog refuses the commit: {first_line(error)}", hint="is the catalog read-only?")
    return None


def is_busy(error: BaseException) -> bool:
    """SQLite had no time for us: nothing was written, the transaction is rolled back."""
    return "database is locked" in str(error) and type(error).__name__ == "OperationalError"


def _is_read_only(error: BaseException) -> bool:
    return "readonly database" in str(error) and type(error).__name__ == "OperationalError"
