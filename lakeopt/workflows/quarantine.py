"""The quarantine: files that were moved out of a table's location, with what is needed to bring each of them back.

``<state dir>/quarantine/<table uuid>/<plan id>/manifest-<nnnn>-<run>.json`` says of up to ``CHUNK`` files where each
was, its size, the time of its last change and why it was moved; it is written before the first of them moves. The
files lie beside it under names of their own, so that no path is too long or too strange to be kept.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeopt.config import Settings
from lakeopt.errors import Unreachable, first_line
from lakeopt.model.orphans import FailedFile, KeptFile, OrphanFile
from lakeopt.model.serde import from_data, to_data
from lakeopt.tables.base import Table
from lakeopt.workflows import journal
from lakeopt.workflows.file_moves import Changed, Spot, put_back, set_aside
from lakeopt.workflows.leases import GRACE, age_of
from lakeopt.workflows.state import delete_object, object_names, read_object, state_location, write_object

if TYPE_CHECKING:
    from lakeopt.tables.iceberg.deletion.folder import Folder

#: Files of one manifest.
CHUNK = 1000
#: Moves at a time on stores that are asked over a network.
_AT_ONCE = 16
_NAME_LENGTH = 100
#: Seconds from a manifest to the last of its moves: a run that slept longer might move what a sweep has forgotten.
_PATIENCE = 3600.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NEVER_MOVED = "it is where it was: it never left, or is back already"
TAKEN = "another file has its name now"
LOST = "it is neither in its place nor in the quarantine"
NEEDED = "the table reaches it again: it was brought back"


@dataclass(frozen=True, slots=True)
class QuarantinedFile:
    """``file`` with its ``path`` below the table's location; ``stored`` is its name in the quarantine."""

    file: OrphanFile
    stored: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """One manifest of a quarantine: where it is, of which plan and location, and its files."""

    name: str
    plan_id: str
    location: str
    files: tuple[QuarantinedFile, ...]


@dataclass
class Moved:
    """What moving or deleting many files came to; ``paths`` are those that were moved."""

    paths: list[str] = field(default_factory=list)
    bytes: int = 0
    kept: list[KeptFile] = field(default_factory=list)
    failed: list[FailedFile] = field(default_factory=list)

    def add(self, other: Moved) -> None:
        """Count another one's too."""
        self.paths += other.paths
        self.bytes += other.bytes
        self.kept += other.kept
        self.failed += other.failed


def quarantine_location(table: Table, settings: Settings, plan_id: str = "") -> str:
    """Where the quarantine of a table, or of one plan for it, lies."""
    return f"{state_location(table, settings)}/quarantine/{table.uuid}/{plan_id}".rstrip("/")


def move_in(
    table: Table, settings: Settings, folder: Folder, plan_id: str, run: str, number: int, files: Sequence[OrphanFile]
) -> tuple[Chunk, Moved]:
    """Write the manifest of a chunk of files, then move each that is still as it was listed.

    :raises Unreachable: the manifest cannot be written; nothing was moved.
    """
    base = quarantine_location(table, settings, plan_id)
    stored = [
        QuarantinedFile(file, f"{run}-{number:04d}-{at:04d}-{_last_name(file.path)}") for at, file in enumerate(files)
    ]
    chunk = Chunk(f"{base}/manifest-{number:04d}-{run}.json", plan_id, folder.location, tuple(stored))
    began = time.time()
    head = {"plan_id": plan_id, "table": table.identifier, "table_uuid": table.uuid, "location": folder.location}
    write_object(table, chunk.name, {**head, "files": [{**to_data(one.file), "stored": one.stored} for one in stored]})

    def move(one: QuarantinedFile) -> Moved:
        source, target = Spot(folder.filesystem, folder.at(one.file.path)), _spot(table, f"{base}/{one.stored}")
        if time.time() - began > _PATIENCE:
            return Moved(failed=[FailedFile(one.file.path, "the run was held up for too long to go on safely")])
        try:
            set_aside(source, target, one.file.bytes, _microseconds(one.file.modified_at))
        except Changed:
            return Moved(kept=[KeptFile(one.file.path, "changed since it was listed")])
        except OSError as error:
            return Moved(failed=[FailedFile(one.file.path, first_line(error))])
        return Moved([one.file.path], one.file.bytes)

    return chunk, _each(move, stored, folder.local)


def chunks(table: Table, settings: Settings, plan_id: str = "") -> Iterator[Chunk]:
    """The manifests of a table's quarantine, or of one plan's, oldest name first.

    :raises Unreachable: the state directory cannot be read, or holds what is no manifest.
    """
    base = quarantine_location(table, settings, plan_id)
    for name in object_names(table, base):
        if name.rpartition("/")[2].startswith("manifest-") and (value := read_object(table, f"{base}/{name}")):
            yield _parsed(f"{base}/{name}", value)


def move_back(table: Table, chunk: Chunk, only: set[str] | None = None) -> Moved:
    """Bring the files of a chunk (or those of these paths) back to their places, never over another file."""
    base = chunk.name.rpartition("/")[0]

    def move(one: QuarantinedFile) -> Moved:
        path = one.file.path
        source, target = _spot(table, f"{base}/{one.stored}"), _spot(table, f"{chunk.location.rstrip('/')}/{path}")
        try:
            if source.state() is None:
                there = target.taken()
                return Moved(kept=[KeptFile(path, NEVER_MOVED)]) if there else Moved(failed=[FailedFile(path, LOST)])
            put_back(source, target)
        except Changed:
            return Moved(failed=[FailedFile(path, TAKEN)])
        except OSError as error:
            return Moved(failed=[FailedFile(path, first_line(error))])
        return Moved([path], one.file.bytes)

    chosen = [one for one in chunk.files if only is None or one.file.path in only]
    return _each(move, chosen, _spot(table, base).local)


