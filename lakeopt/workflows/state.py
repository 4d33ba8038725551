"""Where lakeopt keeps what it must remember about a table: the state directory."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lakeopt.config import STATE_FOLDER, Settings
from lakeopt.errors import ConfigurationError, NoSpace, Unreachable
from lakeopt.tables.base import Table


def state_location(table: Table, settings: Settings) -> str:
    """Location of the state directory: ``state_dir`` if set, else ``_lakeopt`` below the warehouse.

    :raises ConfigurationError: the catalog names no warehouse, or the path would lie in a table's location
        (where orphan removal by others would eat it).
    """
    hint = "set LAKEOPT_STATE_DIR, or state_dir in lakeopt.toml, to a location outside every table"
    if settings.state_dir:
        location = settings.state_dir.rstrip("/")
    elif table.warehouse:
        location = f"{table.warehouse.rstrip('/')}/{STATE_FOLDER}"
    else:
        raise ConfigurationError(
            f"the catalog of {table.identifier} names no warehouse to keep a journal in", hint=hint
        )
    if _is_inside(table, location):
        raise ConfigurationError(f"the state directory {location} lies inside the table {table.identifier}", hint=hint)
    return location


def _is_inside(table: Table, location: str) -> bool:
    from pyarrow import fs

    filesystem, path = table.resolve(location)
    table_filesystem, table_path = table.resolve(table.location)
    if isinstance(filesystem, fs.LocalFileSystem):  # .. and links lead into the table by another name
        path, table_path = os.path.realpath(path), os.path.realpath(table_path)
    return filesystem.equals(table_filesystem) and f"{path}/".startswith(table_path.rstrip("/") + "/")


def write_object(table: Table, location: str, value: Mapping[str, Any]) -> None:
    """Write one immutable JSON object; a reader sees all of it or nothing.

    Local files appear under their name only once they are whole; object stores do that by themselves.

    :raises NoSpace: there is no room for it.
    :raises Unreachable: the state directory cannot be written.
    """
    from pyarrow import fs

    filesystem, path = table.resolve(location)
    local = isinstance(filesystem, fs.LocalFileSystem)
    part = f"{path}.part" if local else path
    try:
        if local:  # object stores have no folders, and would be given empty objects that stand for them
            filesystem.create_dir(path.rpartition("/")[0], recursive=True)
        with filesystem.open_output_stream(part) as sink:
            sink.write(json.dumps(value, ensure_ascii=False).encode())
        if local:
            filesystem.move(part, path)
    except OSError as error:
        if local:
            with contextlib.suppress(OSError):
                Path(part).unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(
                f"no space left for the state directory: {location}",
                hint="free disk space, or set LAKEOPT_STATE_DIR to a location that has some",
            ) from error
        raise Unreachable(
            f"the state directory cannot be written: {location}: {error}",
            hint="set LAKEOPT_STATE_DIR to a location that this user may write",
        ) from error


def read_objects(table: Table, location: str) -> list[tuple[str, dict[str, Any]]]:
    """All JSON objects below a location as (path below it, value), sorted by path; an absent folder has none.

    :raises Unreachable: the state directory cannot be read.
    """
    from pyarrow import fs

    filesystem, path = table.resolve(location)
    selector = fs.FileSelector(path, allow_not_found=True, recursive=True)
    try:
        found = sorted(info.path for info in filesystem.get_file_info(selector) if info.path.endswith(".json"))
        values = []
        for name in found:
            with filesystem.open_input_stream(name) as source:
                values.append((name[len(path) :].lstrip("/"), json.loads(source.read())))
        return values
    except (OSError, ValueError) as error:
        raise Unreachable(f"the state directory cannot be read: {location}: {error}") from error


def object_names(table: Table, location: str) -> list[str]:
    """Paths of all JSON objects below a location, relative to it, sorted; an absent folder has none.

    :raises Unreachable: the state directory cannot be read.
    """
    from pyarrow import fs

    filesystem, path = table.resolve(location)
    try:
        found = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True))
    except OSError as error:
        raise Unreachable(f"the state directory cannot be read: {location}: {error}") from error
    return sorted(info.path[len(path) :].lstrip("/") for info in found if info.path.endswith(".json"))


def read_object(table: Table, location: str) -> dict[str, Any] | None:
    """One JSON object; None where it is gone.

    :raises Unreachable: the state directory cannot be read.
    """
    filesystem, path = table.resolve(location)
    try:
        with filesystem.open_input_stream(path) as source:
            value: dict[str, Any] = json.loads(source.read())
            return value
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Unreachable(f"the state directory cannot be read: {location}: {error}") from error


def delete_object(table: Table, location: str) -> None:
    """Remove one object; one that is gone already is no error.

    :raises Unreachable: the state directory cannot be written.
    """
    filesystem, path = table.resolve(location)
    try:
        filesystem.delete_file(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unreachable(f"the state directory cannot be written: {location}: {error}") from error
