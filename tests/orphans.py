"""For tests of orphan removal: files as old as one likes, and what plain pyiceberg says a table can reach."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pyiceberg.table import Table

DAY = 86_400.0


def folder(table: Table) -> Path:
    """The local folder of a table."""
    return Path("/" + table.location().removeprefix("file:").lstrip("/"))


def local(location: str) -> Path:
    return Path("/" + location.removeprefix("file:").lstrip("/"))


def age(place: Path, days: float = 10) -> None:
    """Make a file, or all files of a folder, look as if they were written that long ago."""
    then = time.time() - days * DAY
    for path in place.rglob("*") if place.is_dir() else [place]:
        if path.is_file() and not path.is_symlink():
            os.utime(path, (then, then))


def plant(table: Table, name: str, content: bytes = b"nobody needs this", days: float = 10) -> Path:
    """A file below the table's location that nothing reaches."""
    path = folder(table) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    age(path, days)
    return path


def reached(table: Table, named: dict[str, set[str]] | None = None) -> set[Path]:
    """What the table reaches, by pyiceberg's own readers: the oracle. ``named`` remembers what was read before."""
    metadata, named = table.metadata, {} if named is None else named
    found = {table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
    found |= {one.statistics_path for one in (*metadata.statistics, *metadata.partition_statistics)}
    for snapshot in metadata.snapshots:
        if snapshot.manifest_list not in named:
            manifests = {manifest.manifest_path: manifest for manifest in snapshot.manifests(table.io)}
            named[snapshot.manifest_list] = set(manifests)
            for path in manifests.keys() - named.keys():
                entries = manifests[path].fetch_manifest_entry(table.io)
                named[path] = {entry.data_file.file_path for entry in entries}
        found |= {snapshot.manifest_list, *named[snapshot.manifest_list]}
        found.update(*(named[path] for path in named[snapshot.manifest_list]))
    return {local(location) for location in found}


def files(place: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
