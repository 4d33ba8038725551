"""Marked files as the store and the table have them now: which may go, which stay and why, which are gone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from lakeopt.config import Settings
from lakeopt.errors import StalePlan, first_line
from lakeopt.maintenance.sweep import REACHED, Sighting, in_order, is_settled, keep_reason
from lakeopt.model.orphans import FailedFile
from lakeopt.tables.base import Table
from lakeopt.workflows.in_use import open_runs, running
from lakeopt.workflows.marks import MarkedFile, MarkObject, marked
from lakeopt.workflows.shared_files import shared_files
from lakeopt.workflows.state import state_location

#: Deletions at a time.
_AT_ONCE = 16


@dataclass
class Judged:
    """What became of the marks whose grace has passed.

    ``dead`` is in the order in which it is to be deleted; ``kept`` says for each other file why it stays, ``late`` what
    other writers left where nobody reads it. ``now`` is the store's time, ``table`` the table as it was judged by,
    ``objects`` the mark lists that the files stand in.
    """

    now: datetime
    table: Table
    objects: list[MarkObject]
    dead: list[MarkedFile] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    kept: dict[str, str] = field(default_factory=dict)
    late: dict[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> set[str]:
        """Every file that stands in a mark list."""
        return {file.path for mark in self.objects for file in mark.files}

    @property
    def kinds(self) -> dict[str, str]:
        """What each file that stands in a mark list was marked as."""
        return {file.path: file.kind for mark in self.objects for file in mark.files}

    @property
    def settled(self) -> set[str]:
        """Files that need their mark no more, though they are not deleted."""
        return self.missing | {path for path, reason in self.kept.items() if is_settled(reason)}


def judge(table: Table, settings: Settings, grace: float, *, include_outside: bool) -> Judged:
    """Judge the files that were marked at least ``grace`` seconds ago: by this host's clock, and by the store's.

    The marks are read first and the metadata after them.

    :raises StalePlan: the table has another location than when they were marked.
    :raises DataFileError: a manifest list or manifest is missing or damaged.
    """
    from lakeopt.tables.committer import upkeep
    from lakeopt.tables.iceberg.deletion.listing import store_time
    from lakeopt.tables.iceberg.deletion.location_keys import lies_in

    now = store_time(*table.resolve(f"{state_location(table, settings)}/clock"))
    ripe = dict(_ripe(table, settings, grace, now))
    fresh = table.refresh()
    _require_same(fresh, table, list(ripe))
    judged = Judged(now, fresh, list(ripe))
    marks = {file.path: (file, stamp) for mark, stamp in ripe.items() for file in mark.files}
    if not marks:
        return judged
    held = upkeep(fresh).holding(fresh, judged.kinds)
    judged.late = dict(held.late)
    shared = shared_files(fresh, settings, judged.kinds)
    runs = open_runs(fresh, settings)

    def holder(path: str) -> str | None:
        return next((run.plan_id for run in runs if run.holds(path)), None)

    for path, size, is_file, modified in _sightings(fresh, list(marks)):
        file, stamp = marks[path]
        if size is None:
            judged.missing.add(path)
            continue
        seen = Sighting(path, path in held.reached, lies_in(path, fresh.location), is_file, modified, stamp)
        reason = keep_reason(seen, include_outside=include_outside, holder=holder) or held.reasons.get(path)
        reason = reason or shared.get(path)
        if reason is None:
            judged.dead.append(replace(file, bytes=size))
        else:
            judged.kept[path] = reason
    judged.dead = [judged.dead[place] for place in in_order(file.kind for file in judged.dead)]
    return judged


def _ripe(table: Table, settings: Settings, grace: float, now: datetime) -> Iterator[tuple[MarkObject, float]]:
    """Mark lists whose grace has passed, each with the time of its writing by the store's clock."""
    age = timedelta(seconds=grace)
    for mark in marked(table, settings):
        filesystem, path = table.resolve(mark.name)
        written: datetime | None = filesystem.get_file_info(path).mtime
        if written is None or not mark.files:
            continue
        by_host = time.time() - datetime.fromisoformat(mark.files[0].marked_at).timestamp()
        if now - written >= age and by_host >= grace:
            yield mark, written.timestamp()


