"""``remove-orphan-files``: what lies below a table's location and nothing reaches goes to a quarantine.

The listing comes first and the metadata after it, so that what was committed meanwhile is seen; what is younger than
the age that was asked for stays, so that what is not committed yet is safe; and the table is asked again before each
part of the moves and after the last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lakeopt.config import STATE_FOLDER, Settings, load_settings
from lakeopt.errors import Interrupted, LakeoptError, Refused, StalePlan
from lakeopt.maintenance import remove_orphan_files as rules
from lakeopt.model.orphans import FailedFile, KeptFile, OrphanFile, OrphanPlan, OrphanResult
from lakeopt.tables.base import Table
from lakeopt.workflows import journal, quarantine
from lakeopt.workflows.marks import marked
from lakeopt.workflows.state import state_location

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeopt.tables.iceberg.deletion.folder import Folder
    from lakeopt.tables.iceberg.deletion.reach import Reach

_REASON = "nothing reaches it"


def remove_orphan_files(
    table: str | Table,
    *,
    older_than: float = rules.DEFAULT_SECONDS,
    no_concurrent_writers: bool = False,
    settings: Settings | None = None,
) -> OrphanResult:
    """Move files below the table's location that nothing reaches to the quarantine (see :func:`find_orphan_files`)."""
    settings = settings or load_settings()
    found = find_orphan_files(
        table, older_than=older_than, no_concurrent_writers=no_concurrent_writers, settings=settings
    )
    return quarantine_orphan_files(found, None if isinstance(table, str) else table, settings=settings)


def find_orphan_files(
    table: str | Table,
    *,
    older_than: float = rules.DEFAULT_SECONDS,
    no_concurrent_writers: bool = False,
    settings: Settings | None = None,
) -> OrphanPlan:
    """Find the files below the table's location that nothing reaches. Moves nothing.

    ``older_than`` is in seconds, by the clock of the store. ``no_concurrent_writers`` promises that nothing else
    writes the table until the orphans are moved, and allows less than a day.

    :raises Refused: it would not be safe: another table has files in, above or at the location, or may have;
        the table's files are not its own (``gc.enabled``), or it cannot be read whole.
    :raises DataFileError: a manifest is missing or damaged.
    :raises StalePlan: the table was replaced meanwhile.
    """
    from lakeopt.tables.iceberg.deletion import neighbours
    from lakeopt.tables.iceberg.deletion.folder import table_folder
    from lakeopt.tables.iceberg.deletion.reach import Reach
    from lakeopt.tables.open import open_table

    settings = settings or load_settings()
    rules.check_age(older_than, no_concurrent_writers=no_concurrent_writers)
    opened = open_table(table, settings) if isinstance(table, str) else table
    _require_own_files(opened)
    state = state_location(opened, settings)
    folder = table_folder(opened)
    reach = Reach(opened, folder)
    neighbours.refuse_neighbours(reach.table.iceberg)
    neighbours.refuse_table_above(folder, opened.warehouse)
    young_after = _store_time(opened, folder, state) - timedelta(seconds=older_than)
    candidates = rules.Candidates(young_after, older_than)
    metadata = _list_into(candidates, folder)
    for paths in reach.advance():
        candidates.reach(paths)
    for elsewhere in reach.elsewhere:
        candidates.refuse(elsewhere)
    reach.require_same_spelling()
    neighbours.refuse_foreign_files(folder, metadata, reach.metadata_paths(), opened.uuid)
    _keep_what_is_ours(candidates, reach.table, folder, settings, state)
    return _plan(reach.table, candidates, older_than, young_after)


