"""The folders on both sides of a switch: whether they are as planned, and what came to the old one since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from pyarrow import fs

from lakeopt.tables.base import Leaving, Table
from lakeopt.tables.hive.listing import (
    OWN_FOLDER,
    entity_tags,
    is_hidden,
    list_folder,
    listing_digest,
    relative_name,
    staging,
)
from lakeopt.tables.hive.switch.record import NAME, Files, Switch

#: Kinds that files of a folder that was left are marked as: data, and hidden ones beside them.
KINDS = ("replaced", "beside-replaced")


@dataclass(frozen=True)
class Look:
    """All that lay in a folder at one moment; a folder that is not there holds nothing."""

    location: str
    path: str
    infos: tuple[fs.FileInfo, ...]
    filesystem: fs.FileSystem

    @property
    def digest(self) -> str:
        """As of :func:`listing_digest`, by names, sizes and times."""
        return listing_digest(self.infos, self.path)

    @cached_property
    def exact_digest(self) -> str:
        """The same, and by the tags of an object store, each file asked for its own."""
        return listing_digest(self.infos, self.path, entity_tags(self.filesystem, self.infos))

    @property
    def staging(self) -> list[str]:
        """What other writers prepare there."""
        return sorted(staging(self.infos, self.path))

    @cached_property
    def files(self) -> Files:
        """Every file, by its name below the folder."""
        return {relative_name(one, self.path): (one.size or 0, one.mtime_ns or 0) for one in self.infos if one.is_file}


def look(table: Table, location: str) -> Look:
    """What lies in a folder now.

    :raises Unreachable: the storage does not answer.
    """
    filesystem, path = table.resolve(location)
    return Look(location, path, tuple(list_folder(filesystem, path)), filesystem)


@dataclass(frozen=True)
class Late:
    """What another writer did in a folder after it was left: data files that came, planned ones that it took away.

    ``staging`` are folders of a writer that may still be at work.
    """

    location: str
    came: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    staging: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.came or self.gone or self.staging)

    def __str__(self) -> str:
        if self.gone:
            return f"{self.location} was written anew while its partition was switched: restore brings it back"
        if self.came:
            more = f" and {len(self.came) - 1} more" if len(self.came) > 1 else ""
            return (
                f"files came late to the old folder: {self.location}/{self.came[0]}{more}; apply or restore adopts them"
            )
        return f"another writer is at work in the old folder: {self.location}/{self.staging[0]}"


def late(found: Look, old: Files, swept: Iterable[str] = ()) -> Late:
    """What is in a folder that was left besides its ``old`` files; those that were ``swept`` may be gone."""
    came = tuple(sorted(name for name in found.files if is_data(name) and found.files[name] != old.get(name)))
    missing = set(old) - set(found.files) - set(swept)
    gone = tuple(sorted(name for name in {*missing, *(old.keys() & set(came))} if is_data(name)))
    return Late(found.location, came, gone, tuple(found.staging))


def is_data(name: str) -> bool:
    """Whether readers of a folder read a file of this name below it.

    >>> is_data("part-0.parquet"), is_data("_temporary/0/part-0.parquet"), is_data("a/.part-0.crc")
    (True, False, False)
    """
    return not any(is_hidden(part) for part in name.split("/"))


def leavings(found: Look, old: Files) -> list[Leaving]:
    """The ``old`` files of a folder that was left, and hidden ones beside them, as files to be swept.

    Data files come first: what a sweep that is killed leaves behind must not look like a partition.
    """
    data = [name for name in found.files if name in old and found.files[name] == old[name] and is_data(name)]
    rest = [name for name in found.files if not is_data(name) and "/" not in name]
    return [
        Leaving(f"{found.location.rstrip('/')}/{name}", KINDS[not is_data(name)], found.files[name][0])
        for name in [*sorted(data), *sorted(rest)]
    ]


def lies_hidden(location: str) -> bool:
    """Whether a folder is one that lakeopt made.

    >>> lies_hidden("/wh/t/.lakeopt/p-t-00000/day=1"), lies_hidden("/wh/t/day=1")
    (True, False)
    """
    return OWN_FOLDER in location.split("/")


def record_files(switch: Switch) -> Files:
    """The files that a switch wrote, without its record."""
    return {name: size for name, size in switch.new.items() if name != NAME}
