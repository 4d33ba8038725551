"""The record of a switch: a hidden file in the folder that a partition was switched to, read by whoever comes later.

It holds the switches that led to this folder, the newest first: what was written there, and what lies in the folder
that was left. Readers pass over it (its name begins with a dot), and it goes where the folder goes, so that it is
as right on an object store as behind an exchange of directories.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pyarrow import fs

from lakeopt.errors import DataFileError, Unreachable
from lakeopt.tables.base import Table

#: Name of the file.
NAME = ".lakeopt-switch.json"

#: Files of a folder by their names below it: size, and time of the last change in nanoseconds.
Files = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch of a partition.

    ``replaced`` is where the files lie that were read before, with all that was there as ``old``; ``was`` is where
    the partition was until then: the same place, except after an exchange of directories. ``new`` are the files of
    the folder that it was switched to. ``parameters`` are those that it had and that the switch set anew.
    ``undoes`` is the id of the switch that this one takes back.
    """

    switch_id: int
    plan_id: str
    values: tuple[str | None, ...]
    replaced: str
    was: str
    old: Files
    new: Files
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    undoes: int | None = None


def write_record(table: Table, folder: str, switches: Sequence[Switch]) -> None:
    """Write the record of a folder anew; a reader sees the old one or the new one.

    :raises Unreachable: the folder cannot be written.
    """
    filesystem, path = table.resolve(folder)
    name = f"{path.rstrip('/')}/{NAME}"
    body = json.dumps([asdict(one) for one in switches], ensure_ascii=False).encode("utf-8", "surrogatepass")
    local = isinstance(filesystem, fs.LocalFileSystem)
    try:
        with filesystem.open_output_stream(f"{name}.part" if local else name) as sink:
            sink.write(body)
        if local:
            filesystem.move(f"{name}.part", name)
    except OSError as error:
        raise Unreachable(f"the record of a switch cannot be written: {folder}: {error}") from error


def read_record(table: Table, folder: str) -> list[Switch]:
    """The switches that led to a folder, the newest first; none where nothing was switched to it.

    :raises DataFileError: there is a record, and it is none.
    :raises Unreachable: the folder cannot be read.
    """
    filesystem, path = table.resolve(folder)
    try:
        with filesystem.open_input_stream(f"{path.rstrip('/')}/{NAME}") as source:
            body = source.read()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise Unreachable(f"the record of a switch cannot be read: {folder}: {error}") from error
    try:
        return [_switch(value) for value in json.loads(body)]
    except (ValueError, TypeError, KeyError) as error:
        raise DataFileError(
            f"this is no record of a switch: {folder}/{NAME}", hint="remove the file to go on without it"
        ) from error


def delete_record(table: Table, folder: str) -> None:
    """Remove the record of a folder that was not switched to; one that is gone is no error.

    :raises Unreachable: the folder cannot be written.
    """
    filesystem, path = table.resolve(folder)
    try:
        filesystem.delete_file(f"{path.rstrip('/')}/{NAME}")
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unreachable(f"the record of a switch cannot be removed: {folder}: {error}") from error


def _switch(value: dict[str, Any]) -> Switch:
    made = dict(value)
    made["values"] = tuple(value["values"])
    for name in ("old", "new"):
        made[name] = {file: (int(size), int(time)) for file, (size, time) in value[name].items()}
    return Switch(**made)
