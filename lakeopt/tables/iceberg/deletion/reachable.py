"""Which files a table can reach, and which files its snapshots name: the two sides of every deletion.

What cannot be read is never taken for empty: a manifest that is missing or damaged is an error, since a file that
nobody sees would count as one that nobody needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from itertools import islice

import pyarrow as pa
from pyiceberg.io import FileIO
from pyiceberg.manifest import ManifestEntryStatus, ManifestFile
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.snapshots import Snapshot

from lakeopt.errors import DataFileError
from lakeopt.tables.iceberg.metadata.avro import read_paths
from lakeopt.tables.iceberg.metadata.manifest_lists import History, contents, read_history

#: One row a file; ``kind`` is data, delete, manifest, manifest-list, metadata, statistics or version-hint.
REACHABLE = pa.schema([("file_path", pa.string()), ("kind", pa.string())])
#: As ``REACHABLE``, of what snapshots name: with its size where it is stated, and whether an entry says it is live.
NAMED = pa.schema([*REACHABLE, ("bytes", pa.int64()), ("live", pa.bool_())])

#: Entries decoded at a time: Python objects of one chunk are gone before the next is read.
_CHUNK = 8192


def reachable_files(
    iceberg: Iceberg,
    snapshots: Iterable[Snapshot] | None = None,
    *,
    files: bool = True,
    known: Set[str] = frozenset(),
) -> Iterator[pa.Table]:
    """Every file that the table's metadata can reach (:data:`REACHABLE`), some thousand at a time, bounded.

    That is: the metadata file itself, those of its log and the version hint; all statistics; and, of ``snapshots``
    (all of the metadata: those of every ref, and staged ones), manifest lists, manifests and live files. A file may
    be named more than once. Without ``files``, manifests are named and not opened, and so are those that are ``known``.

    :raises DataFileError: a manifest list or a manifest is missing or damaged.
    :raises Unreachable: the storage does not answer.
    """
    metadata = iceberg.metadata
    yield _rows(metadata_files(iceberg), "metadata").select(REACHABLE.names)
    yield _rows([f"{metadata.location.rstrip('/')}/metadata/version-hint.text"], "version-hint").select(REACHABLE.names)
    statistics = [one.statistics_path for one in (*metadata.statistics, *metadata.partition_statistics)]
    yield _rows(statistics, "statistics").select(REACHABLE.names)
    history = read_history(iceberg.io, metadata.snapshots if snapshots is None else snapshots)
    yield _rows(list(history.list_bytes), "manifest-list").select(REACHABLE.names)
    yield _rows(list(history.manifests), "manifest").select(REACHABLE.names)
    if not files:
        return
    for chunk in files_of(iceberg.io, (one for path, one in history.manifests.items() if path not in known)):
        yield chunk.filter(chunk["live"]).select(REACHABLE.names)


def metadata_files(iceberg: Iceberg) -> list[str]:
    """The table's metadata file and those of its log."""
    return [iceberg.metadata_location, *(entry.metadata_file for entry in iceberg.metadata.metadata_log)]


def manifest_rows(history: History) -> pa.Table:
    """Manifest lists and manifests of a history, with their sizes (:data:`NAMED`)."""
    manifests = history.manifests
    sizes = [manifest.manifest_length for manifest in manifests.values()]
    lists = _rows(list(history.list_bytes), "manifest-list", list(history.list_bytes.values()))
    return pa.concat_tables([lists, _rows(list(manifests), "manifest", sizes)])


def statistics_rows(iceberg: Iceberg, snapshot_ids: Set[int]) -> pa.Table:
    """Statistics and partition statistics of some snapshots (:data:`NAMED`)."""
    metadata = iceberg.metadata
    found = [one for one in (*metadata.statistics, *metadata.partition_statistics) if one.snapshot_id in snapshot_ids]
    return _rows([one.statistics_path for one in found], "statistics", [one.file_size_in_bytes for one in found])


def files_of(io: FileIO, manifests: Iterable[ManifestFile]) -> Iterator[pa.Table]:
    """All files that manifests name, deleted ones too (:data:`NAMED`), some thousand at a time.

    :raises DataFileError: a manifest is missing, damaged, or shorter than the manifest list says.
    """
    by_path = {manifest.manifest_path: manifest for manifest in manifests}
    waiting, rows = [NAMED.empty_table()], 0
    for location, content in contents(io, by_path, "manifest"):
        for part in _files_of(by_path[location], content):
            waiting.append(part)
            rows += part.num_rows
        if rows >= _CHUNK:
            yield pa.concat_tables(waiting)
            waiting, rows = [NAMED.empty_table()], 0
    yield pa.concat_tables(waiting)


def _files_of(manifest: ManifestFile, content: bytes) -> Iterator[pa.Table]:
    entries = read_paths(content, manifest.manifest_path)
    live = 0
    while chunk := list(islice(entries, _CHUNK)):
        states, forms, paths, sizes = zip(*chunk, strict=True)
        alive = [state != ManifestEntryStatus.DELETED for state in states]
        live += sum(alive)
        kinds = ["delete" if form else "data" for form in forms]
        yield pa.table([paths, kinds, sizes, alive], schema=NAMED)
    stated = (manifest.added_files_count or 0) + (manifest.existing_files_count or 0)
    if live < stated:
        raise DataFileError(
            f"manifest is damaged: {manifest.manifest_path}: {live} live files where {stated} are stated",
            hint="restore the file, or roll the table back",
        )


def _rows(paths: list[str], kind: str, sizes: list[int] | None = None) -> pa.Table:
    count = len(paths)
    stated = pa.nulls(count, pa.int64()) if sizes is None else pa.array(sizes, pa.int64())
    return pa.table([paths, [kind] * count, stated, [True] * count], schema=NAMED)
