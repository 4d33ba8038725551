"""What a table reaches below its folder, followed from one state of its metadata to the next."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyiceberg.table import StaticTable

from lakeopt.errors import DataFileError, Refused, StalePlan
from lakeopt.tables.base import Table
from lakeopt.tables.iceberg.deletion.folder import Folder
from lakeopt.tables.iceberg.deletion.reachable import metadata_files, reachable_files
from lakeopt.tables.iceberg.table import IcebergTable

#: Files whose place is looked at, to see that metadata and listing speak of the same folder.
_PROBES = 8


class Reach:
    """Paths below a folder that a table reaches. Of each state of the metadata only what is new is read."""

    def __init__(self, table: Table, folder: Folder) -> None:
        self.table = iceberg_table(table)
        self.folder = folder
        self._seen: set[int] = set()
        self._metadata: str | None = None
        self.elsewhere: list[pa.Table] = []

    def advance(self) -> Iterator[pa.ChunkedArray]:
        """Load the table anew and yield what it reaches that was not yielded before: nothing, if nothing happened.

        Files of the folder's path under another scheme or authority are gathered in ``elsewhere``.

        :raises StalePlan: there is another table under the name, or it has another location.
        :raises DataFileError: a manifest is missing or damaged.
        """
        fresh = iceberg_table(self.table.refresh())
        if (fresh.uuid, fresh.location) != (self.table.uuid, self.table.location):
            raise StalePlan(f"{self.table.identifier} is another table now, or has another location")
        self.table = fresh
        iceberg = fresh.iceberg
        if iceberg.metadata_location == self._metadata:
            return
        new = [one for one in iceberg.metadata.snapshots if one.snapshot_id not in self._seen]
        for batch in reachable_files(iceberg, new):
            own, elsewhere = self.folder.inside(batch["file_path"])
            if elsewhere.num_rows:
                self.elsewhere.append(elsewhere)
            if len(own):
                yield own
        self._seen.update(one.snapshot_id for one in new)
        self._metadata = iceberg.metadata_location

    def require_same_spelling(self) -> None:
        """Check that a few files of the table really are where the listing would find them.

        :raises Refused: one is known to the store by the metadata's spelling and not by the listing's.
        :raises DataFileError: one is missing.
        """
        iceberg = self.table.iceberg
        for location in [iceberg.metadata_location, *self._a_few()]:
            own, _ = self.folder.inside(pa.array([location]))
            if not len(own) or self.folder.filesystem.get_file_info(self.folder.at(own[0].as_py())).is_file:
                continue
            filesystem, path = self.table.resolve(location)
            if filesystem.get_file_info(path).is_file:
                raise Refused(f"{location} is listed under another name than the metadata says")
            raise DataFileError(f"a file of the table is missing: {location}", hint="roll the table back")

    def _a_few(self) -> list[str]:
        for batch in self.table.files():
            return batch["file_path"].slice(0, _PROBES).to_pylist()  # type: ignore[no-any-return]
        return []

    def metadata_paths(self) -> pa.ChunkedArray:
        """Paths below the folder of the metadata files that the table knows."""
        own, _ = self.folder.inside(pa.array(metadata_files(self.table.iceberg), pa.string()))
        return own


def iceberg_table(table: Table) -> IcebergTable:
    """The table as an Iceberg table.

    :raises Refused: it has another format.
    """
    if not isinstance(table, IcebergTable):
        raise Refused(f"{table.identifier} is no Iceberg table")
    return table


def why_files_stay(table: Table) -> str | None:
    """Why no file of this table may be moved or deleted by us; None where it may be."""
    iceberg = iceberg_table(table).iceberg
    if isinstance(iceberg, StaticTable):
        return "it is named by a metadata file, and only its catalog knows whether that is the newest"
    if str(table.properties.get("gc.enabled", "true")).strip().lower() == "false":
        return "its property gc.enabled is false: its files may belong to another table too"
    if "encryption.key-id" in table.properties or getattr(iceberg.metadata, "encryption_keys", None):
        return "it is encrypted, and what its manifests say cannot be read"
    return None
