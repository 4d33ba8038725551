"""Everything that lies in the folders of a Hive table at one moment, and what of it is not as it should be."""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakeopt.parquet.threads import ahead, each
from lakeopt.tables.hive.listing import (
    is_hidden,
    is_staging,
    list_folder,
    listing_digest,
    relative_name,
    staging,
)
from lakeopt.tables.hive.source import Column, FileFormat, Partition
from lakeopt.tables.iceberg.deletion.location_keys import lies_in, location_key

if TYPE_CHECKING:
    from pyarrow import fs

Resolve = Callable[[str], "tuple[fs.FileSystem, str]"]
#: As :func:`lakeopt.tables.iceberg.deletion.location_keys.location_key` makes it.
Key = tuple[str, str, str]
#: Folders listed at a time: the wait is on storage.
_AT_ONCE = 16
#: File names kept as examples of what is odd.
_EXAMPLES = 10

#: How the reason begins for which a partition is left alone that another writer is at.
AT_WORK = "another writer is at work in it"


@dataclass(frozen=True, slots=True)
class Place:
    """One partition with its folder. Its files are ``first`` … ``last`` (without) of :class:`Contents`.

    ``reasons`` say why a rewrite leaves it alone, ``listing`` is the digest of all that lies in the folder.
    """

    values: tuple[str | None, ...]
    location: str
    columns: tuple[Column, ...]
    file_format: FileFormat
    listing: str
    first: int
    last: int
    reasons: tuple[str, ...] = ()


@dataclass
class Contents:
    """Partitions of a table, and their files in arrays: location, bytes, and time in nanoseconds since 1970.

    ``oddities`` has by code what is odd: how many, and a few examples.
    """

    places: list[Place] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("q"))
    times: array[int] = field(default_factory=lambda: array("q"))
    oddities: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    staging: tuple[str, ...] = ()

    def digest(self) -> int | None:
        """Positive 63-bit digest of all files with their partitions, sizes and times; None without files."""
        if not self.paths:
            return None
        told = hashlib.sha256()
        for place in sorted(self.places, key=lambda one: (one.location, str(one.values))):
            told.update(repr((place.values, place.location)).encode("utf-8", "surrogatepass"))
            files = sorted((self.paths[i], self.sizes[i], self.times[i]) for i in range(place.first, place.last))
            told.update(repr(files).encode("utf-8", "surrogatepass"))
        return int.from_bytes(told.digest()[:8], "big") >> 1 or 1

    def note(self, code: str, examples: Iterable[str], *, times: int = 1) -> None:
        """Count something odd, each example so many times, and keep the first examples."""
        count, kept = self.oddities.get(code, (0, ()))
        for example in examples:
            count += times
            kept = (*kept, example) if len(kept) < _EXAMPLES else kept
        if count:
            self.oddities[code] = count, kept


@dataclass(frozen=True, slots=True)
class _Folder:
    """What one look into a partition's folder found: visible files, why it is left alone, what is odd."""

    files: tuple[tuple[str, int, int], ...]
    listing: str
    reasons: tuple[str, ...]
    oddities: Mapping[str, Sequence[str]]


def read_contents(
    pages: Iterable[Sequence[Partition]], root: str, table_format: FileFormat, resolve: Resolve, *, registered: bool
) -> Contents:
    """List the folders of all partitions. ``registered``: a metastore says which there are; there may be others.

    :raises Unreachable: the storage does not answer.
    """
    found = Contents()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for page in ahead(pages):
            looked = each(pool, lambda one: _look(one, root, table_format, resolve), page)
            for partition, folder in zip(page, looked, strict=True):
                _add(found, partition, folder)
    keys = [location_key(place.location) for place in found.places]
    _mark_shared(found, keys)
    if registered:
        _note_strays(found, set(keys), root, resolve)
    filesystem, path = resolve(root)
    names = (relative_name(one, path) for one in list_folder(filesystem, path, recursive=False) if not one.is_file)
    found.staging = tuple(sorted(name for name in names if is_staging(name)))
    return found


def _add(found: Contents, partition: Partition, folder: _Folder) -> None:
    first = len(found.paths)
    for path, size, moment in folder.files:
        found.paths.append(path)
        found.sizes.append(size)
        found.times.append(moment)
    for code, examples in folder.oddities.items():
        found.note(code, examples)
    storage = partition.storage
    found.places.append(
        Place(
            partition.values,
            storage.location,
            storage.columns,
            storage.file_format,
            folder.listing,
            first,
            len(found.paths),
            folder.reasons,
        )
    )


