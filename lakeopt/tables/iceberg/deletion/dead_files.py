"""Files that only expired snapshots name: what nothing reaches once they are gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.snapshots import Snapshot

from lakeopt.errors import Unreachable
from lakeopt.tables.base import Table
from lakeopt.tables.iceberg.commits.writable import pyiceberg_table
from lakeopt.tables.iceberg.deletion.location_keys import location_keys
from lakeopt.tables.iceberg.deletion.reachable import (
    NAMED,
    files_of,
    manifest_rows,
    reachable_files,
    statistics_rows,
)
from lakeopt.tables.iceberg.metadata.manifest_lists import History, read_history

#: Files whose existence is asked for at a time.
_CHUNK = 1000
#: How several rows of one file become one.
_AGGREGATES = {"file_path": "first", "kind": "first", "bytes": "max", "live": "any"}


@dataclass(frozen=True)
class Survey:
    """What would be dead without some snapshots, read before they go, so that what cannot be read is known by then.

    ``dead`` is as of :func:`dead_files`. ``kept`` are the snapshots that are to stay, ``manifests`` those of theirs:
    none of them reaches a dead file. ``statistics`` are the statistics files of the snapshots that go.
    """

    snapshot_ids: frozenset[int]
    dead: pa.Table
    kept: frozenset[int]
    manifests: frozenset[str]
    statistics: frozenset[str]

    def holds(self, before: Table, snapshot_ids: Iterable[int], after: Table) -> bool:
        """Whether the same snapshots went, and all are there that were to stay."""
        old, new = pyiceberg_table(before), pyiceberg_table(after)
        return (
            self.snapshot_ids == frozenset(snapshot_ids)
            and self.kept <= {one.snapshot_id for one in new.metadata.snapshots}
            and self.statistics == _statistics(old, self.snapshot_ids)
        )


def survey(before: Table, snapshot_ids: Iterable[int], after: Table | None = None) -> Survey:
    """Read what tells which files die with these snapshots of ``before``; see :func:`dead_files`.

    :raises DataFileError: a manifest list or a manifest is missing or damaged.
    :raises Unreachable: the storage does not answer.
    """
    old, new = pyiceberg_table(before), pyiceberg_table(before if after is None else after)
    gone = frozenset(snapshot_ids)
    kept = [snapshot for snapshot in new.metadata.snapshots if snapshot.snapshot_id not in gone]
    expired = read_history(old.io, [one for one in old.metadata.snapshots if one.snapshot_id in gone])
    retained = read_history(old.io, kept)
    named = _distinct([manifest_rows(expired), statistics_rows(old, gone), *_entries(old, expired, retained)])
    dead = (
        named if named.num_rows == 0 else unreached(named, reachable_files(*_without(new, gone), files=_files(named)))
    )
    return Survey(
        gone,
        _existing(before, dead).select(["file_path", "kind", "bytes"]),
        frozenset(one.snapshot_id for one in kept),
        frozenset(retained.manifests),
        _statistics(old, gone),
    )


def dead_files(
    before: Table, snapshot_ids: Iterable[int], after: Table | None = None, surveyed: Survey | None = None
) -> pa.Table:
    """Files that these snapshots of ``before`` name and nothing of ``after`` reaches: path, kind, size in bytes.

    ``after`` is the table without those snapshots; where it is not yet, ``before`` stands for it without them.
    What a snapshot names are its manifest list, manifests, statistics and all files of its manifests, those too that
    an entry only says to be deleted: such a file was live in a snapshot that is gone. Those that are no longer there
    are left out, since a sweep had them. Where a survey holds, only what ``after`` has more than it is read.

    :raises DataFileError: a manifest list or a manifest is missing or damaged.
    :raises Unreachable: the storage does not answer.
    """
    gone = set(snapshot_ids)
    if surveyed is None or after is None or not surveyed.holds(before, gone, after):
        return survey(before, gone, after).dead
    dead = surveyed.dead
    table, kept = _without(pyiceberg_table(after), gone)
    fresh = [snapshot for snapshot in kept if snapshot.snapshot_id not in surveyed.kept]
    return unreached(dead, reachable_files(table, fresh, files=_files(dead), known=surveyed.manifests))


def _without(table: Iceberg, gone: Set[int]) -> tuple[Iceberg, list[Snapshot]]:
    """The table without the statistics of some snapshots, and its other snapshots."""
    metadata = table.metadata
    still = metadata.model_copy(
        update={
            "statistics": [one for one in metadata.statistics if one.snapshot_id not in gone],
            "partition_statistics": [one for one in metadata.partition_statistics if one.snapshot_id not in gone],
        }
    )
    kept = [snapshot for snapshot in metadata.snapshots if snapshot.snapshot_id not in gone]
    return Iceberg(table.name(), still, table.metadata_location, table.io, table.catalog), kept


def _statistics(table: Iceberg, snapshot_ids: Set[int]) -> frozenset[str]:
    return frozenset(statistics_rows(table, snapshot_ids)["file_path"].to_pylist())


def _files(named: pa.Table) -> bool:
    """Whether data or delete files are among them: if none are, no manifest has to be opened."""
    return bool(pc.any(pc.is_in(named["kind"], pa.array(["data", "delete"]))).as_py())


def unreached(files: pa.Table, reachable: Iterable[pa.Table]) -> pa.Table:
    """Rows of ``files`` (with ``file_path``) that no table of ``reachable`` names, however it spells the location."""
    own = path_keys(files["file_path"])
    seen = pa.concat_tables([pa.table({"key": own}).slice(0, 0), *_met(own, reachable)])
    return files.filter(pc.invert(pc.is_in(own, seen["key"])))


def path_keys(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    """One text for all spellings of a location."""
    keys = location_keys(paths)
    return pc.binary_join_element_wise(keys["scheme"], keys["authority"], keys["path"], "\0")


def _met(own: pa.ChunkedArray, reachable: Iterable[pa.Table]) -> Iterator[pa.Table]:
    for part in reachable:
        keys = path_keys(part["file_path"])
        yield pa.table({"key": keys}).filter(pc.is_in(keys, own))


def _entries(old: Iceberg, expired: History, retained: History) -> Iterator[pa.Table]:
    """Files of the manifests that only expired snapshots list; what the others hold live is reachable anyway."""
    alone = (manifest for path, manifest in expired.manifests.items() if path not in retained.manifests)
    return files_of(old.io, alone)


def _distinct(parts: Sequence[pa.Table]) -> pa.Table:
    """One row a file: live where one of its rows is, with the largest size that is stated."""
    every = pa.concat_tables([NAMED.empty_table(), *parts])
    every = every.append_column("key", path_keys(every["file_path"]))
    grouped = every.group_by("key", use_threads=False).aggregate(list(_AGGREGATES.items()))
    return pa.table({name: grouped[f"{name}_{how}"] for name, how in _AGGREGATES.items()})


def _existing(table: Table, files: pa.Table) -> pa.Table:
    """Without the files that are named as deleted only, and are not there any more."""
    doubtful = files.filter(pc.invert(files["live"]))["file_path"].to_pylist()
    missing = [path for path, info in file_infos(table, doubtful) if info.type == fs.FileType.NotFound]
    return files.filter(pc.invert(pc.is_in(files["file_path"], pa.array(missing, pa.string()))))


def file_infos(table: Table, paths: Sequence[str]) -> Iterator[tuple[str, fs.FileInfo]]:
    """What the store says about each file: its form, size and time.

    :raises Unreachable: the storage does not answer.
    """
    for start in range(0, len(paths), _CHUNK):
        chunk = paths[start : start + _CHUNK]
        resolved = [table.resolve(path) for path in chunk]
        try:
            if len({id(filesystem) for filesystem, _ in resolved}) == 1:
                infos = resolved[0][0].get_file_info([path for _, path in resolved])
            else:
                infos = [filesystem.get_file_info([path])[0] for filesystem, path in resolved]
        except OSError as error:
            raise Unreachable(f"storage cannot be asked about {chunk[0]}: {error}", hint="try again later") from error
        yield from zip(chunk, infos, strict=True)
