"""Which partitions a rewrite takes: whole ones that nothing speaks against; the rest is skipped with the reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow.fs import LocalFileSystem

from lakeopt.errors import Refused
from lakeopt.model.plan import FileGroup, PartitionSwitch, PlannedFile, SkippedGroup
from lakeopt.tables.hive import meaning
from lakeopt.tables.hive.listing import description_digest
from lakeopt.tables.hive.neighbours import shared_with
from lakeopt.tables.hive.source import Partition
from lakeopt.tables.hive.switch.folders import look

if TYPE_CHECKING:
    from lakeopt.tables.hive.contents import Place
    from lakeopt.tables.hive.table import HiveTable

Groups = tuple[tuple[FileGroup, ...], tuple[SkippedGroup, ...]]


def admit(table: HiveTable, groups: Sequence[FileGroup], skipped: Sequence[SkippedGroup]) -> Groups:
    """One group a partition that any of these groups touches, with all its files, in the order of the groups.

    What the strategy left of a partition that is taken is no longer skipped.

    :raises Unreachable: metastore or storage does not answer.
    """
    lists, places = table.file_lists, table.contents.places
    shared = shared_with(table) if groups else None
    touched: dict[int, list[FileGroup]] = defaultdict(list)
    for group in groups:
        for number in {lists.place_of[file.path]: None for file in group.data_files}:
            touched[number].append(group)
    described = {one.values: one for page in _described(table, touched) for one in page}
    files = lists.of_places(list(touched))
    by_place = _by_place(table, files)
    made: list[FileGroup] = []
    left: list[SkippedGroup] = []
    for number, own in touched.items():
        planned = tuple(by_place[number])
        now = described.get(places[number].values)
        switch = shared or _reason(table, number, planned, now) or _switch(table, places[number], now)
        text = lists.partitions[number].text
        if isinstance(switch, str):
            left.append(SkippedGroup(text, switch, len(planned), sum(file.bytes for file in planned)))
        else:
            made.append(_group(len(made), text, planned, own, switch))
    taken = {group.partition for group in made}
    return tuple(made), (*(one for one in skipped if one.partition not in taken), *left)


def require_readable(table: HiveTable, files: pa.Table, *, stored_only: bool) -> None:
    """Refuse to read rows that are not those of the table.

    :raises Refused: they are not kept in its files, or which partition a file's rows belong to is not one thing.
    """
    if (reason := table.unreadable) is not None:
        raise Refused(
            f"rows of {table.identifier} cannot be read: {reason}", hint="name a table of Parquet or ORC files"
        )
    if stored_only or not table.partition_columns:
        return
    paths = files["file_path"].to_pylist()
    if len(set(paths)) < len(paths):
        twice = next(path for path, count in Counter(paths).items() if count > 1)
        raise Refused(
            f"rows of {table.identifier} cannot be read with their partitions: two of them have {twice}",
            hint="let each partition lie in a folder of its own; lakeopt inspect names those that do not",
        )


def _described(table: HiveTable, touched: Sequence[int] | dict[int, list[FileGroup]]) -> Iterator[list[Partition]]:
    places = table.contents.places
    return table.source.partitions([places[number].values for number in touched]) if touched else iter(())


def _by_place(table: HiveTable, files: pa.Table) -> dict[int, list[PlannedFile]]:
    """Files of each place, in the order in which they arrived."""
    found: dict[int, list[tuple[int, PlannedFile]]] = defaultdict(list)
    names = ("file_path", "file_size_in_bytes", "record_count", "data_sequence_number")
    for path, size, rows, arrived in zip(*(files[name].to_pylist() for name in names), strict=True):
        found[table.file_lists.place_of[path]].append((arrived, PlannedFile(path, size, rows)))
    ordered = {number: sorted(own, key=lambda one: (one[0], one[1].path)) for number, own in found.items()}
    return {number: [file for _, file in own] for number, own in ordered.items()}


def _reason(table: HiveTable, number: int, files: Sequence[PlannedFile], now: Partition | None) -> str | None:
    """Why a partition is left alone; None where it can be rewritten."""
    place, lists = table.contents.places[number], table.file_lists
    if table.contents.staging:
        return f"another writer is at work in the table's folder: {table.contents.staging[0]}"
    if lists.partitions[number].reason is not None:
        return lists.partitions[number].reason
    if place.reasons:
        return place.reasons[0]
    if now is None or (now.storage.location, now.storage.columns) != (place.location, place.columns):
        return "it was altered while the plan was made"
    broken = next((lists.problems[file.path] for file in files if file.path in lists.problems), None)
    broken = broken or next((why for file in files if (why := lists.unlike(file.path)) is not None), None)
    if broken is not None:
        return broken
    held = table.description.storage.file_format
    return meaning.reason([file.path for file in files], held, table.stored_schema, table.resolve)


def _switch(table: HiveTable, place: Place, now: Partition | None) -> PartitionSwitch | str:
    """What must still hold when a partition is switched, by the tags of an object store too; or that it changed."""
    assert now is not None
    seen = None if isinstance(table.resolve(place.location)[0], LocalFileSystem) else look(table, place.location)
    if seen is not None and seen.digest != place.listing:
        return "its files changed while the plan was made"
    listing = place.listing if seen is None else seen.exact_digest
    return PartitionSwitch(place.values, place.location, listing, description_digest(now))


def _group(
    number: int, text: str, files: tuple[PlannedFile, ...], own: Sequence[FileGroup], switch: PartitionSwitch
) -> FileGroup:
    shares = [group.across for group in own if group.across is not None]
    return FileGroup(
        group_id=number,
        spec_id=0,
        partition=text,
        file_count=len(files),
        bytes=sum(file.bytes for file in files),
        record_count=sum(file.record_count for file in files),
        data_files=files,
        arrival_bytes=sum(group.arrival_bytes for group in own),
        across=max(shares, default=None),
        switch=switch,
    )
