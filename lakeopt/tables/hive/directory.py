"""A folder of ``key=value`` folders without a metastore: what it holds is all that is known of the table.

The folders above the first data file say how many partition columns there are and what they are called. Types of
partition columns are those that all values have; columns are those of a sample of footers, the newest first.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from lakeopt.errors import DataFileError, LakeoptError, Refused, UnknownName
from lakeopt.orc import footers as orc_footers
from lakeopt.parquet.footers import read_footer, sample_positions
from lakeopt.tables.hive.hive_types import hive_type
from lakeopt.tables.hive.kinds import unknown_columns
from lakeopt.tables.hive.listing import is_hidden, list_folder, relative_name
from lakeopt.tables.hive.partition_names import escape, parse_folder
from lakeopt.tables.hive.source import Column, Description, FileFormat, Partition, Storage
from lakeopt.tables.iceberg.storage import local_path

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs

#: Partitions yielded at a time.
PAGE = 1000
#: Footers that the columns are taken from.
_SAMPLE = 16
_TEXTS = (".csv", ".tsv", ".txt", ".json", ".jsonl")
_MAGIC: dict[bytes, FileFormat] = {b"PAR1": "parquet", b"ORC": "orc", b"Obj\x01": "avro"}


class DirectorySource:
    """One folder, local or in an object store. ``properties`` are those of pyiceberg's FileIO."""

    def __init__(self, location: str, properties: Mapping[str, Any] | None = None) -> None:
        self.location, self.properties = location.rstrip("/") or "/", dict(properties or {})
        self._described: Description | None = None

    def describe(self) -> Description:
        """The table as its folders and a sample of its footers show it. Its columns are read once.

        :raises UnknownName: there is no such folder, or no file in it.
        :raises Refused: its files are of no known format.
        :raises Unreachable: the storage does not answer.
        """
        if self._described is None:
            self._described = self._describe()
        return self._described

    def _describe(self) -> Description:
        filesystem, root = self.resolve(self.location)
        folders = list(self._folders(filesystem, root))
        if not folders:
            raise UnknownName("folder with data files", self.location, (), hint="name the folder that holds key=value")
        names = [tuple(key for key, _ in pairs) for pairs, _, _ in folders]
        depth = max(map(len, names))
        keys = next(one for one in names if len(one) == depth)
        values = [[pairs[i][1] for pairs, _, _ in folders if len(pairs) == depth] for i in range(depth)]
        files = [file for _, _, found in folders for file in found]
        held, columns = self._columns(filesystem, files)
        if held == "unknown":
            shown = f"{self.location}{files[0].path[len(root.rstrip('/')) :]}" if files else "it has no files"
            raise Refused(
                f"{self.location} is no table: its files are none of Parquet, ORC, Avro or text: {shown}",
                hint="name the folder that holds key=value folders, or data files alone",
            )
        own = {key.lower() for key in keys}
        columns = tuple(column for column in columns if column[0].lower() not in own)
        typed = tuple((key, _common_type(found)) for key, found in zip(keys, values, strict=True))
        refusal = _refusal(held, columns, {tuple(k.lower() for k in one) for one in names})
        return Description(
            name=self.location.rpartition("/")[2],
            uuid=str(uuid.uuid5(uuid.NAMESPACE_URL, f"hive-directory:{self.location}")),
            storage=Storage(self.location, columns, held),
            partition_columns=typed,
            parameters={},
            managed=False,
            refusal=refusal,
            unreadable=refusal,
        )

    def partitions(self, wanted: Sequence[tuple[str | None, ...]] | None = None) -> Iterator[list[Partition]]:
        """All partitions page by page, or those with these values (one that is gone is left out)."""
        described = self.describe()
        filesystem, root = self.resolve(self.location)
        keys = [name for name, _ in described.partition_columns]
        page: list[Partition] = []
        for pairs, path, _ in self._folders(filesystem, root):
            if len(pairs) != len(keys):
                continue  # the description refuses such a table
            values = tuple(value for _, value in pairs)
            if wanted is None or values in wanted:
                location = self.location + path[len(root.rstrip("/")) :]
                page.append(
                    Partition(values, Storage(location, described.storage.columns, described.storage.file_format))
                )
            if len(page) == PAGE:
                yield page
                page = []
        if page:
            yield page

    def _folders(
        self, filesystem: fs.FileSystem, root: str, pairs: tuple[tuple[str, str | None], ...] = ()
    ) -> Iterator[tuple[tuple[tuple[str, str | None], ...], str, list[fs.FileInfo]]]:
        """Folders that are partitions: keys and values, path, and the visible files directly in it."""
        entries = list_folder(filesystem, root, recursive=False)
        shown = [one for one in entries if not is_hidden(relative_name(one, root))]
        below = [(one, parse_folder(relative_name(one, root))) for one in shown if not one.is_file]
        partitions = sorted(((one.path, pair) for one, pair in below if pair is not None), key=lambda found: found[0])
        files = [one for one in shown if one.is_file]
        if files or (pairs and not partitions):
            yield pairs, root, files
        for path, pair in partitions:
            yield from self._folders(filesystem, path, (*pairs, pair))

    def _columns(
        self, filesystem: fs.FileSystem, files: Sequence[fs.FileInfo]
    ) -> tuple[FileFormat, tuple[Column, ...]]:
        """Format of most, and the columns of a sample: those of the newest file first, then what others have more."""
        full = sorted((one for one in files if one.size), key=lambda one: (one.mtime_ns or 0, one.path), reverse=True)
        if not full:
            return "unknown", ()
        sampled = [full[at] for at in sample_positions(len(full), _SAMPLE)]
        formats = [_format(filesystem, one) for one in sampled]
        held = Counter(formats).most_common(1)[0][0]  # of as many the one that was met first, in the newest file
        if held not in ("parquet", "orc"):
            return held, ()
        found: dict[str, Column] = {}
        problem: LakeoptError | None = None
        for one, own in zip(sampled, formats, strict=True):
            if own != held:
                continue
            try:
                schema = _schema(held, one.path, lambda path: (filesystem, path))
            except DataFileError as error:
                problem = error
                continue
            for field in schema:
                found.setdefault(field.name.lower(), (field.name, hive_type(field.type)))
        if not found and problem is not None:
            raise problem
        return held, tuple(found.values())

    def refreshed(self) -> DirectorySource:
        """The same folder, whose columns are read anew."""
        return DirectorySource(self.location, self.properties)

    def resolve(self, location: str) -> tuple[fs.FileSystem, str]:
        """File system and path of a location, with the properties of the default catalog."""
        from pyiceberg.io import load_file_io

        from lakeopt.tables.iceberg import storage

        if (path := local_path(location)) is not None:
            from pyarrow import fs

            return fs.LocalFileSystem(), path
        return storage.resolve(load_file_io(self.properties, location), location)


