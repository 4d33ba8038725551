"""What the clean-up and the undoing of rewrites ask of Hive tables: the folders that switches have left."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from pyarrow import fs

from lakeopt.errors import CommitConflict, LakeoptError, Refused, StalePlan
from lakeopt.model.plan import FileGroup
from lakeopt.model.serde import from_data
from lakeopt.tables.base import Holding, Leaving, Table, Undone
from lakeopt.tables.hive import layout_memory
from lakeopt.tables.hive.listing import OWN_FOLDER, list_folder
from lakeopt.tables.hive.metastore import MetastoreSource
from lakeopt.tables.hive.neighbours import ALONE, shared_with
from lakeopt.tables.hive.source import Partition, Storage
from lakeopt.tables.hive.switch.folders import KINDS, late, lies_hidden, look
from lakeopt.tables.hive.switch.places import hive_table, is_folder, reached
from lakeopt.tables.hive.switch.record import NAME, Files, Switch, read_record
from lakeopt.tables.hive.switch.statistics import SWITCH_ID
from lakeopt.tables.hive.switch.switch_back import SwitchBack
from lakeopt.tables.hive.table import HiveTable
from lakeopt.tables.iceberg.deletion.location_keys import location_key

#: Why a folder stays that no switch of ours left, as far as the table as it is now tells.
_MOVED_ON = "its partition was dropped, made anew or moved by someone else since"


class HiveUpkeep:
    """Fills :class:`lakeopt.tables.base.Upkeep`."""

    def require_collectable(self, table: Table) -> None:
        """Refuse a table that cannot be written."""
        if table.read_only is not None:
            raise Refused(f"{table.identifier} cannot be written: {table.read_only}")

    def refuse_twin(self, table: Table) -> None:
        """Refuse where another table of the metastore lies in the same folder, and may read what this one reaches no
        more.
        """
        if (reason := shared_with(hive_table(table))) is not None:
            raise Refused(f"nothing of {table.identifier} is deleted: {reason}", hint=ALONE)

    def holding(self, table: Table, marks: Mapping[str, str]) -> Holding:
        """Files where a partition lies, and those of folders that hold what came late or whose partition moved on.

        What a run wrote and never switched to (its kind is ``data``) only has to be unreached.
        """
        hive = hive_table(table)
        alive = reached(hive, marks)
        folders: dict[str, list[str]] = {}
        for path, kind in marks.items():
            if path not in alive and kind in KINDS:
                folders.setdefault(path.rpartition("/")[0], []).append(path)
        left = left_folders(hive, list(folders))
        reasons: dict[str, str] = {}
        came: dict[str, str] = {}
        for folder, paths in folders.items():
            if folder not in left:
                reasons |= dict.fromkeys(paths, _MOVED_ON)
                continue
            found = late(look(hive, folder), _old(hive, folder, paths, left[folder]))
            if found.came or found.staging:
                reasons |= dict.fromkeys(paths, str(found))
                came |= {f"{folder}/{name}": str(found) for name in (*found.came, *found.staging)}
        return Holding(frozenset(alive), reasons, came)

    def is_unchanged(self, before: Table, after: Table) -> bool:
        """Never known: nothing says that no partition was changed."""
        return False

    def tidy(self, table: Table, folders: Collection[str]) -> None:
        """Remove those of these folders, where no partition lies, that hold nothing or nothing but a record."""
        for folder in set(folders):
            _tidy(table, folder)

    def late(self, table: Table, folders: Collection[str]) -> dict[str, str]:
        """Files that came to folders that the last switch left, and where each would be read.

        Not where planned files went, or where a writer is at work: that is for ``restore``, or too early.
        """
        hive = hive_table(table)
        moves: dict[str, str] = {}
        for folder, (place, switch) in left_folders(hive, list(folders)).items():
            newest = read_record(hive, place)[:1]
            if switch is None or [switch] != newest:
                continue
            found = late(look(hive, folder), switch.old)
            if not found.gone and not found.staging:
                moves |= {f"{folder}/{name}": f"{place.rstrip('/')}/{name}" for name in found.came}
        return moves

    def undo(
        self,
        table: Table,
        plan: Mapping[str, Any],
        commits: Sequence[tuple[int, Sequence[int]]],
        *,
        act: bool,
        before: Callable[[Sequence[Leaving]], None] = lambda leavings: None,
    ) -> Undone:
        """Switch partitions back to the folders that the plan's switches left; see :class:`SwitchBack`.

        :raises Refused: the plan switched none.
        """
        hive = hive_table(table)
        groups = {group["group_id"]: from_data(FileGroup, group) for group in plan.get("groups", ())}
        chosen = {number: groups[one] for number, ids in commits for one in ids if one in groups}
        if not chosen:
            raise Refused(
                f"plan {plan['plan_id']} switched no partition: there is nothing to bring back",
                hint="lakeopt history TABLE says what each plan did",
            )
        files, size, kept = 0, 0, []
        for number, group in chosen.items():
            try:
                back = SwitchBack(hive, str(plan["plan_id"]), group, number)
                if act:
                    back.run(before)
            except (CommitConflict, StalePlan, Refused) as error:
                kept.append((group.partition or table.identifier, str(error)))
                continue
            files, size = files + group.file_count, size + group.bytes
        if kept and not files:
            raise StalePlan(f"plan {plan['plan_id']} cannot be undone: {kept[0][0]}: {kept[0][1]}")
        if act and not kept:
            layout_memory.forget(hive, str(plan["plan_id"]))
        return Undone(files_count=files, bytes=size, kept=tuple(kept))


def left_folders(hive: HiveTable, folders: Sequence[str]) -> dict[str, tuple[str, Switch | None]]:
    """Of folders that switches have left: where their partitions lie now, and the switch that left each.

    Without a switch where the record is gone (an overwrite takes it along), and the partition of the folder's name lies
    in a folder of ours. A folder whose partition is gone, or was moved elsewhere by someone else, is left out.
    """
    found: dict[str, tuple[str, Switch | None]] = {}
    wanted = {location_key(folder): folder for folder in folders}
    depth = max(1, len(hive.partition_columns))
    named: dict[str, list[str]] = {}
    for folder in folders:
        named.setdefault(_tail(folder, depth), []).append(folder)
    for page in _partitions(hive, list(named)) if wanted else ():
        for partition in page:
            place = partition.storage.location
            ours = lies_hidden(place) or not isinstance(hive.source, MetastoreSource)
            for folder in named.get(_tail(place, depth), ()) if ours else ():
                found.setdefault(folder, (place, None))
            for switch in read_record(hive, place) if ours or SWITCH_ID in partition.parameters else ():
                left = wanted.get(location_key(switch.replaced))
                if left is not None and found.get(left, (place, None))[1] is None:
                    found[left] = place, switch
    return found


def _partitions(hive: HiveTable, names: Sequence[str]) -> Iterator[list[Partition]]:
    """All partitions of a metastore's table; of a folder those that are there by these names."""
    if isinstance(hive.source, MetastoreSource):
        yield from hive.source.partitions()
        return
    places = [f"{hive.location.rstrip('/')}/{name}" if hive.partition_columns else hive.location for name in names]
    yield [Partition((), Storage(place, (), "unknown")) for place in places if is_folder(hive, place)]


def _tail(folder: str, depth: int) -> str:
    """The last parts of a folder's path, one for each partition column."""
    return "/".join(folder.rstrip("/").split("/")[-depth:])


def _old(hive: HiveTable, folder: str, marked: Sequence[str], left: tuple[str, Switch | None]) -> Files:
    """The files of a folder that are no surprise: by the record of the switch, else those that were marked."""
    if left[1] is not None:
        return left[1].old
    names = {path.rpartition("/")[2] for path in marked}
    return {name: held for name, held in look(hive, folder).files.items() if name in names}


def _tidy(table: Table, folder: str) -> None:
    """Remove a folder that holds nothing but its record, and empty hidden ones above."""
    filesystem, path = table.resolve(folder)
    local = isinstance(filesystem, fs.LocalFileSystem)
    try:
        held = list_folder(filesystem, path)
        if not all(one.base_name.startswith(NAME) for one in held):
            return
        for one in held:
            filesystem.delete_file(one.path)
        while local:
            import os

            os.rmdir(path)
            if not lies_hidden(path) or path.rpartition("/")[2] == OWN_FOLDER:
                return
            path = path.rpartition("/")[0]
    except (OSError, LakeoptError):  # not empty, or not ours: it does no harm
        return
