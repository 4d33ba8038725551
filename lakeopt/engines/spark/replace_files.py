"""Commit staged files through Iceberg's own rewrite operation in Java, which writes what pyiceberg cannot: v3."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from lakeopt.engines.spark.java_table import each, java_errors
from lakeopt.engines.spark.session import java_classes, reason
from lakeopt.engines.spark.staged_files import forget, new_file, scan_task, staged_table
from lakeopt.errors import CommitConflict, CommitOutcomeUnknown, LakeoptError, Refused, StalePlan

#: What Iceberg raises where nothing is committed for certain, by the end of its name.
_DEFINITE = ("ValidationException", "CommitFailedException")
_REFUSED = ("UnsupportedOperationException", "ForbiddenException", "NotAuthorizedException", "AccessControlException")


def replace_files(
    old: Collection[str],
    new: Collection[str],
    *,
    base_snapshot_id: int,
    branch: str,
    schema_id: int,
    summary: Mapping[str, str],
    properties: Mapping[str, str],
    on_snapshot_id: Callable[[int], None],
    before_attempt: Callable[[], None],
) -> tuple[int, int]:
    """One ``replace`` snapshot that puts staged files in the place of others; its id, and the delete files that go.

    The new files keep the sequence number of the base, so that later equality deletes apply to them; Iceberg
    validates that no other delete came since the base, at every attempt. ``properties`` are set in the same commit.

    :raises CommitConflict: definite: nothing is committed.
    :raises StalePlan: definite: the table's schema is another one.
    :raises Refused: definite: the catalog does not let Spark commit.
    :raises CommitOutcomeUnknown: it may have been committed.
    """
    java = staged_table(old)
    with java_errors("the table cannot be loaded in Spark for the commit"):
        java.table.refresh()
        if java.table.schema().schemaId() != schema_id:
            raise StalePlan("the table's schema changed since the plan", hint="make a new plan")
        base = java.table.snapshot(base_snapshot_id)
        if base is None:
            raise StalePlan(f"the snapshot {base_snapshot_id} that the plan was made on has expired", hint="plan again")
        transaction = java.table.newTransaction()
        rewrite = transaction.newRewrite().validateFromSnapshot(base_snapshot_id)
        rewrite.dataSequenceNumber(base.sequenceNumber())
        vectors = _taken_out(rewrite, old)
        for path in new:
            rewrite.addFile(new_file(path))
        for name, value in summary.items():
            rewrite.set(name, value)
        rewrite.toBranch(branch)
    snapshot_id = _prepared(transaction, rewrite, properties, on_snapshot_id)
    before_attempt()
    _send(transaction, snapshot_id)
    forget(new, old)
    return snapshot_id, vectors


def _taken_out(rewrite: Any, old: Collection[str]) -> int:
    """Take out the old files, and the deletion vectors that are of one of them each; the number of these."""
    gone: set[tuple[str, int]] = set()
    for path in old:
        task = scan_task(path)
        rewrite.deleteFile(task.file())
        for delete in each(task.deletes()):
            if delete.format().toString() == "PUFFIN" and delete.referencedDataFile() == path:
                key = (delete.location(), delete.contentOffset())
                if key not in gone:
                    rewrite.deleteFile(delete)
                    gone.add(key)
    return len(gone)


def _prepared(
    transaction: Any, rewrite: Any, properties: Mapping[str, str], on_snapshot_id: Callable[[int], None]
) -> int:
    """Validate and write the manifests; the snapshot's id, which stays the same over all attempts."""
    from py4j.protocol import Py4JError

    try:
        snapshot_id = int(rewrite.apply().snapshotId())
        on_snapshot_id(snapshot_id)
        rewrite.commit()
        if properties:
            update = transaction.updateProperties()
            for name, value in properties.items():
                update.set(name, value)
            update.commit()
    except Py4JError as error:  # of the transaction alone: the catalog has not been asked
        raise _definite(error) or CommitConflict(
            f"the commit cannot be prepared: {reason(error)}", hint="the table is as it was; see Spark's log"
        ) from error
    return snapshot_id


def _send(transaction: Any, snapshot_id: int) -> None:
    try:
        transaction.commitTransaction()
    except Exception as error:
        raise _definite(error) or CommitOutcomeUnknown(
            f"the answer to the commit of snapshot {snapshot_id} was lost: {reason(error)}",
            hint="the written files are kept; the next lakeopt run on the table tells whether it was committed",
        ) from error


def _definite(error: BaseException) -> LakeoptError | None:
    """What an error of Java says for certain; None: nothing."""
    names = java_classes(error)
    if any(name.endswith("CommitStateUnknownException") for name in names):
        return None
    if any(name.endswith(_DEFINITE) for name in names):
        return CommitConflict(f"a concurrent change is in the way: {reason(error)}", hint="make a new plan")
    if any(name.endswith(_REFUSED) for name in names):
        return Refused(f"the catalog refuses the commit: {reason(error)}", hint="may Spark write to the catalog?")
    return None
