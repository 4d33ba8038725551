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

from lakeopt.errors import CommitOutcomeUnknown, LakeoptError, NoSpace, Refused, StalePlan, Unreachable, first_line
from lakeopt.tables.iceberg.commits.hive_locks import stale_lock
from lakeopt.tables.iceberg.commits.metadata_files import MetadataFiles, delete_old_metadata, storage_error
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
    files: MetadataFiles | None = None,
) -> Outcome:
    """One attempt, behind a shield that lets a second interrupt end the wait for an answer.

    The id of the snapshot is the same in all attempts, so it can be looked for. A commit that adds none says with
    ``landed``, told the table as the catalog has it now, whether what it does has been done. A metadata file that
    the catalog did not take is removed; ``files`` learns of those that are made.

    :raises CommitOutcomeUnknown: the answer was lost and the snapshot is not there: it may still appear.
    :raises NoSpace: there is no room for the metadata file; definite.
    :raises Refused: the catalog or the metadata folder may not be written; definite.
    :raises Unreachable: the catalog does not let us in; definite.
    :raises StalePlan: the table was dropped; definite.
    :raises CommitConflict: another writer has long held the table's lock in the Hive metastore; definite.
    """
    files = MetadataFiles() if files is None else files
    try:
        shield.open = True
        answered = files.recording(table.catalog).commit_table(table, requirements, updates)
        shield.open = False
    except BaseException as error:
        shield.open = False
        answer = _unwritten(files.failed) if files.failed else _settle(table, snapshot_id, error, landed, files)
        if answer is not Outcome.COMMITTED:
            files.discard(table.io)
        if isinstance(answer, BaseException):
            raise answer from (error if answer is not error else None)
        return answer
    delete_old_metadata(table, answered.metadata)
    return Outcome.COMMITTED


def _settle(
    table: Table,
    snapshot_id: int,
    error: BaseException,
    landed: Callable[[Table], bool] | None,
    files: MetadataFiles,
) -> Outcome | LakeoptError:
    definite = _definite(error)
    looked = False
    for wait in LOOKS:
        time.sleep(wait)
        try:
            fresh = _same(table)
            present = files.are_in(fresh.metadata_location, fresh.metadata) or (
                fresh.snapshot_by_id(snapshot_id) is not None if landed is None else landed(fresh)
            )
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
    if definite is Outcome.OVERTAKEN and "lock" in str(error):
        return stale_lock(table) or definite
    return definite


def _unwritten(error: BaseException) -> BaseException:
    """What it means that the metadata file was not written: the catalog was not asked, so that nothing is committed."""
    if isinstance(error, OSError):
        return storage_error(error)
    if isinstance(error, LakeoptError) or not isinstance(error, Exception):
        return error
    return Unreachable(f"the table's metadata cannot be written: {first_line(error)}", hint="does the storage answer?")


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
    if _is_full(error):
        return NoSpace(f"no space left for the catalog: {first_line(error)}", hint="free some space")
    if isinstance(error, BadRequestError | NotImplementedError | PermissionError) or _is_read_only(error):
        return Refused(f"the catalog refuses the commit: {first_line(error)}", hint="is the catalog read-only?")
    return None


def is_busy(error: BaseException) -> bool:
    """SQLite had no time for us: nothing was written, the transaction is rolled back."""
    return "database is locked" in str(error) and type(error).__name__ == "OperationalError"


def _is_read_only(error: BaseException) -> bool:
    return "readonly database" in str(error) and type(error).__name__ == "OperationalError"


def _is_full(error: BaseException) -> bool:
    """SQLite had no room for the transaction, which is rolled back."""
    return "database or disk is full" in str(error) and type(error).__name__ == "OperationalError"