def bring_back(table: Table, settings: Settings, plan_id: str) -> Moved:
    """Bring back all files of a plan; manifests go when nothing of theirs is left and no more can come.

    A run that was killed leaves a manifest of files that it never moved; what another plan moved since is that one's.
    """
    done = Moved()
    may_go = plan_id not in running(table, settings)
    for chunk in chunks(table, settings, plan_id):
        moved = move_back(table, chunk)
        lost = {one.path for one in moved.failed if one.error == LOST}
        holders = _holders(table, settings, plan_id, lost) if lost else {}
        moved.kept += [KeptFile(path, f"plan {other} moved it: restore that one") for path, other in holders.items()]
        moved.failed = [one for one in moved.failed if one.path not in holders]
        done.add(moved)
        if may_go and not moved.failed:
            forget(table, chunk)
    tidy(table, settings)
    return done


def tidy(table: Table, settings: Settings) -> None:
    """Remove what runs that were killed have half written to a local quarantine, and folders that are empty."""
    root = _spot(table, quarantine_location(table, settings))
    if not root.local:  # object stores keep no half of anything
        return
    busy = running(table, settings)
    for folder in Path(root.path).glob("*"):
        if folder.name not in busy:
            for part in folder.glob("*.part"):
                part.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()


def _holders(table: Table, settings: Settings, plan_id: str, paths: set[str]) -> dict[str, str]:
    """Which other plan's quarantine really holds each of these paths."""
    found = {}
    for chunk in chunks(table, settings):
        base = chunk.name.rpartition("/")[0]
        for one in chunk.files if chunk.plan_id != plan_id else ():
            if one.file.path in paths and _spot(table, f"{base}/{one.stored}").state() is not None:
                found[one.file.path] = chunk.plan_id
    return found


def expired(table: Table, settings: Settings, grace_seconds: float, now: datetime) -> Iterator[Chunk]:
    """Chunks whose grace has passed; ``now`` is a time by the clock of the store that holds the quarantine.

    A chunk's age is that of its manifest on that store: no host's clock counts. Chunks of a run that may still be on
    are left out, and those of a location that the table has left: what is reached there is not looked at.
    """
    from lakeopt.tables.iceberg.deletion.location_keys import same_place

    busy = running(table, settings)
    limit = (now - timedelta(seconds=grace_seconds) - _EPOCH) // timedelta(microseconds=1)
    for chunk in chunks(table, settings):
        state = _spot(table, chunk.name).state()
        if (
            state is not None
            and state[1] <= limit
            and chunk.plan_id not in busy
            and same_place(chunk.location, table.location)
        ):
            yield chunk


def running(table: Table, settings: Settings) -> set[str]:
    """Plans that may still be carried out: their manifests stay, since more of their files may yet come.

    One of which nothing was heard for the grace is none of them, wherever it ran: it moves nothing so long after it
    wrote a manifest.
    """
    unfinished = journal.unfinished(table, settings)
    return {run.plan_id for run in unfinished if run.status == "running" and age_of(run.newest) <= GRACE}


def delete(table: Table, chunk: Chunk, reached: set[str]) -> Moved:
    """Delete the files of a chunk for good, then its manifest; those that the table reaches now are brought back.

    ``reached`` holds paths below the location. What fails keeps its manifest, so that a later sweep goes on.
    """
    done = Moved()
    needed = {one.file.path for one in chunk.files} & reached
    if needed:
        back = move_back(table, chunk, needed)
        done.kept += [KeptFile(path, NEEDED) for path in back.paths] + back.kept
        done.failed += back.failed
    base = chunk.name.rpartition("/")[0]

    def remove(one: QuarantinedFile) -> Moved:
        spot = _spot(table, f"{base}/{one.stored}")
        try:
            if spot.state() is None:
                return Moved()
            spot.delete()
        except OSError as error:
            return Moved(failed=[FailedFile(one.file.path, first_line(error))])
        return Moved([one.file.path], one.file.bytes)

    done.add(_each(remove, [one for one in chunk.files if one.file.path not in needed], _spot(table, base).local))
    if not done.failed:
        forget(table, chunk)
    return done


def forget(table: Table, chunk: Chunk) -> None:
    """Remove a manifest whose files are all out of the quarantine, and the plan's folder with the last of them."""
    delete_object(table, chunk.name)
    folder = _spot(table, chunk.name.rpartition("/")[0])
    if folder.local:
        with contextlib.suppress(OSError):  # not empty yet
            os.rmdir(folder.path)


def _each(move: Any, files: Sequence[QuarantinedFile], local: bool) -> Moved:
    done = Moved()
    if local:
        for one in files:
            done.add(move(one))
        return done
    with ThreadPoolExecutor(_AT_ONCE) as movers:
        for part in movers.map(move, files):
            done.add(part)
    return done


def _spot(table: Table, location: str) -> Spot:
    return Spot(*table.resolve(location))


def _last_name(path: str) -> str:
    """The file's own name, short enough to be part of another one."""
    return path.rpartition("/")[2].encode()[-_NAME_LENGTH:].decode(errors="ignore")


def _microseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)


def _parsed(name: str, value: dict[str, Any]) -> Chunk:
    try:
        files = []
        for row in value["files"]:
            stored = row.pop("stored")
            files.append(QuarantinedFile(from_data(OrphanFile, row), stored))
        return Chunk(name, str(value["plan_id"]), str(value["location"]), tuple(files))
    except (KeyError, TypeError, AttributeError) as error:
        raise Unreachable(f"this is no manifest of a quarantine: {name}", hint="move it away to go on") from error
