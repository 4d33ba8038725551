"""The metadata file that a client-side catalog writes for a commit, and its removal where the catalog takes another."""

from __future__ import annotations

import copy
import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.io import FileIO
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata

from lakeopt.errors import LakeoptError, NoSpace, Refused, Unreachable

_log = logging.getLogger(__name__)


@dataclass
class MetadataFiles:
    """The metadata files that one attempt has made; none where a server makes them.

    ``on_write`` is told each before it is written. ``failed`` is what kept the last one from being written: the
    catalog was not asked then, so that nothing is committed.
    """

    on_write: Callable[[str], None] = lambda location: None
    written: list[str] = field(default_factory=list)
    failed: BaseException | None = None

    def recording(self, catalog: Catalog) -> Catalog:
        """The same catalog, which tells of each metadata file that it writes."""
        write = getattr(catalog, "_write_metadata", None)
        if write is None or isinstance(catalog, RestCatalog):
            return catalog
        own: Any = copy.copy(catalog)  # others may commit by the same catalog in other threads

        def record(metadata: TableMetadata, io: FileIO, metadata_path: str) -> None:
            try:
                self.on_write(metadata_path)
                self.written.append(metadata_path)
                write(metadata, io, metadata_path)
            except BaseException as error:
                self.failed = error
                raise

        own._write_metadata = record
        mine: Catalog = own
        return mine

    def are_in(self, metadata_location: str, metadata: TableMetadata) -> bool:
        """Whether the table's history names one of them: then it is committed, whatever came after it."""
        known = {metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
        return not known.isdisjoint(self.written)

    def discard(self, io: FileIO) -> None:
        """Delete them, after a definite answer: pyiceberg leaves such a file where the catalog takes another's."""
        for location in self.written:
            try:
                io.delete(location)
            except FileNotFoundError:  # it was never made
                continue
            except Exception as error:  # an orphan is harmless; the answer of the commit must not be lost
                _log.warning("could not delete %s: %s", location, error)
        self.written.clear()


def delete_old_metadata(table: Table, after: TableMetadata) -> None:
    """Delete metadata files that fell out of the log with a commit, where the table asks for that.

    ``table`` is as it was before. pyiceberg does this in its own commits alone, not in those that it is handed.
    """
    try:
        table.catalog._delete_old_metadata(table.io, table.metadata, after)
    except Exception as error:  # an orphan is harmless; the answer of the commit must not be lost
        _log.warning("could not delete old metadata files: %s", error)


def storage_error(error: OSError) -> LakeoptError:
    """What it means that a table's metadata could not be written; nothing was committed."""
    if is_full(error):
        return NoSpace(f"no space left for the table's metadata: {error}", hint="free some space")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS or "Read-only file system" in str(error):
        return Refused(f"the table's metadata may not be written: {error}", hint="check the permissions of this user")
    return Unreachable(f"the table's metadata cannot be written: {error}", hint="does the storage answer?")


def is_full(error: OSError) -> bool:
    """Whether there is no room for a file, or none of its size."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space left" in str(error)
