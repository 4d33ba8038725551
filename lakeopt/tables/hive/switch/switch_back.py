"""Undo a switch: the partition comes to lie again in the folder that it left."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lakeopt.errors import CommitOutcomeUnknown, LakeoptError, Refused, StalePlan
from lakeopt.model.plan import FileGroup
from lakeopt.tables.base import Leaving
from lakeopt.tables.hive.listing import description_digest
from lakeopt.tables.hive.source import Partition
from lakeopt.tables.hive.switch.folders import is_data, late, leavings, look, record_files
from lakeopt.tables.hive.switch.metastore_switch import Change
from lakeopt.tables.hive.switch.places import mover, partition_of
from lakeopt.tables.hive.switch.record import Switch, delete_record, read_record, write_record
from lakeopt.tables.hive.switch.statistics import ACCURATE, SWITCH_ID

if TYPE_CHECKING:
    from lakeopt.tables.hive.table import HiveTable


class SwitchBack:
    """The undoing of one switch: nothing may have come to the partition since, and all that it left must be there.

    :raises StalePlan: the partition was changed since: it is left alone.
    :raises Refused: files of the old folder are gone.
    """

    def __init__(self, hive: HiveTable, plan_id: str, group: FileGroup, number: int) -> None:
        assert group.switch is not None
        self.hive, self.plan_id, self.values = hive, plan_id, group.switch.values
        self.planned_at = group.switch.location
        self.partition = self._partition()
        self.record = read_record(hive, self.partition.storage.location)
        self.done = bool(self.record) and self.record[0].undoes == number
        self.switch = self.record[0] if self.record else None
        if self.switch is None or number not in (self.switch.switch_id, self.switch.undoes):
            raise StalePlan("it was switched, moved or written by someone else since")
        if not self.done:
            self._require(self.partition)

    def _partition(self) -> Partition:
        found = partition_of(self.hive, self.values, self.planned_at)
        if found is None:
            raise StalePlan("it was dropped since")
        return found

    def _require(self, partition: Partition) -> None:
        assert self.switch is not None
        here = look(self.hive, partition.storage.location)
        if {name: held for name, held in here.files.items() if is_data(name)} != record_files(self.switch):
            raise StalePlan("files were added to it, or taken from it, since")
        if here.staging:
            raise StalePlan(f"another writer is at work in it: {here.staging[0]}")
        there = look(self.hive, self.switch.replaced)
        missing = [name for name in self.switch.old if is_data(name) and name not in there.files]
        if missing and not late(there, self.switch.old).came:
            raise Refused(f"its old files are gone: {self.switch.replaced}/{missing[0]}")

    def run(self, before: Callable[[Sequence[Leaving]], None]) -> None:
        """Switch back; what was done already is not done again."""
        if self.done:
            return
        assert self.switch is not None
        switch, means, number = self.switch, mover(self.hive), secrets.randbits(62) + 1
        here = self.partition.storage.location
        left = means.left(here, switch.replaced)
        found = look(self.hive, here)
        before(
            [
                dataclasses.replace(one, location=_moved(one.location, here, left))
                for one in leavings(found, found.files)
            ]
        )
        undo = Switch(
            switch_id=number,
            plan_id=self.plan_id,
            values=self.values,
            replaced=left,
            was=here,
            old=found.files,
            new=look(self.hive, switch.replaced).files,
            undoes=switch.switch_id,
        )
        earlier = read_record(self.hive, switch.replaced)
        write_record(self.hive, switch.replaced, [undo, *earlier])
        parameters = {**switch.parameters, SWITCH_ID: str(number)}
        if late(look(self.hive, switch.replaced), switch.old):  # other rows than those that were counted
            parameters[ACCURATE] = None
        change = Change(self.values, switch.replaced, parameters, description_digest(self.partition))
        try:
            means.move(change, here, self._verify)
        except CommitOutcomeUnknown:
            raise
        except (LakeoptError, KeyboardInterrupt):
            if earlier:
                write_record(self.hive, switch.replaced, earlier)
            else:
                delete_record(self.hive, switch.replaced)
            raise

    def _verify(self) -> None:
        again = self._partition()
        if description_digest(again) != description_digest(self.partition):
            raise StalePlan("it was moved or altered by someone else since")
        self._require(again)


def _moved(location: str, here: str, left: str) -> str:
    return left.rstrip("/") + location.removeprefix(here.rstrip("/"))