def _require_same(fresh: Table, table: Table, marks: Sequence[MarkObject]) -> None:
    from lakeopt.tables.iceberg.deletion.location_keys import same_place

    places = {fresh.location, *(file.location for mark in marks for file in mark.files[:1])}
    if fresh.uuid != table.uuid or not all(same_place(place, fresh.location) for place in places):
        raise StalePlan(
            f"{fresh.identifier} is another table now, or has another location than when its files were marked",
            hint="see to it that nothing else has files at the old location; then remove the marks by hand",
        )


def still_dead(
    table: Table, settings: Settings, files: Sequence[MarkedFile], kinds: Mapping[str, str]
) -> tuple[Table, dict[str, str]]:
    """The table as it is now, and those of these files that must stay by now, with the reason.

    ``kinds`` are those of all files that are marked.

    :raises StalePlan: it is another table, or has another location.
    """
    from lakeopt.tables.committer import upkeep

    fresh, keeping = table.refresh(), upkeep(table)
    if keeping.is_unchanged(table, fresh):
        return table, {}
    if (fresh.uuid, fresh.location) != (table.uuid, table.location):
        raise StalePlan(f"{table.identifier} is another table now, or has another location")
    if not fresh.keeps_snapshots and (plan := running(fresh, settings, "restore_plan")) is not None:
        return fresh, {file.path: f"in use by the running plan {plan}" for file in files}
    held = keeping.holding(fresh, kinds)
    reasons = {**shared_files(fresh, settings, kinds), **held.reasons, **dict.fromkeys(held.reached, REACHED)}
    return fresh, {file.path: reasons[file.path] for file in files if file.path in reasons}


def _sightings(table: Table, paths: list[str]) -> Iterator[tuple[str, int | None, bool, float | None]]:
    """Of each file its size (None where it is gone), whether it is a file, and when it was last written."""
    from pyarrow import fs

    from lakeopt.tables.iceberg.deletion.dead_files import file_infos

    for path, info in file_infos(table, paths):
        gone = info.type == fs.FileType.NotFound
        modified = info.mtime.timestamp() if info.mtime is not None else None
        yield path, None if gone else info.size or 0, bool(info.is_file), modified


@dataclass
class Deleted:
    """What deleting some files came to."""

    deleted: int = 0
    bytes: int = 0
    missing: int = 0
    failed: list[FailedFile] = field(default_factory=list)


def delete_files(table: Table, files: Sequence[MarkedFile]) -> Deleted:
    """Delete files, kind by kind in the order in which they come; one that is gone is done.

    What fails does not keep the rest: its mark stays, and names it whatever else is gone.
    """
    done = Deleted()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for kind in dict.fromkeys(file.kind for file in files):
            same = [file for file in files if file.kind == kind]
            for file, error in zip(same, pool.map(lambda one: _delete(table, one.path), same), strict=True):
                if error is None:
                    done.deleted += 1
                    done.bytes += file.bytes or 0
                elif isinstance(error, FileNotFoundError):
                    done.missing += 1
                else:
                    done.failed.append(FailedFile(file.path, first_line(error)))
    return done


def _delete(table: Table, path: str) -> Exception | None:
    """Delete one file; the error that kept it from that. Some stores say nothing where it is gone, others raise."""
    from pyarrow import fs

    filesystem, name = table.resolve(path)
    try:
        filesystem.delete_file(name)
    except FileNotFoundError as error:
        return error
    except Exception as error:  # storage libraries raise types of their own, also for what is not there
        with contextlib.suppress(Exception):
            if filesystem.get_file_info(name).type == fs.FileType.NotFound:
                return FileNotFoundError(path)
        return error
    return None
