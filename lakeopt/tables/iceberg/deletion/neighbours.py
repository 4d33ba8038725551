"""Other tables whose files may lie where a table's orphans are looked for: found in the catalog and on the store."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError
from pyiceberg.table import Table as Iceberg
from pyiceberg.table.metadata import TableMetadata, TableMetadataCommonFields

from lakeopt.config import Settings
from lakeopt.errors import LakeoptError, Refused, UnknownName, Unreachable, first_line
from lakeopt.tables.iceberg import catalog
from lakeopt.tables.iceberg.deletion.folder import Folder
from lakeopt.tables.iceberg.deletion.location_keys import lies_in
from lakeopt.tables.iceberg.identifiers import Identifier, join_identifier
from lakeopt.tables.iceberg.storage import local_path

#: Names of metadata files, plain and compressed; views have them too.
METADATA = r"(?:^|/)[^/]+\.metadata\.json(?:\.gz)?$"
#: Folders that tell of a table of another format.
_OTHER_FORMATS = r"(?:^|/)(?:_delta_log|\.hoodie)/"
#: Properties that send a table's files elsewhere than below its location.
_PATHS = ("write.data.path", "write.metadata.path", "write.object-storage.path", "write.folder-storage.path")
_UUID = re.compile(rb'"(?:table|view)-uuid"\s*:\s*"([0-9A-Fa-f-]+)"')
_HINT = "give each table a location of its own; until then its orphans cannot be told from the other's files"


def refuse_neighbours(iceberg: Iceberg) -> None:
    """Ask the catalog for every other table, and refuse if one may have files in, above or at the location.

    :raises Refused: one has, or one cannot be read, so that nobody knows.
    :raises Unreachable: the catalog does not answer.
    """
    location = _real(iceberg.metadata.location)
    for name, places in _neighbours(iceberg.catalog, tuple(iceberg.name())):
        if isinstance(places, LakeoptError):
            raise Refused(
                f"nobody knows where the table {name} has its files: {places}",
                hint="mend it, or drop it from the catalog",
            ) from places
        for place in places if isinstance(places, list) else _places(places):
            below, above = lies_in(_real(place), location), lies_in(location, _real(place))
            if below or above:
                where = "at" if below and above else "below" if below else "above"
                raise Refused(f"the table {name} has files {where} {iceberg.metadata.location}: {place}", hint=_HINT)


def refuse_twin(iceberg: Iceberg) -> None:
    """Ask the catalog for every other table, and refuse if one is this table again: registered under two names.

    Each name has a history of its own then, and what one reaches no more may be live in the other.

    :raises Refused: one is.
    :raises Unreachable: the catalog does not answer.
    """
    for name, found in _neighbours(iceberg.catalog, tuple(iceberg.name())):
        if isinstance(found, TableMetadataCommonFields) and found.table_uuid == iceberg.metadata.table_uuid:
            raise Refused(
                f"the table {name} is this table under another name: it may need what this one reaches no more",
                hint="drop one of the names, without purging; then what is left has the files for itself",
            )


def name_of(name: str, table_uuid: str, settings: Settings) -> str | None:
    """The name that the table of a UUID has now, in the catalog of the name that it had once; None where it is gone.

    :raises Refused: it is not found, and a table of the catalog cannot be read, so that nobody knows.
    :raises Unreachable: the catalog does not answer.
    """
    from lakeopt.tables.open import split_name

    catalog_name, identifier = split_name(name, settings)
    connected = catalog.connect(catalog_name)
    try:
        if str(catalog.load(connected, identifier).metadata.table_uuid) == table_uuid:
            return name
    except UnknownName:
        pass
    unknown: list[str] = []
    for other, found in _neighbours(connected, identifier):
        if isinstance(found, TableMetadataCommonFields) and str(found.table_uuid) == table_uuid:
            return other
        unknown += [other] if isinstance(found, LakeoptError) else []
    if unknown:
        raise Refused(
            f"{name} may have another name now, and the table {unknown[0]} cannot be read",
            hint="mend it, or drop it from the catalog",
        )
    return None


def _places(metadata: TableMetadata) -> list[str]:
    return [metadata.location, *(metadata.properties[key] for key in _PATHS if key in metadata.properties)]


def _real(location: str) -> str:
    """A location with the links of a local path resolved: two names may lead to one place."""
    path = local_path(location)
    return location if path is None else os.path.realpath(path)


def _neighbours(connected: Catalog, but: Identifier) -> Iterator[tuple[str, TableMetadata | list[str] | LakeoptError]]:
    """Every table of the catalog but one: its metadata, where a Hive table lies, or why it cannot be read."""
    with catalog.answering(connected.name):
        namespaces = list(catalog.walk_namespaces(connected))
    for namespace in namespaces:
        with catalog.answering(connected.name):
            try:
                identifiers = sorted(map(tuple, connected.list_tables(namespace)))
            except NoSuchNamespaceError:  # dropped since it was listed
                continue
        yield from _hive_tables(connected, namespace)
        for identifier in identifiers:
            if identifier == but:
                continue
            name = join_identifier((connected.name, *identifier))
            try:
                yield name, catalog.load(connected, identifier).metadata
            except UnknownName:  # dropped since it was listed
                continue
            except (Unreachable, Refused):
                raise
            except LakeoptError as error:
                yield name, error


def _hive_tables(connected: Catalog, namespace: Identifier) -> Iterator[tuple[str, list[str]]]:
    """Tables of a Hive metastore that are no Iceberg tables, with their locations: pyiceberg does not list them."""
    if type(connected).__module__ != "pyiceberg.catalog.hive":
        return
    with catalog.answering(connected.name), connected._client as metastore:  # type: ignore[attr-defined]
        names = metastore.get_all_tables(db_name=namespace[0])
        tables = metastore.get_table_objects_by_name(dbname=namespace[0], tbl_names=names)
    for table in tables:
        location = table.sd.location if table.sd else None
        if (table.parameters or {}).get("table_type", "").lower() != "iceberg" and location:
            yield join_identifier((connected.name, namespace[0], table.tableName)), [location]


def refuse_foreign_files(
    folder: Folder, metadata_files: pa.ChunkedArray, known: pa.ChunkedArray, table_uuid: str
) -> None:
    """Refuse if a metadata file below the folder, none of those that the table knows, is another table's.

    :raises Refused: one is (it is named), or one says nothing of whose it is.
    """
    unknown = metadata_files.filter(pc.invert(pc.is_in(metadata_files, known))).to_pylist()
    with ThreadPoolExecutor(8) as readers:
        for path, uuid in readers.map(lambda path: (path, _uuid_in(folder, path)), unknown):
            if uuid not in (table_uuid.lower(), ""):
                whose = "metadata that cannot be read" if uuid is None else f"metadata of another table ({uuid})"
                raise Refused(f"{folder.spelt(path)} is {whose}", hint=_HINT)


def _uuid_in(folder: Folder, path: str) -> str | None:
    """The UUID that a metadata file says; empty where the file is empty or gone, None where it does not say one."""
    try:
        with folder.filesystem.open_input_stream(folder.at(path), compression=None) as source:
            content = source.read(65_536)
            if content[:2] == b"\x1f\x8b" or _UUID.search(content) is None:
                content += source.read()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except FileNotFoundError:
        return ""
    except (EOFError, ValueError, gzip.BadGzipFile):
        return None
    except OSError as error:
        raise Unreachable(f"{folder.spelt(path)} cannot be read: {first_line(error)}") from error
    found = _UUID.search(content)
    return found[1].decode().lower() if found else None if content else ""


def refuse_other_formats(folder: Folder, listed: pa.Table) -> None:
    """Refuse if a listed file belongs to a Delta or Hudi table.

    :raises Refused: one does.
    """
    found = listed.filter(pc.match_substring_regex(listed["path"], _OTHER_FORMATS))
    if found.num_rows:
        path = found["path"][0].as_py()
        raise Refused(f"a table of another format lies at the location: {folder.spelt(path)}", hint=_HINT)


def refuse_table_above(folder: Folder, warehouse: str | None) -> None:
    """Refuse if a folder above, up to the warehouse, holds a table's metadata, whatever catalog knows it.

    :raises Refused: one does.
    """
    above = folder.path.rpartition("/")[0]
    spelt = folder.location.rstrip("/").rpartition("/")[0]
    while warehouse and above and lies_in(spelt, warehouse):
        try:
            selector = fs.FileSelector(f"{above}/metadata", allow_not_found=True)
            infos = folder.filesystem.get_file_info(selector)
        except NotADirectoryError:
            infos = []
        except OSError as error:
            raise Unreachable(f"{above}/metadata cannot be listed: {first_line(error)}") from error
        for info in infos:
            if info.is_file and re.search(METADATA, info.path):
                raise Refused(f"{folder.location} lies in the folder of another table: {info.path}", hint=_HINT)
        above, spelt = above.rpartition("/")[0], spelt.rpartition("/")[0]
