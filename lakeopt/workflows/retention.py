"""Drop or archive partitions of a Hive table by a rule of age or value: copy, mark, take out; a sweep deletes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lakeopt.config import Settings, load_settings
from lakeopt.errors import Interrupted, LakeoptError, Refused, Stale, StalePlan, UnknownName, UsageError
from lakeopt.maintenance.retention import ended
from lakeopt.model.orphans import KeptFile
from lakeopt.model.retention import RetentionPlan, RetentionResult, RetiredPartition
from lakeopt.model.serde import from_data, to_data
from lakeopt.tables.base import Table, Undone
from lakeopt.units import parse_duration
from lakeopt.workflows import journal
from lakeopt.workflows.marks import MarkedFile, mark
from lakeopt.workflows.shared_files import require_unshared

if TYPE_CHECKING:
    from lakeopt.tables.hive.table import HiveTable


def retention(
    table: str | Table,
    *,
    older_than: str | None = None,
    column: str | None = None,
    where: str | None = None,
    archive_to: str | None = None,
    settings: Settings | None = None,
) -> RetentionResult:
    """Plan a retention (see :func:`plan_retention`) and carry it out at once."""
    settings = settings or load_settings()
    plan = plan_retention(
        table, older_than=older_than, column=column, where=where, archive_to=archive_to, settings=settings
    )
    return apply_retention(plan, settings=settings)


def plan_retention(
    table: str | Table,
    *,
    older_than: str | None = None,
    column: str | None = None,
    where: str | None = None,
    archive_to: str | None = None,
    settings: Settings | None = None,
) -> RetentionPlan:
    """Decide which partitions of a Hive table go. Nothing is changed.

    ``older_than`` is an age (``90d``), held against the end of the day that ``column`` names (the only partition column
    where none is said); ``where`` is a filter over partition columns. Where both are given both must hold. With
    ``archive_to`` files are copied below that location before.

    :raises UsageError: no rule is given, or one that is none.
    :raises Refused: it is no Hive table, or its partitions cannot be taken out.
    """
    settings = settings or load_settings()
    if older_than is None and where is None:
        raise UsageError("no rule is given", hint="say --older-than AGE or --where EXPR")
    opened = _hive(table, settings)
    from lakeopt.tables.hive import retiring

    retiring.require_removable(opened)
    names = [name for name, _ in opened.partition_columns]
    place = _place(names, column) if older_than is not None else 0
    cutoff = None if older_than is None else datetime.now(UTC) - timedelta(seconds=parse_duration(older_than))
    chosen = (lambda values: True) if where is None else retiring.chosen_by(opened, where)
    gone, kept = _decided(opened, place, cutoff, chosen, where)
    return RetentionPlan(
        plan_id=journal.new_plan_id(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        table=opened.identifier,
        table_uuid=opened.uuid,
        action="drop" if archive_to is None else "archive",
        column=names[place] if older_than is not None else None,
        older_than=None if cutoff is None else cutoff.isoformat(timespec="seconds"),
        where=where,
        archive_to=archive_to,
        partitions=tuple(gone),
        partition_count=len(opened.contents.places),
        bytes=sum(one.bytes for one in gone),
        kept=tuple(kept),
    )


def _decided(
    table: HiveTable,
    place: int,
    cutoff: datetime | None,
    chosen: Callable[[tuple[str | None, ...]], bool],
    where: str | None,
) -> tuple[list[RetiredPartition], list[KeptFile]]:
    """The partitions that go, and those that the rules mean and that stay."""
    from lakeopt.tables.hive.contents import AT_WORK
    from lakeopt.tables.hive.partition_names import partition_name
    from lakeopt.tables.hive.retiring import files_of

    names = [name for name, _ in table.partition_columns]
    gone: list[RetiredPartition] = []
    kept: list[KeptFile] = []
    for one in table.contents.places:
        name = partition_name(names, one.values)
        over = ended(one.values[place]) if cutoff is not None else None
        if not chosen(one.values) or (cutoff is not None and over is not None and over > cutoff):
            continue
        if cutoff is not None and over is None:
            kept.append(KeptFile(name, f"{names[place]} names no day"))
        elif writing := [reason for reason in one.reasons if reason.startswith(AT_WORK)]:
            kept.append(KeptFile(name, writing[0]))
        else:
            reason = where or "" if over is None else f"over since {over:%Y-%m-%d %H:%M}"
            files = files_of(table, one.location)
            size = sum(files.values())
            gone.append(RetiredPartition(name, one.values, one.location, one.listing, len(files), size, reason))
    return gone, kept


def apply_retention(plan: RetentionPlan, *, settings: Settings | None = None) -> RetentionResult:
    """Carry a plan out, partition by partition. One that changed since is left alone and named in ``kept``.

    Files are marked before their partition goes: a run that is killed between the two leaves marks of files that the
    table reaches, which a sweep passes over.

    :raises StalePlan: the table is another one, or every partition has changed.
    :raises WorkFailed: an archive's copy differs; its partition stays.
    """
    settings = settings or load_settings()
    plan.require_consistent()
    opened = _hive(plan.table, settings)
    if opened.uuid != plan.table_uuid:
        raise StalePlan(f"{plan.table} was made anew since the plan", hint="make a new plan")
    run = _Run(plan, opened, settings)
    if not plan.partitions:
        return run.result()
    require_unshared(opened, settings, _locations(opened, plan))
    log = journal.start(opened, plan, "retention", settings)
    try:
        for partition in plan.partitions:
            run.one(partition, log)
        if not run.dropped and run.kept:
            raise StalePlan(f"no partition was taken out: {run.kept[0].reason}", hint=run.hint or "plan again")
        result = run.result()
        log.write("committed", **journal.result_event(result))
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt | Interrupted)
        with contextlib.suppress(LakeoptError):
            log.write("interrupted" if interrupted else "failed", error=str(error) or type(error).__name__)
        raise
    return result


def _locations(table: HiveTable, plan: RetentionPlan) -> Iterator[str]:
    """Where the files of the planned partitions are."""
    from lakeopt.tables.hive.retiring import files_of

    for partition in plan.partitions:
        for name in files_of(table, partition.location):
            yield f"{partition.location.rstrip('/')}/{name}"


@dataclass
class _Run:
    plan: RetentionPlan
    table: HiveTable
    settings: Settings
    started: float = field(default_factory=time.perf_counter)
    dropped: list[str] = field(default_factory=list)
    kept: list[KeptFile] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    hint: str | None = None

    def one(self, partition: RetiredPartition, log: journal.JournalWriter) -> None:
        """Copy, mark and take out one partition; what has changed since the plan stays."""
        from lakeopt.tables.hive import retiring

        if self.plan.archive_to is not None:
            retiring.archive(self.table, partition, self.plan.archive_to)
        left = retiring.left_at(self.table, self.plan.plan_id, partition)
        reason = f"of partition {partition.name}, which plan {self.plan.plan_id} took out"
        held = retiring.files_of(self.table, partition.location)
        marks = [MarkedFile(f"{left}/{name}", "data", size, reason) for name, size in held.items()]
        older = [
            MarkedFile(one.location, "data", one.bytes, f"older, {reason}")
            for one in retiring.older_files(self.table, partition.location)
        ]
        try:
            description = retiring.description_of(self.table, partition)
            log.write("dropping", partition=to_data(partition), description=description)
            mark(self.table, self.settings, self.plan.plan_id, [*marks, *older])
            retiring.take_out(self.table, self.plan.plan_id, partition)
        except Stale as error:
            self.kept.append(KeptFile(partition.name, str(error)))
            self.hint = self.hint or error.hint
            return
        self.dropped.append(partition.name)
        self.files += len(marks)
        self.bytes += partition.bytes

    def result(self) -> RetentionResult:
        """What was done so far."""
        return RetentionResult(
            plan_id=self.plan.plan_id,
            table=self.plan.table,
            action=self.plan.action,
            dropped=tuple(self.dropped),
            marked_files_count=self.files,
            marked_bytes=self.bytes,
            archived_to=self.plan.archive_to,
            kept=(*self.plan.kept, *self.kept),
            elapsed_seconds=time.perf_counter() - self.started,
        )


def undo_retention(table: Table, plan_id: str, runs: Sequence[journal.JournalledRun], *, act: bool) -> Undone:
    """Bring back the partitions that these runs of a plan took out, or only say what that would come to.

    :raises Refused: none can come back.
    """
    from lakeopt.tables.hive import retiring
    from lakeopt.tables.hive.switch.places import hive_table

    hive, kept, files, size = hive_table(table), [], 0, 0
    for event in (event for run in runs for event in run.of("dropping")):
        partition = from_data(RetiredPartition, event["partition"])
        try:
            if next((one for page in hive.source.partitions([partition.values]) for one in page), None) is not None:
                raise StalePlan("it is in the table")
            if act:
                retiring.bring_back(hive, plan_id, partition, event["description"])
        except (Stale, Refused) as error:
            kept.append((partition.name, str(error)))
            continue
        files, size = files + partition.file_count, size + partition.bytes
    if kept and not files:
        raise Refused(f"plan {plan_id} cannot be undone: {kept[0][0]}: {kept[0][1]}")
    return Undone(files_count=files, bytes=size, kept=tuple(kept))


def _hive(table: str | Table, settings: Settings) -> HiveTable:
    from lakeopt.tables.hive.table import HiveTable
    from lakeopt.tables.open import open_table

    opened = open_table(table, settings) if isinstance(table, str) else table
    if not isinstance(opened, HiveTable):
        raise Refused(
            f"{opened.identifier} is no Hive table",
            hint="DELETE FROM in SQL, then lakeopt expire-snapshots, for Iceberg",
        )
    return opened


def _place(names: Sequence[str], column: str | None) -> int:
    if column is None:
        if len(names) > 1:
            raise UsageError(f"which of {', '.join(names)} names the day is not said", hint="say --column NAME")
        return 0
    if column not in names:
        raise UnknownName("partition column", column, names)
    return names.index(column)
