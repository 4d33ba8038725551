"""Commit the groups of a run: all in one snapshot, or each in one of its own as soon as it is proved."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakeopt.config import Settings
from lakeopt.errors import CommitOutcomeUnknown, Interrupted, LakeoptError, NoSpace, Stale, Unreachable, WorkFailed
from lakeopt.model.plan import FileGroup
from lakeopt.model.result import FailedGroup, RewriteResult
from lakeopt.tables.base import Committed, Committer
from lakeopt.tables.shield import shielded
from lakeopt.workflows import journal
from lakeopt.workflows.group_run import GroupRun, planned_files
from lakeopt.workflows.leases import Leases
from lakeopt.workflows.marks import MarkedFile, mark
from lakeopt.workflows.phase_times import timed
from lakeopt.workflows.settle import replaced_marks
from lakeopt.workflows.state import delete_object

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class GroupCommits:
    """The ways to the end of a run; ``spill`` is a folder for what does not fit in memory."""

    run: GroupRun
    committer: Committer
    leases: Leases
    command: str
    settings: Settings
    spill: str
    _stale: list[Stale] = field(default_factory=list)
    _unjournalled: bool = False
    _told: bool = False

    def at_once(self, groups: Sequence[FileGroup]) -> RewriteResult:
        """One snapshot for all groups that no other run is at."""
        mine = [group for group in groups if self._is_ours(group)]
        if not mine:
            return self.run.result()
        log = self._begin()
        try:
            files = self._files(mine)
            for group in mine:
                self._stage(group, files[group.group_id], log)
            with shielded():  # a signal between the commit and its journal entry would discard files that are live
                self._commit(mine, log)
                result = self.run.result()
                self._tell(log, "committed", **journal.result_event(result))
        except BaseException as error:
            self._give_up(log, error)
            raise
        return result

    def in_parts(self, groups: Sequence[FileGroup]) -> RewriteResult:
        """One snapshot for each group; what goes wrong with one does not keep the others."""
        log = self._begin()
        try:
            files = self._files(groups)
            for group in groups:
                if self._is_ours(group):
                    self._one(group, files[group.group_id], log)
            if self._stale and not self.run.done and len(self._stale) == len(self.run.failed):
                raise self._stale[0]
            result = self.run.result()
            self._end(log, result)
        except BaseException as error:
            self._give_up(log, error)
            raise
        return result

    def _begin(self) -> journal.JournalWriter:
        run = self.run
        return journal.start(run.table, run.plan, self.command, self.settings, token=run.token)

    def _files(self, groups: Sequence[FileGroup]) -> dict[int, pa.Table]:
        return planned_files(self.run.table, dataclasses.replace(self.run.plan, groups=tuple(groups)))

    def _is_ours(self, group: FileGroup) -> bool:
        reason = self.leases.take(group)
        if reason is not None:
            self.run.skip(group, reason)
        return reason is None

    def _one(self, group: FileGroup, files: pa.Table, log: journal.JournalWriter) -> None:
        try:
            self._stage(group, files, log)
            with shielded():
                committed = self._commit([group], log)
                said: dict[str, Any] = {"snapshot_id": str(committed.snapshot_id), "group_ids": [group.group_id]}
                self._tell(log, "group-committed", **said, late=list(committed.late))
            self._report_late(group, committed.late)
        except NoSpace:  # there will be none for the next one either
            raise
        except (Stale, WorkFailed) as error:
            self._discard()
            if isinstance(error, Stale):
                self._stale.append(error)
            self.run.failed.append(FailedGroup(group.group_id, group.partition, str(error)))
            log.write("group-failed", group_ids=[group.group_id], error=str(error))

    def _stage(self, group: FileGroup, files: pa.Table, log: journal.JournalWriter) -> None:
        """Stage and prove a group; without leases, the journal says why."""
        if self.leases.unleased is not None and not self._told:
            log.write("unleased", reason=self.leases.unleased)
            self._told = True
        self.run.stage_and_prove(group, files, self.spill, log)

    def _report_late(self, group: FileGroup, late: Sequence[str]) -> None:
        """A group that is done is reported all the same where another writer's files lie in a place that none reads."""
        self.run.failed += [FailedGroup(group.group_id, group.partition, f"replaced, but {what}") for what in late]

    def _commit(self, groups: Sequence[FileGroup], log: journal.JournalWriter) -> Committed:
        """Commit what is staged, and mark what no metadata remembers."""
        run, ids = self.run, [group.group_id for group in groups]
        self.leases.confirm(groups, run.staged)  # before anything is made of the files: they may be gone
        with timed(run.seconds, "commit"):
            committed = self.committer.commit(
                run.table,
                run.plan,
                run.staged,
                on_snapshot_id=lambda number: log.write("committing", snapshot_id=str(number), group_ids=ids),
                before_attempt=lambda: self.leases.confirm(groups, run.staged),
            )
        run.land(committed)
        self._mark_replaced(groups, committed)
        return committed

    def _mark_replaced(self, groups: Sequence[FileGroup], committed: Committed) -> None:
        """Mark what no metadata remembers; without that, a later run has to do it."""
        table, plan_id = self.run.table, self.run.plan.plan_id
        try:
            leavings = self.committer.replaced(table, committed.snapshot_id, groups)
            mark(table, self.settings, plan_id, replaced_marks(leavings, plan_id))
        except LakeoptError as error:
            self._unjournalled = True
            done = f"the rewrite is committed as {committed.snapshot_id}, but the old files are not marked"
            raise Unreachable(f"{done}: {error}", hint=error.hint) from error

    def _tell(self, log: journal.JournalWriter, event: str, **values: Any) -> None:
        """Journal what is committed already; without that, a later run has to find it out."""
        try:
            log.write(event, **values)
        except LakeoptError as error:
            self._unjournalled = True
            snapshot = self.run.commits[-1].snapshot_id
            done = f"the rewrite is committed as snapshot {snapshot}, but not in the journal"
            raise Unreachable(f"{done}: {error}", hint=error.hint) from error

    def _end(self, log: journal.JournalWriter, result: RewriteResult) -> None:
        count = len(self.run.plan.groups)
        if result.failed:
            error = f"{result.groups_failed} of {count} groups failed: {result.failed[0].error}"
            log.write("failed", error=error, **journal.result_event(result))
        else:
            log.write("committed" if result.snapshot_ids else "nothing-to-do", **journal.result_event(result))

    def _give_up(self, log: journal.JournalWriter, error: BaseException) -> None:
        """Remove what was written, unless it is (or may yet turn out to be) committed; say so in the journal.

        Signals wait meanwhile: a second Ctrl-C must not leave half of the files behind. The journal's own failure
        must not take the place of the error that ended the run.
        """
        with shielded(), contextlib.suppress(LakeoptError):
            if self._unjournalled:
                return
            if isinstance(error, CommitOutcomeUnknown):
                log.write("unknown", error=str(error))
                return
            self._discard()
            interrupted = isinstance(error, KeyboardInterrupt | Interrupted)
            reason = str(error) if isinstance(error, LakeoptError) else f"{type(error).__name__}: {error}"
            log.write("interrupted" if interrupted else "failed", error=reason)

    def _discard(self) -> None:
        """Remove staged files; what cannot be deleted keeps neither the rest nor the end, but is marked for a sweep."""
        from lakeopt.tables.committer import upkeep

        run = self.run
        for staged in run.staged.values():
            try:
                run.engine.discard(staged, run.table.resolve)
            except LakeoptError as error:
                reason = f"written by plan {run.plan.plan_id}, which could not delete it: {error}"
                pairs = zip(staged["file_path"].to_pylist(), staged["file_size_in_bytes"].to_pylist(), strict=True)
                with contextlib.suppress(LakeoptError):
                    mark(
                        run.table,
                        self.settings,
                        run.plan.plan_id,
                        [MarkedFile(path, "data", size, reason) for path, size in pairs],
                    )
        begun = [place["folder"] for place in run.begun.values()]
        with contextlib.suppress(LakeoptError):
            for location in run.half_staged():
                delete_object(run.table, location)
        upkeep(run.table).tidy(run.table, begun)
        run.forget()
