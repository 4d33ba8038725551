"""The committer of Hive tables: each partition's files are replaced by letting it lie in another folder.

Nothing is renamed in place: the new folder is whole and proved before the switch, the old one stays as it is after it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lakeopt.errors import (
    CommitConflict,
    CommitOutcomeUnknown,
    LakeoptError,
    Refused,
    StalePlan,
    UsageError,
    first_line,
)
from lakeopt.model.plan import FileGroup, PartitionSwitch, RewritePlan
from lakeopt.tables.base import Committed, Leaving, Table
from lakeopt.tables.hive import layout_memory
from lakeopt.tables.hive.listing import description_digest, is_staging, list_folder
from lakeopt.tables.hive.metastore import MetastoreSource
from lakeopt.tables.hive.neighbours import ALONE, shared_with
from lakeopt.tables.hive.source import Partition
from lakeopt.tables.hive.switch.access import take_over
from lakeopt.tables.hive.switch.durable import make_durable
from lakeopt.tables.hive.switch.folders import Look, late, leavings, lies_hidden, look
from lakeopt.tables.hive.switch.metastore_switch import Change
from lakeopt.tables.hive.switch.places import Mover, hive_table, mover, partition_of, reached
from lakeopt.tables.hive.switch.record import NAME, Switch, delete_record, read_record, write_record
from lakeopt.tables.hive.switch.statistics import switched_parameters

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeopt.tables.hive.table import HiveTable

#: Folders that are looked at at a time.
_AT_ONCE = 16
#: Partitions that a metastore is asked for at a time.
_PAGE = 1000
#: Earlier switches that a record holds in any case.
_REMEMBERED = 16
_AGAIN = "make a new plan"


class HiveSwitch:
    """The committer named ``hive-switch``: one partition a commit, whose id stands in the partition's parameters."""

    name = "hive-switch"

    def check(self, table: Table, plan: RewritePlan) -> None:
        """Raise :class:`StalePlan` if a partition of the plan, or a file of one, is not as it was.

        :raises Refused: the table cannot be written, or its folders cannot be exchanged.
        :raises UsageError: the plan contradicts itself.
        """
        plan.require_consistent()
        hive = hive_table(table)
        if hive.read_only is not None:
            raise Refused(f"{hive.identifier} cannot be written: {hive.read_only}")
        if hive.source.describe().uuid != plan.table_uuid:
            raise StalePlan(f"{plan.table} was made anew since the plan", hint=_AGAIN)
        if (reason := shared_with(hive)) is not None:
            raise Refused(f"{hive.identifier} is not rewritten: {reason}", hint=ALONE)
        if (reason := self._why_not(hive)) is not None:
            raise Refused(
                f"{hive.identifier} is not switched: {reason}",
                hint="--in-new-location prepares the copy, for you to put in place",
            )
        if len(plan.groups) > 1 and not plan.partial_progress:
            raise UsageError("partitions are switched one by one: the plan must say partial_progress")
        _require_quiet_root(hive)
        wanted = [_switch_of(group) for group in plan.groups]
        for start in range(0, len(wanted), _PAGE):
            page = wanted[start : start + _PAGE]
            found = _partitions(hive, page)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                looks = pool.map(lambda switch: look(hive, switch.location), page)
                for switch, partition, seen in zip(page, found, looks, strict=True):
                    if (reason := _why_changed(switch, partition, seen)) is not None:
                        raise StalePlan(reason, hint=_AGAIN)

    def commit(
        self,
        table: Table,
        plan: RewritePlan,
        staged: Mapping[int, pa.Table],
        *,
        on_snapshot_id: Callable[[int], None],
        before_attempt: Callable[[], None] = lambda: None,
    ) -> Committed:
        """Switch one partition to the folder of its staged files; the id of the switch is that of the commit.

        :raises CommitConflict: the partition or its files changed; it is as it was.
        :raises CommitOutcomeUnknown: the metastore's answer was lost.
        :raises UsageError: there is not exactly one group.
        """
        plan.require_consistent()
        if len(staged) != 1:
            raise UsageError("partitions are switched one by one")
        hive = hive_table(table)
        [(group_id, files)] = staged.items()
        planned = _switch_of(next(group for group in plan.groups if group.group_id == group_id))
        folder, number = _folder(files), secrets.randbits(62) + 1
        on_snapshot_id(number)
        done = _Switching(hive, plan.plan_id, planned, folder, number, mover(hive)).run(files, before_attempt)
        with suppress(Exception):  # it is switched: this must not look as if it were not
            layout_memory.remember(hive, plan, staged)
        return done

    def find(self, table: Table, snapshot_id: int, groups: Sequence[FileGroup] = ()) -> bool:
        """Whether the switch of that id is among those that led to where one of these groups' partitions lies now."""
        hive = hive_table(table)
        return any(_led_here(hive, _switch_of(group), snapshot_id) is not None for group in groups)

    def may_land_later(self, table: Table) -> bool:
        """By a metastore only: folders are exchanged by the process itself."""
        return isinstance(hive_table(table).source, MetastoreSource)

    def replaced(self, table: Table, snapshot_id: int, groups: Sequence[FileGroup]) -> list[Leaving]:
        """What lies in the folder that the switch left, as far as it was there before it."""
        hive = hive_table(table)
        found: list[Leaving] = []
        for group in groups:
            switch = _led_here(hive, _switch_of(group), snapshot_id)
            if switch is not None:
                found += leavings(look(hive, switch.replaced), switch.old)
        return found

    def leavings(self, table: Table, snapshot_id: int, folders: Collection[str] = ()) -> list[Leaving]:
        """Records in the folders that were not switched to."""
        looks = [look(table, folder) for folder in folders if lies_hidden(folder)]
        return [
            Leaving(f"{seen.location.rstrip('/')}/{name}", "data", size)
            for seen in looks
            for name, (size, _) in seen.files.items()
            if name.startswith(NAME)
        ]

    def unreached(self, table: Table, locations: Collection[str]) -> set[str]:
        """Those whose folder is no partition's, and the table's neither."""
        return set(locations) - reached(hive_table(table), locations)

    def _why_not(self, hive: HiveTable) -> str | None:
        """Why nothing can be switched here; None if it can."""
        return mover(hive).why_not()


