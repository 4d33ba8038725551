"""The folder of a table: where it really is, and which locations of the metadata lie in it under which path."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from lakeopt.errors import Refused
from lakeopt.tables.base import Table
from lakeopt.tables.iceberg.deletion.location_keys import location_key, location_keys

_SPLIT = r"(?s)^(?P<parent>.*)/(?P<name>[^/]*)$"


@dataclass
class Folder:
    """A location and its path on the store. Local paths are the real ones: links in them are resolved."""

    location: str
    filesystem: fs.FileSystem
    path: str
    key: tuple[str, str, str]
    _real: dict[str, str] = field(default_factory=dict)

    @property
    def local(self) -> bool:
        """Whether it lies in this machine's own file system."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def at(self, relative: str) -> str:
        """Path on the store of a path below the folder."""
        return f"{self.path}/{relative}"

    def spelt(self, relative: str) -> str:
        """Location of a path below the folder, spelt as the table spells its own.

        >>> Folder("s3a://b/t/", fs.LocalFileSystem(), "b/t", ("s3", "b", "/t")).spelt("data/a")
        's3a://b/t/data/a'
        """
        return f"{self.location.rstrip('/')}/{relative}"

    def inside(self, locations: pa.Array | pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.Table]:
        """Which locations lie in the folder: their paths below it; and those that would by their path alone.

        The second has the columns ``path`` and ``location``: their scheme or authority is another one.
        """
        column = locations if isinstance(locations, pa.ChunkedArray) else pa.chunked_array([locations], pa.string())
        scheme, authority, root = self.key
        keys = location_keys(column)
        same = pc.and_(pc.equal(keys["scheme"], scheme), pc.equal(keys["authority"], authority))
        paths = self._real_paths(keys["path"]) if self.local else keys["path"]
        below = pc.starts_with(paths, f"{root}/")
        own = pc.utf8_slice_codeunits(paths.filter(pc.and_(same, below)), len(root) + 1)
        foreign = pc.and_(pc.invert(same), below)
        other = pc.utf8_slice_codeunits(paths.filter(foreign), len(root) + 1)
        return own, pa.table({"path": other, "location": column.filter(foreign)})

    def linked(self, links: list[str]) -> pa.Array:
        """Paths below the folder of what links in it lead to; those that lead elsewhere have none."""
        targets = (os.path.realpath(self.at(link)) for link in links)
        start = f"{self.path}/"
        return pa.array([path[len(start) :] for path in targets if path.startswith(start)], pa.string())

    def _real_paths(self, paths: pa.ChunkedArray) -> pa.ChunkedArray:
        """Paths with the links in their folders resolved; each folder is asked for once."""
        parts = pc.extract_regex(paths, _SPLIT)
        parents = pc.dictionary_encode(pc.struct_field(parts, "parent")).unify_dictionaries()
        real = []
        for chunk in parents.chunks:
            named = pa.array([self._real_folder(one) for one in chunk.dictionary.to_pylist()], pa.string())
            real.append(named.take(chunk.indices))
        folders = pa.chunked_array(real, pa.string())
        return pc.binary_join_element_wise(folders, pc.struct_field(parts, "name"), "/")

    def _real_folder(self, path: str) -> str:
        if path not in self._real:
            self._real[path] = os.path.realpath(path or "/").rstrip("/")
        return self._real[path]


def table_folder(table: Table) -> Folder:
    """The folder of a table's location.

    :raises Refused: the store reads another path out of the location than is written there.
    """
    location = table.location
    filesystem, path = table.resolve(location)
    scheme, authority, spelt = location_key(location)
    if isinstance(filesystem, fs.LocalFileSystem):
        path = os.path.realpath(path)
        return Folder(location, filesystem, path.rstrip("/"), (scheme, authority, path.rstrip("/")))
    path = path.rstrip("/")
    if path not in (f"{authority}{spelt}", spelt):
        raise Refused(
            f"the location {location} is not listed: the store takes it for {path}",
            hint="a location with ? or # or a % sign in it cannot be told apart safely",
        )
    return Folder(location, filesystem, path, (scheme, authority, spelt))
