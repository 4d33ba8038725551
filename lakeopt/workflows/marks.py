"""Marks: files that nothing should need any more, with the reason and the time, until a sweep looks again.

``<state dir>/marks/<table uuid>/<plan id>/<nnnn>-<token>.json``, immutable objects of up to ``CHUNK`` files each; the
token keeps two runs that mark for one plan from writing over each other, and over what a sweep has left. A mark
deletes nothing and promises nothing: whoever sweeps asks the table anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lakeopt.config import Settings
from lakeopt.errors import Unreachable
from lakeopt.tables.base import Table
from lakeopt.workflows.journal import new_token, now
from lakeopt.workflows.state import delete_object, object_names, read_object, state_location, write_object

#: Files in one object.
CHUNK = 10_000
#: Folders of files that a sweep looks at, and of those that nothing reaches and that are to be marked later.
_MARKS, _DEFERRED = "marks", "deferred"
#: What is written of each file; what all files of an object share stands above them.
_WRITTEN = ("path", "kind", "bytes", "reason", "partition")


@dataclass(frozen=True, slots=True)
class MarkedFile:
    """A file to be swept; ``kind`` as :func:`lakeopt.tables.iceberg.deletion.reachable.reachable_files` names it.

    ``bytes`` is null where the size is not known. ``marked_at`` is ISO 8601 in UTC. ``partition`` is of files that are
    remembered for later (:class:`lakeopt.tables.iceberg.deletion.partition_files.PartitionFiles`).
    """

    path: str
    kind: str
    bytes: int | None
    reason: str
    marked_at: str = ""
    table_uuid: str = ""
    location: str = ""
    partition: str = ""


@dataclass(frozen=True, slots=True)
class MarkObject:
    """One object of the mark list: what a sweep removes as a whole once all its files are done."""

    name: str
    plan_id: str
    files: tuple[MarkedFile, ...]


def mark(table: Table, settings: Settings, plan_id: str, files: Iterable[MarkedFile], *, deferred: bool = False) -> int:
    """Put files on the mark list, now; how many. Marking a file again does no harm.

    With ``deferred`` they are only remembered: no sweep sees them before :func:`mark_deferred`.

    :raises Unreachable: the state directory cannot be written.
    """
    folder = f"{_folder(table, settings, _DEFERRED if deferred else _MARKS)}/{plan_id}"
    count, number, token = 0, 0, new_token()
    head = {"plan_id": plan_id, "table_uuid": table.uuid, "location": table.location, "marked_at": now()}
    rest = iter(files)
    while chunk := list(islice(rest, CHUNK)):
        listed = [{name: getattr(f, name) for name in _WRITTEN if name != "partition" or deferred} for f in chunk]
        number += 1
        write_object(table, f"{folder}/{number:04d}-{token}.json", {**head, "files": listed})
        count += len(chunk)
    return count


def marked(table: Table, settings: Settings) -> Iterator[MarkObject]:
    """The mark list of a table, object by object, by their names.

    :raises Unreachable: the state directory cannot be read, or holds what is no mark.
    """
    folder = _folder(table, settings)
    for name in object_names(table, folder):
        if (value := read_object(table, f"{folder}/{name}")) is not None:  # another sweep was quicker
            yield _parsed(f"{folder}/{name}", value)


def mark_deferred(table: Table, settings: Settings, chosen: Callable[[MarkedFile], bool]) -> tuple[int, int]:
    """Put on the mark list, now, those of the remembered files that are chosen; how many, and their bytes.

    :raises Unreachable: the state directory cannot be read or written.
    """
    folder, count, size = _folder(table, settings, _DEFERRED), 0, 0
    for name in object_names(table, folder):
        if (value := read_object(table, f"{folder}/{name}")) is None:
            continue
        held = _parsed(f"{folder}/{name}", value)
        files = [file for file in held.files if chosen(file)]
        if files:
            count += mark(table, settings, held.plan_id, files)
            size += sum(file.bytes or 0 for file in files)
            rest = [file for file in held.files if not chosen(file)]
            mark(table, settings, held.plan_id, rest, deferred=True)
            delete_object(table, held.name)
    return count, size


def unmark(table: Table, name: str) -> None:
    """Remove an object of the mark list; one that is gone already is no error."""
    delete_object(table, name)


def _folder(table: Table, settings: Settings, kind: str = _MARKS) -> str:
    return f"{state_location(table, settings)}/{kind}/{table.uuid}"


def _parsed(name: str, value: dict[str, Any]) -> MarkObject:
    try:
        shared: dict[str, Any] = {key: str(value[key]) for key in ("marked_at", "table_uuid", "location")}
        files = tuple(MarkedFile(**{name: f[name] for name in _WRITTEN if name in f}, **shared) for f in value["files"])
        return MarkObject(name, str(value["plan_id"]), files)
    except (KeyError, TypeError) as error:
        raise Unreachable(f"this is no mark list: {name}", hint="move it away to go on without it") from error