class _Switching:
    """One commit: the record first, then the switch, then a look back."""

    def __init__(
        self, hive: HiveTable, plan_id: str, planned: PartitionSwitch, folder: str, number: int, means: Mover
    ) -> None:
        self.hive, self.plan_id, self.planned = hive, plan_id, planned
        self.folder, self.number, self.means = folder, number, means

    def run(self, files: pa.Table, before_attempt: Callable[[], None]) -> Committed:
        partition = partition_of(self.hive, self.planned.values, self.planned.location)
        if partition is None or description_digest(partition) != self.planned.description:
            raise CommitConflict(_other_description(self.planned, partition), hint=_AGAIN)
        sizes, rows = files["file_size_in_bytes"].to_pylist(), files["record_count"].to_pylist()
        changed = switched_parameters(
            partition.parameters, self.number, files=len(sizes), size=sum(sizes), rows=sum(rows)
        )
        record = self._record(partition, changed)
        earlier = [_without_files(one) for one in read_record(self.hive, self.planned.location)]
        write_record(self.hive, self.folder, [record, *self._unswept(earlier)])
        take_over(self.hive, self.planned.location, self.folder)
        make_durable(self.hive, self.folder)

        def verify() -> None:
            _require_as_planned(self.hive, self.planned)
            before_attempt()

        change = Change(self.planned.values, self.folder, changed, self.planned.description)
        try:
            self.means.move(change, self.planned.location, verify)
        except CommitOutcomeUnknown:
            raise
        except (LakeoptError, KeyboardInterrupt):
            delete_record(self.hive, self.folder)
            raise
        except Exception as error:  # of no kind that says that nothing was done: what was written must stay
            raise CommitOutcomeUnknown(
                f"the switch to {self.folder} ended with {type(error).__name__}: {first_line(error)}",
                hint="the written files are kept; the next lakeopt run on the table tells whether it was made",
            ) from error
        return Committed(self.number, late=tuple(self._look_back(record)))

    def _record(self, partition: Partition, changed: Mapping[str, Any]) -> Switch:
        return Switch(
            switch_id=self.number,
            plan_id=self.plan_id,
            values=self.planned.values,
            replaced=self.means.left(self.planned.location, self.folder),
            was=self.planned.location,
            old=look(self.hive, self.planned.location).files,
            new=look(self.hive, self.folder).files,
            parameters={name: partition.parameters.get(name) for name in changed},
        )

    def _unswept(self, earlier: list[Switch]) -> list[Switch]:
        """Earlier switches; where there are many, those that have left something: a record must not grow for good."""
        if len(earlier) <= _REMEMBERED:
            return earlier
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            looks = pool.map(lambda one: look(self.hive, one.replaced), earlier)
            return [one for one, seen in zip(earlier, looks, strict=True) if seen.files]

    def _look_back(self, record: Switch) -> Iterator[str]:
        """What another writer did in the old folder while its partition was switched."""
        try:
            if found := late(look(self.hive, record.replaced), record.old):
                yield str(found)
            elif staging := _root_staging(self.hive):
                place = f"{self.hive.location}/{staging[0]}"
                yield f"another writer began meanwhile: {place}; apply adopts what comes late by that"
        except Exception as error:  # it is switched: this must not look as if it were not
            yield f"the old folder cannot be looked at: {error}"