def _schema(held: FileFormat, path: str, resolve: Any) -> pa.Schema:
    if held == "orc":
        return orc_footers.read_footer(path, resolve).schema
    return read_footer(path, resolve).schema.to_arrow_schema()


def _format(filesystem: fs.FileSystem, info: fs.FileInfo) -> FileFormat:
    """Format of a file by its first bytes; text by its name alone."""
    with filesystem.open_input_file(info.path) as source:
        head = source.read(4)
    for magic, held in _MAGIC.items():
        if head.startswith(magic):
            return held
    return "text" if info.path.lower().removesuffix(".gz").endswith(_TEXTS) else "unknown"


def _common_type(values: Sequence[str | None]) -> str:
    """The type that all values have as they are spelt: a whole number without leading zeros, a day, or text."""
    known = [value for value in values if value is not None]
    if known and all(re.fullmatch(r"0|-?[1-9][0-9]{0,17}", value) for value in known):
        return "int" if all(abs(int(value)) < 1 << 31 for value in known) else "bigint"
    return "date" if known and all(map(_is_day, known)) else "string"


def _is_day(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", text)) and date.fromisoformat(text) is not None
    except ValueError:
        return False


def _refusal(held: FileFormat, columns: Sequence[Column], names: set[tuple[str, ...]]) -> str | None:
    if len(names) > 1:
        shown = " and ".join(sorted("/".join(map(escape, one)) or "no keys" for one in names)[:3])
        return f"its folders have different partition columns: {shown}"
    if held not in ("parquet", "orc"):
        return f"its files are {held}, which is listed and not rewritten"
    return unknown_columns(columns)
