"""Where the partitions of a table lie now, what that reaches, and by which means they are switched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Protocol

from lakeopt.errors import Unreachable, UsageError
from lakeopt.tables.base import Table
from lakeopt.tables.hive.listing import is_hidden
from lakeopt.tables.hive.metastore import MetastoreSource
from lakeopt.tables.hive.source import Partition, Storage
from lakeopt.tables.hive.switch.directory_switch import DirectorySwitch
from lakeopt.tables.hive.switch.metastore_switch import Change, MetastoreSwitch
from lakeopt.tables.hive.table import HiveTable
from lakeopt.tables.iceberg.deletion.location_keys import location_key

if TYPE_CHECKING:
    Key = tuple[str, str, str]


class Mover(Protocol):
    """The means by which a partition comes to lie in another folder, at once."""

    def why_not(self) -> str | None:
        """Why nothing can be switched here; None if it can."""

    def left(self, was: str, folder: str) -> str:
        """Where the old files lie after a switch from ``was`` to ``folder``."""

    def move(self, change: Change, was: str, verify: Callable[[], None]) -> None:
        """Switch it, with ``verify`` called directly before.

        :raises CommitConflict: it is not as planned any more; definite.
        :raises CommitOutcomeUnknown: it is not known whether it was done.
        """


def hive_table(table: Table) -> HiveTable:
    """The table as a Hive table.

    :raises UsageError: it has another format.
    """
    if not isinstance(table, HiveTable):
        raise UsageError(f"{table.identifier} is no Hive table", hint="make a new plan")
    return table


def mover(hive: HiveTable) -> Mover:
    """The means for the kind of source that the table has."""
    if isinstance(hive.source, MetastoreSource):
        return MetastoreSwitch(hive.source, partitioned=bool(hive.partition_columns))
    return DirectorySwitch(hive, partitioned=bool(hive.partition_columns))


def partition_of(hive: HiveTable, values: tuple[str | None, ...], location: str) -> Partition | None:
    """The partition with these values as it is now; None where it was dropped. A folder always is at its location."""
    if isinstance(hive.source, MetastoreSource):
        return next((one for page in hive.source.partitions([values]) for one in page), None)
    storage = hive.description.storage
    there = is_folder(hive, location)
    return Partition(values, Storage(location, storage.columns, storage.file_format)) if there else None


def is_folder(hive: HiveTable, location: str) -> bool:
    """Whether there is a folder at a location; on an object store, whether anything lies below it.

    :raises Unreachable: the storage does not answer.
    """
    from pyarrow import fs

    filesystem, path = hive.resolve(location)
    try:
        return bool(filesystem.get_file_info(path.rstrip("/")).type == fs.FileType.Directory)
    except OSError as error:
        raise Unreachable(f"storage does not answer: {location}: {error}", hint="try again later") from error


def reached(hive: HiveTable, locations: Collection[str]) -> set[str]:
    """Those of these files that lie in or below the folder of a partition, or of a folder table, as it is now.

    :raises Unreachable: the metastore or the storage does not answer.
    """
    if not locations:
        return set()
    if isinstance(hive.source, MetastoreSource):
        places = {location_key(one.storage.location) for page in hive.source.partitions() for one in page}
    else:
        places = {location_key(hive.location)}
    return {location for location in locations if any(above in places for above in _folders_above(location))}


def _folders_above(location: str) -> Iterator[Key]:
    """The folders that a reader comes to a file through, innermost first: none leads into a hidden one.

    >>> list(_folders_above("/t/.lakeopt/p/d=1/a"))
    [('file', '', '/t/.lakeopt/p/d=1'), ('file', '', '/t/.lakeopt/p'), ('file', '', '/t/.lakeopt')]
    """
    scheme, authority, path = location_key(location)
    while "/" in path:
        path = path.rpartition("/")[0]
        if is_hidden(path.rpartition("/")[2]):
            # What lies at a hidden folder itself is read by who is told of it, never by who lists the one above.
            yield scheme, authority, path
            return
        yield scheme, authority, path