def quarantine_orphan_files(
    plan: OrphanPlan, table: Table | None = None, *, settings: Settings | None = None
) -> OrphanResult:
    """Move the orphans of a plan to the quarantine, each only if it is as it was listed and nothing reaches it now.

    A crash at any instant leaves each file in its place or in the quarantine, with a manifest that says where it was.
    ``table`` is the plan's table where it is open already.

    :raises Refused: another table has come to the location.
    :raises StalePlan: the table was replaced since the plan was made.
    """
    from lakeopt.tables.iceberg.deletion import neighbours
    from lakeopt.tables.iceberg.deletion.folder import table_folder
    from lakeopt.tables.iceberg.deletion.reach import Reach
    from lakeopt.tables.open import open_table

    started = time.perf_counter()
    settings = settings or load_settings()
    plan.require_consistent()
    table = open_table(plan.table, settings) if table is None else table.refresh()
    if (table.uuid, table.location) != (plan.table_uuid, plan.location):
        raise StalePlan(f"{plan.table} is another table now, or has another location", hint="look for orphans again")
    _require_own_files(table)
    folder = table_folder(table)
    run = _Run(plan, table, folder, Reach(table, folder), settings)
    if not plan.orphans:
        return run.result(time.perf_counter() - started)
    plan.require_age(_store_time(table, folder, state_location(table, settings)))
    neighbours.refuse_neighbours(run.reach.table.iceberg)
    log = journal.start(table, dataclasses.replace(plan, orphans=(), kept=()), "remove-orphan-files", settings)
    try:
        quarantine.tidy(table, settings)
        run.move_all(log.token)
        result = run.result(time.perf_counter() - started)
        log.write("committed", **journal.result_event(dataclasses.replace(result, kept=())))
    except BaseException as error:
        with contextlib.suppress(LakeoptError):
            log.write(
                "interrupted" if isinstance(error, KeyboardInterrupt | Interrupted) else "failed", error=str(error)
            )
        raise
    return result


@dataclass
class _Run:
    """What one quarantine run holds on to while it works."""

    plan: OrphanPlan
    table: Table
    folder: Folder
    reach: Reach
    settings: Settings
    done: quarantine.Moved = field(default_factory=quarantine.Moved)
    chunks: list[quarantine.Chunk] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)
    restored: int = 0

    def move_all(self, token: str) -> None:
        """Chunk by chunk; before each and after the last the table says what it reaches now."""
        orphans = self.plan.orphans
        self.look_again()
        for number, start in enumerate(range(0, len(orphans), quarantine.CHUNK), start=1):
            if number > 1:
                self.look_again()
            part = orphans[start : start + quarantine.CHUNK]
            self.done.kept += [KeptFile(file.path, rules.REACHABLE) for file in part if file.path in self.reached]
            free = [file for file in part if file.path not in self.reached]
            if free:
                chunk, moved = quarantine.move_in(
                    self.table, self.settings, self.folder, self.plan.plan_id, token, number, free
                )
                self.chunks.append(chunk)
                self.done.add(moved)
        self.look_again()

    def look_again(self) -> None:
        """Load the table; orphans that it has come to reach are kept, or brought back if they are moved already."""
        import pyarrow as pa
        import pyarrow.compute as pc

        planned = pa.array([file.path for file in self.plan.orphans], pa.string())
        news: set[str] = set()
        for paths in self.reach.advance():
            news.update(paths.filter(pc.is_in(paths, planned)).to_pylist())
        self.reached |= news
        if needed := news & set(self.done.paths):
            for chunk in self.chunks:
                back = quarantine.move_back(self.table, chunk, needed)
                self.restored += len(back.paths)
                self.done.bytes -= back.bytes
                self.done.failed += back.failed

    def result(self, elapsed: float) -> OrphanResult:
        """What was moved, and what not."""
        plan, done = self.plan, self.done
        counts = dict(plan.kept_counts)
        for kept in done.kept:
            counts[kept.reason] = counts.get(kept.reason, 0) + 1
        return OrphanResult(
            plan_id=plan.plan_id,
            table=plan.table,
            quarantine=quarantine.quarantine_location(self.table, self.settings, plan.plan_id),
            quarantined_files_count=len(done.paths) - self.restored,
            bytes=done.bytes,
            restored_files_count=self.restored,
            kept_counts=counts,
            kept=(*plan.kept, *done.kept),
            failed=tuple(FailedFile(one.path, one.error) for one in done.failed),
            elapsed_seconds=elapsed,
        )


