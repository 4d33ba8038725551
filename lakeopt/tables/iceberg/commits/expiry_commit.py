"""Commit an expiry so that no ref can be lost: pyiceberg's own asserts nothing, and drops refs that moved meanwhile.

The commit asserts the table's UUID and where every ref stands. Catalogs whose client applies the updates also assert
that no ref appeared and that all snapshots are still there; a REST server accepts no such requirement, so the
metadata on both sides of the commit are compared afterwards, before anything is marked. A tag that was made in that
very moment cannot be set again: a server drops a ref only with its snapshot, and takes no snapshot with an older
sequence number back. It is named, and all its files stay.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import (
    AssertRefSnapshotId,
    AssertTableUUID,
    RemovePartitionStatisticsUpdate,
    RemoveSnapshotRefUpdate,
    RemoveSnapshotsUpdate,
    RemoveStatisticsUpdate,
    TableRequirement,
    TableUpdate,
    ValidatableTableRequirement,
)

from lakeopt.errors import CommitConflict, CommitOutcomeUnknown, WorkFailed
from lakeopt.tables.base import Table
from lakeopt.tables.iceberg.commits.commit_outcome import Outcome, send
from lakeopt.tables.iceberg.commits.metadata_files import MetadataFiles
from lakeopt.tables.iceberg.commits.writable import PATIENCE, WAIT, pyiceberg_table, reload
from lakeopt.tables.iceberg.deletion.past_metadata import read_metadata
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.tables.shield import shielded

MAIN = "main"


class AssertNothingMoved(ValidatableTableRequirement):
    """Refs and their snapshots are exactly these, and what expires is all there; for clients that apply updates."""

    type: Literal["assert-lakeopt-nothing-moved"] = "assert-lakeopt-nothing-moved"
    refs: dict[str, int]
    snapshot_ids: frozenset[int]
    statistics: frozenset[int]
    partition_statistics: frozenset[int]

    def validate(self, base_metadata: TableMetadata | None) -> None:  # type: ignore[override]
        """Refuse the commit where anything moved.

        :raises CommitFailedException: a ref moved, went or appeared, or a snapshot is gone.
        """
        if base_metadata is None or refs_of(base_metadata) != self.refs:
            raise CommitFailedException("Requirement failed: a branch or tag moved, went or appeared")
        if not self.snapshot_ids <= {one.snapshot_id for one in base_metadata.snapshots}:
            raise CommitFailedException("Requirement failed: a snapshot has expired already")
        found = _statistics(base_metadata, self.snapshot_ids)
        if found != (self.statistics, self.partition_statistics):
            raise CommitFailedException("Requirement failed: statistics came or went")


@dataclass(frozen=True, slots=True)
class Expiry:
    """What is to go from a table as it stands now."""

    snapshot_ids: tuple[int, ...]
    ref_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expired:
    """What went, and the table before the commit and after it."""

    expiry: Expiry
    before: Table
    after: Table


def commit_expiry(
    table: Table,
    choose: Callable[[Table], Expiry],
    *,
    on_attempt: Callable[[Table, Expiry], None],
    on_metadata: Callable[[str], None],
) -> Expired | None:
    """Commit what ``choose`` takes from the table as it is at each attempt; None where it takes nothing.

    ``on_attempt`` is told of every attempt before it is made, and ``on_metadata`` of every metadata file before it is
    written, so that they can be journalled.

    :raises CommitConflict: other writers were quicker in every attempt; nothing is committed.
    :raises CommitOutcomeUnknown: it may have been committed.
    :raises WorkFailed: it was committed, and a ref is gone that was to stay: nothing may be marked.
    """
    deadline = time.monotonic() + PATIENCE
    attempts = 0
    while True:
        attempts += 1
        fresh = IcebergTable(reload(pyiceberg_table(table), deadline))
        expiry = choose(fresh)
        if not (expiry.snapshot_ids or expiry.ref_names):
            return None
        on_attempt(fresh, expiry)
        if (location := _try(fresh.iceberg, expiry, on_metadata)) is not None:
            after = IcebergTable(reload(fresh.iceberg, time.monotonic() + PATIENCE))
            require_refs(fresh, after, expiry, location)
            return Expired(expiry, fresh, after)
        if time.monotonic() > deadline:
            break
        time.sleep(random.uniform(*WAIT))
    raise CommitConflict(
        f"other writers were quicker in all of {attempts} attempts over {PATIENCE:.0f} seconds",
        hint="run it again when fewer writers commit to the table",
    )


def _try(table: Iceberg, expiry: Expiry, on_metadata: Callable[[str], None]) -> str | None:
    """One attempt: the metadata file that it made (empty where only the server knows), None if it was overtaken."""
    requirements, updates = _changes(table, expiry)
    files = MetadataFiles(on_metadata)
    with shielded() as shield:
        shield.later = True
        landed = partial(_has_landed, expiry=expiry)
        try:
            outcome = send(table, table.metadata.current_snapshot_id or 0, requirements, updates, shield, landed, files)
        except CommitOutcomeUnknown as error:
            raise CommitOutcomeUnknown(
                f"the answer to the expiry of {len(expiry.snapshot_ids)} snapshots was lost: it may have been done",
                hint="no file is deleted; the next expiry marks what this one let go",
            ) from error
        if outcome is Outcome.COMMITTED:
            return files.written[-1] if files.written else ""
        shield.later = False
    return None


def _has_landed(table: Iceberg, *, expiry: Expiry) -> bool:
    """Whether this commit was done, by what it did; where the client makes the metadata file, that file tells."""
    return isinstance(table.catalog, RestCatalog) and _is_done(table.metadata, expiry)


def _is_done(metadata: TableMetadata, expiry: Expiry) -> bool:
    present = {one.snapshot_id for one in metadata.snapshots}
    return present.isdisjoint(expiry.snapshot_ids) and not (set(expiry.ref_names) & metadata.refs.keys())


def refs_of(metadata: TableMetadata) -> dict[str, int]:
    """Where each branch and tag stands."""
    return {name: ref.snapshot_id for name, ref in metadata.refs.items()}


def _statistics(metadata: TableMetadata, gone: frozenset[int]) -> tuple[frozenset[int], frozenset[int]]:
    """Which of these snapshots have statistics, and which partition statistics."""
    return (
        frozenset(one.snapshot_id for one in metadata.statistics) & gone,
        frozenset(one.snapshot_id for one in metadata.partition_statistics) & gone,
    )


def _changes(table: Iceberg, expiry: Expiry) -> tuple[tuple[TableRequirement, ...], tuple[TableUpdate, ...]]:
    metadata = table.metadata
    refs = refs_of(metadata)
    gone = frozenset(expiry.snapshot_ids)
    stated, by_partition = _statistics(metadata, gone)
    requirements: list[Any] = [AssertTableUUID(uuid=metadata.table_uuid)]
    standing: dict[str, int | None] = {MAIN: None, **refs}
    requirements += [AssertRefSnapshotId(ref=name, snapshot_id=at) for name, at in standing.items()]  # type: ignore[call-arg]
    if not isinstance(table.catalog, RestCatalog):
        requirements.append(
            AssertNothingMoved(refs=refs, snapshot_ids=gone, statistics=stated, partition_statistics=by_partition)
        )
    # Statistics before their snapshots: pyiceberg removes those with the snapshots, but not those of partitions.
    updates: list[Any] = [RemoveSnapshotRefUpdate(ref_name=name) for name in expiry.ref_names]  # type: ignore[call-arg]
    updates += [RemoveStatisticsUpdate(snapshot_id=one) for one in sorted(stated)]  # type: ignore[call-arg]
    updates += [RemovePartitionStatisticsUpdate(snapshot_id=one) for one in sorted(by_partition)]  # type: ignore[call-arg]
    if expiry.snapshot_ids:
        updates.append(RemoveSnapshotsUpdate(snapshot_ids=list(expiry.snapshot_ids)))  # type: ignore[call-arg]
    return tuple(requirements), tuple(updates)


def require_refs(before: Table, after: Table, expiry: Expiry, location: str = "") -> None:
    """Check, on both sides of the commit, that only the planned refs went, and that what others name is there.

    ``location`` is the metadata file that the commit made, empty where that is not known.

    :raises WorkFailed: a ref is gone, or leads to a snapshot that is.
    :raises DataFileError: the metadata file before the commit cannot be read.
    """
    planned_on = pyiceberg_table(before)
    last, first = _around(planned_on, pyiceberg_table(after), expiry, location)
    lost = [
        name
        for name, at in refs_of(last).items()
        if name not in expiry.ref_names and (refs_of(first).get(name) != at or first.snapshot_by_id(at) is None)
    ]
    if lost:
        raise WorkFailed(
            f"the expiry met refs that were made or moved in the same moment, and they are lost: {', '.join(lost)}; "
            "nothing is marked, so every file of theirs is still there",
            hint=f"the metadata before the expiry is one of those after {planned_on.metadata_location}",
        )


def _around(before: Iceberg, after: Iceberg, expiry: Expiry, location: str) -> tuple[TableMetadata, TableMetadata]:
    """The metadata that our commit was applied to, and what it made of it.

    Other commits may have come between the table that was planned on and ours, and after ours.
    """
    known: Mapping[str, TableMetadata] = {
        before.metadata_location: before.metadata,
        after.metadata_location: after.metadata,
    }
    logged = [*(entry.metadata_file for entry in after.metadata.metadata_log), after.metadata_location]
    start = logged.index(before.metadata_location) if before.metadata_location in logged else None
    if start is None:  # the log is short and many commits came after ours: compare what there is
        return before.metadata, after.metadata
    previous = before.metadata
    for file in logged[start + 1 :]:
        current = known[file] if file in known else read_metadata(after, file)
        if file == location or (not location and _is_done(current, expiry)):
            return previous, current
        previous = current
    return before.metadata, after.metadata
