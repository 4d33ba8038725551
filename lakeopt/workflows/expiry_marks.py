"""Mark what expired snapshots alone had, also for expiries that were killed before they could."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from lakeopt.config import Settings
from lakeopt.errors import DataFileError, WorkFailed
from lakeopt.model.expiry import ExpiryPlan
from lakeopt.tables.base import Table
from lakeopt.workflows.journal import JournalledRun, unfinished
from lakeopt.workflows.leases import GRACE, age_of
from lakeopt.workflows.marks import MarkedFile, mark, mark_deferred

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeopt.tables.iceberg.deletion.dead_files import Survey

#: Events after which a run does nothing more, though files of it are still to be marked.
_LEFT = ("unmarked", "unknown")


def mark_dead(
    before: Table,
    after: Table,
    snapshot_ids: Iterable[int],
    plan_id: str,
    settings: Settings,
    surveyed: Survey | None = None,
    partition: str | None = None,
) -> tuple[int, int]:
    """Mark what these snapshots of ``before`` named and ``after`` does not reach; how many files and bytes.

    With ``partition`` (a filter) only data and delete files of these partitions are; the rest is remembered, and
    marked by the next expiry of its partition, or without one.

    ``after`` must be read after the commit that removed them: what writers add meanwhile is seen in it. What was
    ``surveyed`` before that commit is not read again.

    :raises DataFileError: a manifest list or manifest is missing or damaged.
    """
    import pyarrow.compute as pc

    from lakeopt.tables.iceberg.deletion.dead_files import dead_files

    snapshot_ids = list(snapshot_ids)
    dead = dead_files(before, snapshot_ids, after, surveyed)
    if partition is None:
        return mark(after, settings, plan_id, _marks(dead, plan_id)), pc.sum(dead["bytes"]).as_py() or 0
    from lakeopt.tables.iceberg.deletion.partition_files import PartitionFiles, partitions_of

    chosen, places = PartitionFiles(after, partition), partitions_of(before, snapshot_ids)
    files = [replace(file, partition=places.get(file.path, "")) for file in _marks(dead, plan_id)]
    own = [file for file in files if chosen.holds(file.partition)]
    mark(after, settings, plan_id, (file for file in files if not chosen.holds(file.partition)), deferred=True)
    return mark(after, settings, plan_id, own), sum(file.bytes or 0 for file in own)


def mark_remembered(table: Table, settings: Settings, partition: str | None) -> tuple[int, int]:
    """Mark what earlier expiries of other partitions only remembered: of these partitions, or all of it.

    :raises Unreachable: the state directory cannot be read or written.
    """
    if partition is None:
        return mark_deferred(table, settings, lambda file: True)
    from lakeopt.tables.iceberg.deletion.partition_files import PartitionFiles

    chosen = PartitionFiles(table, partition)
    return mark_deferred(table, settings, lambda file: chosen.holds(file.partition))


def _marks(dead: pa.Table, plan_id: str) -> Iterator[MarkedFile]:
    reason = f"named by expired snapshots alone (plan {plan_id})"
    for batch in dead.to_batches(max_chunksize=10_000):
        yield from (MarkedFile(row["file_path"], row["kind"], row["bytes"], reason) for row in batch.to_pylist())


def finish_marks(table: Table, settings: Settings) -> None:
    """Mark what earlier expiries let go and did not mark, because they were killed or never got an answer.

    :raises Unreachable: the journal or the storage cannot be read.
    """
    for run in unfinished(table, settings):
        if (run.started.get("plan") or {}).get("kind") == ExpiryPlan.kind and _is_over(run):
            _finish(table, settings, run)


def _is_over(run: JournalledRun) -> bool:
    return run.last["event"] in _LEFT or run.is_dead or age_of(run.newest) > GRACE


def _finish(table: Table, settings: Settings, run: JournalledRun) -> None:
    count, size, gone = _mark_metadata(table, settings, run), 0, 0
    try:
        for before, snapshot_ids in _attempts(table, run):
            gone += len(snapshot_ids)
            partition = (run.started.get("plan") or {}).get("partition")
            more = mark_dead(before, table, snapshot_ids, run.plan_id, settings, partition=partition)
            count, size = count + more[0], size + more[1]
    except (DataFileError, WorkFailed) as error:
        run.writer(table).write("failed", error=f"what it let go cannot be marked: {error}", settled_later=True)
        return
    if run.last["event"] == "unknown" and gone == 0 and age_of(run.newest) <= GRACE:
        return  # the answer was lost; the commit may still come
    ended = f"it was killed; of its snapshots {gone} had expired, and {count} files ({size} bytes) are marked now"
    run.writer(table).write("interrupted", error=ended, settled_later=True)


def _mark_metadata(table: Table, settings: Settings, run: JournalledRun) -> int:
    """Mark metadata files that the run wrote and the catalog did not take; how many."""
    from lakeopt.tables.iceberg.deletion.dead_files import file_infos
    from lakeopt.tables.iceberg.deletion.past_metadata import known_metadata

    known = known_metadata(table)
    own = [event["metadata_location"] for event in run.of("writing") if event["metadata_location"] not in known]
    found = [(path, info.size) for path, info in file_infos(table, own) if info.is_file]
    reason = f"written by plan {run.plan_id}, and not committed"
    return mark(table, settings, run.plan_id, [MarkedFile(path, "metadata", size, reason) for path, size in found])


def _attempts(table: Table, run: JournalledRun) -> Iterator[tuple[Table, list[int]]]:
    """The table before each attempt, and those snapshots of the attempt that are gone now."""
    from lakeopt.tables.iceberg.commits.expiry_commit import Expiry, require_refs
    from lakeopt.tables.iceberg.deletion.past_metadata import table_at
    from lakeopt.tables.iceberg.deletion.retention_facts import snapshot_facts

    present = {one.snapshot_id for one in snapshot_facts(table)}
    seen: set[int] = set()
    for event in reversed(run.of("expiring")):
        planned = [int(one) for one in event["expiring"]]
        gone = [one for one in planned if one not in present and one not in seen]
        if gone:
            before = table_at(table, event["metadata_location"])
            require_refs(before, table, Expiry(tuple(planned), tuple(event["refs"])))
            seen.update(gone)
            yield before, gone