def _look(partition: Partition, root: str, table_format: FileFormat, resolve: Resolve) -> _Folder:
    location = partition.storage.location.rstrip("/")
    if not location:
        return _Folder((), listing_digest((), ""), ("the metastore names no folder",), {"no-folder": ["-"]})
    filesystem, path = resolve(location)
    infos = list_folder(filesystem, path)
    files, nested, empty, foreign = [], [], [], []
    for info in infos:
        name = relative_name(info, path)
        if not info.is_file or any(map(is_hidden, name.split("/"))):
            continue
        if "/" in name:
            nested.append(f"{location}/{name}")
            continue
        files.append((f"{location}/{name}", info.size or 0, info.mtime_ns or 0))
        if not info.size:
            empty.append(f"{location}/{name}")
        if _is_foreign(name, table_format):
            foreign.append(f"{location}/{name}")
    begun = list(staging(infos, path))
    reasons, odd = [], {"nested-files": nested, "empty-files": empty, "foreign-names": foreign}
    if begun:
        reasons.append(f"{AT_WORK}: {begun[0]}")
    if nested:
        reasons.append(f"files lie in folders below it: {nested[0]}")
    if empty:
        reasons.append(f"a file has no bytes: {empty[0]}")
    if foreign:
        reasons.append(f"a file is named as of another format: {foreign[0]}")
    if partition.storage.file_format != table_format:
        reasons.append(f"its format is {partition.storage.file_format}, the table's {table_format}")
        odd["foreign-partitions"] = [location]
    if not lies_in(location, root):
        reasons.append(f"it lies outside the table's folder: {location}")
        odd["outside-partitions"] = [location]
    if not infos and partition.values and not _exists(filesystem, path):
        odd["missing-folders"] = [location]
    files.sort()
    return _Folder(tuple(files), listing_digest(infos, path), tuple(reasons), odd)


def _is_foreign(name: str, held: FileFormat) -> bool:
    """Whether a file's name says another format than its table's."""
    told = {
        "parquet": (".orc", ".avro", ".csv", ".json", ".txt"),
        "orc": (".parquet", ".avro", ".csv", ".json", ".txt"),
    }
    return name.lower().endswith(told.get(held, ()))


def _exists(filesystem: fs.FileSystem, path: str) -> bool:
    from pyarrow import fs

    return bool(filesystem.get_file_info(path).type != fs.FileType.NotFound)


def _mark_shared(found: Contents, keys: Sequence[Key]) -> None:
    """Partitions of one folder, or of one inside another: what replaces the files of one replaces those of both."""
    from dataclasses import replace

    at: dict[Key, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        at[key].append(index)
    for key, indices in at.items():
        inside = next((above for above in _above(key) if above in at), None)
        reason = None
        if len(indices) > 1:
            reason = f"{len(indices)} partitions lie in {found.places[indices[0]].location}"
            found.note("shared-folders", [found.places[indices[0]].location])
        elif inside is not None:
            reason = f"it lies inside the folder of another partition: {inside[2]}"
            found.note("shared-folders", [found.places[indices[0]].location])
        if reason is not None:
            for index in indices:
                found.places[index] = replace(found.places[index], reasons=(*found.places[index].reasons, reason))


def _above(key: Key) -> Iterator[Key]:
    scheme, authority, path = key
    while "/" in path:
        path = path.rpartition("/")[0]
        yield scheme, authority, path


def _note_strays(found: Contents, keys: set[Key], root: str, resolve: Resolve) -> None:
    """Folders and files below the table's folder that no partition names: readers of the table do not see them."""
    if location_key(root) in keys:
        return
    leads = {above for key in keys for above in _above(key)} | {location_key(root)}
    todo = [root.rstrip("/")]
    while todo:
        folder = todo.pop()
        scheme, authority, above = location_key(folder)
        filesystem, path = resolve(folder)
        for info in list_folder(filesystem, path, recursive=False):
            name = relative_name(info, path)
            if is_hidden(name):
                continue
            key = scheme, authority, f"{above}/{name}"
            if info.is_file:
                found.note("stray-files", [f"{folder}/{name}"])
            elif key in leads and key not in keys:
                todo.append(f"{folder}/{name}")
            elif key not in keys and any(one.is_file for one in list_folder(filesystem, info.path)):
                found.note("unregistered-folders", [f"{folder}/{name}"])