def _require_own_files(table: Table) -> None:
    from lakeopt.tables.iceberg.deletion.reach import why_files_stay

    if (reason := why_files_stay(table)) is not None:
        hint = "name the table in its catalog; set gc.enabled=true if no other table has its files; encrypted ones stay"
        raise Refused(f"files of {table.identifier} are not removed: {reason}", hint=hint)


def _store_time(table: Table, folder: Folder, state: str) -> datetime:
    """The time by the clock that stamps the table's files: asked for in the state directory, if that is one store."""
    from lakeopt.tables.iceberg.deletion.listing import is_one_store, store_time

    place = table.resolve(f"{state}/clock")
    own = (folder.filesystem, folder.path)
    return store_time(*place) if is_one_store(place, own) else store_time(folder.filesystem, folder.at("metadata"))


def _list_into(candidates: rules.Candidates, folder: Folder) -> pa.ChunkedArray:
    """List the folder into the candidates; the paths of all metadata files, young ones too."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from lakeopt.tables.iceberg.deletion import neighbours
    from lakeopt.tables.iceberg.deletion.listing import list_files

    found, links = [], []
    for batch in list_files(folder.filesystem, folder.path):
        neighbours.refuse_other_formats(folder, batch)
        found.append(batch.filter(pc.match_substring_regex(batch["path"], neighbours.METADATA))["path"])
        links += batch.filter(pc.equal(batch["form"], "link"))["path"].to_pylist()
        candidates.add(batch)
    if links:
        candidates.keep(folder.linked(links), "a symbolic link leads to it")
    return pa.chunked_array([chunk for paths in found for chunk in paths.chunks], pa.string())


def _keep_what_is_ours(
    candidates: rules.Candidates, table: Table, folder: Folder, settings: Settings, state: str
) -> None:
    """Keep what runs of lakeopt still need, what a sweep will look at, and state directories."""
    import pyarrow as pa

    candidates.keep_where(r"(?:^|/)version-hint\.text$", rules.HINT)
    candidates.keep_where(f"(?:^|/){STATE_FOLDER}/", rules.STATE)
    alive = [run.plan_id for run in journal.unfinished(table, settings) if run.status in ("running", "unknown")]
    candidates.keep_of_plans(alive)
    for paths in _marked_paths(table, settings):
        own, _ = folder.inside(pa.array(paths, pa.string()))
        candidates.keep(own, rules.MARKED)


def _marked_paths(table: Table, settings: Settings) -> Iterator[list[str]]:
    for listed in marked(table, settings):
        yield [file.path for file in listed.files]


def _plan(table: Table, candidates: rules.Candidates, older_than: float, young_after: datetime) -> OrphanPlan:
    from lakeopt.tables.iceberg.deletion.reach import iceberg_table

    orphans = candidates.orphans()
    rows = zip(*(orphans[name].to_pylist() for name in ("path", "bytes", "modified")), strict=True)
    files = tuple(
        OrphanFile(path, size, modified.isoformat(timespec="microseconds"), _REASON) for path, size, modified in rows
    )
    return OrphanPlan(
        plan_id=journal.new_plan_id(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        table=table.identifier,
        table_uuid=table.uuid,
        location=table.location,
        metadata_location=iceberg_table(table).iceberg.metadata_location,
        older_than_seconds=older_than,
        younger_than=young_after.isoformat(timespec="microseconds"),
        listed_files_count=candidates.listed_count,
        listed_bytes=candidates.listed_bytes,
        orphan_files_count=len(files),
        orphan_bytes=sum(file.bytes for file in files),
        orphans=files,
        kept_counts=dict(candidates.kept.counts),
        kept=tuple(KeptFile(path, reason) for path, reason in candidates.kept.examples),
    )