def _partitions(hive: HiveTable, planned: Sequence[PartitionSwitch]) -> list[Partition | None]:
    """The partitions as they are now; None for one that was dropped."""
    if not isinstance(hive.source, MetastoreSource):
        return [partition_of(hive, one.values, one.location) for one in planned]
    pages = hive.source.partitions([one.values for one in planned])
    found = {one.values: one for page in pages for one in page}
    return [found.get(one.values) for one in planned]


def _switch_of(group: FileGroup) -> PartitionSwitch:
    if group.switch is None:
        raise UsageError(f"the plan contradicts itself: group {group.group_id} names no partition", hint=_AGAIN)
    return group.switch


def _folder(files: pa.Table) -> str:
    """The one folder that all staged files lie in."""
    folders = {path.rpartition("/")[0] for path in files["file_path"].to_pylist()}
    if len(folders) != 1 or not lies_hidden(next(iter(folders))):
        raise UsageError(f"new files of a partition must lie in one hidden folder, not in {sorted(folders)}")
    return str(folders.pop())


def _require_as_planned(hive: HiveTable, planned: PartitionSwitch) -> None:
    """Directly before a switch, which looks at the partition's description itself.

    :raises CommitConflict: the partition's files are not as planned, or a writer is at work.
    """
    _require_quiet_root(hive)
    if (reason := _why_other_files(planned, look(hive, planned.location))) is not None:
        raise CommitConflict(reason, hint=_AGAIN)


def _why_changed(planned: PartitionSwitch, partition: Partition | None, seen: Look) -> str | None:
    if partition is None or description_digest(partition) != planned.description:
        return _other_description(planned, partition)
    return _why_other_files(planned, seen)


def _other_description(planned: PartitionSwitch, partition: Partition | None) -> str:
    if partition is None:
        return f"the partition at {planned.location} was dropped since the plan"
    return f"the description of the partition at {planned.location} has changed since the plan"


def _why_other_files(planned: PartitionSwitch, seen: Look) -> str | None:
    if seen.staging:
        return f"another writer is at work in {planned.location}: {seen.staging[0]}"
    return f"files at {planned.location} have changed since the plan" if seen.exact_digest != planned.listing else None


def _require_quiet_root(hive: HiveTable) -> None:
    """Refuse while a writer prepares files in the table's own folder: they may be for any partition.

    :raises CommitConflict: one does, or died at it.
    """
    if staging := _root_staging(hive):
        raise CommitConflict(
            f"another writer is at work in {hive.location}: {staging[0]}",
            hint="run it again when it is done; a folder that a writer left when it died must be removed",
        )


def _root_staging(hive: HiveTable) -> list[str]:
    filesystem, path = hive.resolve(hive.location)
    return [one.base_name for one in list_folder(filesystem, path, recursive=False) if is_staging(one.base_name)]


def _led_here(hive: HiveTable, planned: PartitionSwitch, number: int) -> Switch | None:
    """The switch of that id, if the partition came to where it lies now by it."""
    partition = partition_of(hive, planned.values, planned.location)
    switches: Iterable[Switch] = read_record(hive, partition.storage.location) if partition is not None else ()
    return next((one for one in switches if one.switch_id == number), None)


def _without_files(switch: Switch) -> Switch:
    """An earlier switch: that it was is kept, what lay there is not."""
    import dataclasses

    return dataclasses.replace(switch, new={}, parameters={})
