"""From a name to a table, whatever its format: the one place that decides what a name means."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError
from pyiceberg.table import StaticTable
from pyiceberg.table import Table as PyIcebergTable

from lakeopt.config import Settings, load_settings
from lakeopt.errors import (
    ConfigurationError,
    DataFileError,
    LakeoptError,
    Refused,
    Unreachable,
    UsageError,
)
from lakeopt.model.table import TableSummary
from lakeopt.tables.base import Table
from lakeopt.tables.hive import catalog as hive_tables
from lakeopt.tables.hive.directory import DirectorySource
from lakeopt.tables.hive.table import HiveTable
from lakeopt.tables.iceberg import catalog
from lakeopt.tables.iceberg.identifiers import Identifier, join_identifier, split_identifier
from lakeopt.tables.iceberg.metadata.views import timestamp
from lakeopt.tables.iceberg.storage import local_path
from lakeopt.tables.iceberg.table import IcebergTable

_METADATA_SUFFIX = ".metadata.json"


def open_table(name: str, settings: Settings | None = None) -> Table:
    """The table that a name means: ``[catalog.]namespace.table``, the location of a ``*.metadata.json``,
    or a folder of ``key=value`` folders with Parquet or ORC files, where no metastore is to be asked.

    The first part is a catalog where pyiceberg has one of that name and at least a namespace and a table follow;
    else the name lies in the default catalog. Parts that hold dots stand in double quotes or backticks.

    :raises UsageError: this is no name of a table.
    :raises UnknownName: no such catalog, namespace or table; the hint says what is there.
    :raises Refused: a folder that is an Iceberg table's; its catalog knows which of its files are current.
    :raises Unreachable: catalog or storage does not answer.
    :raises DataFileError: the table's metadata file is missing or damaged.
    """
    if _is_location(name):
        return _at_location(name, settings or load_settings())
    catalog_name, identifier = split_name(name, settings or load_settings())
    connected = catalog.connect(catalog_name)
    if (hive := hive_tables.opened(connected, identifier)) is not None:
        return hive
    return IcebergTable(catalog.load(connected, identifier))


def list_tables(namespace: str | None = None, settings: Settings | None = None) -> Iterator[TableSummary]:
    """Every table of a catalog, or of one namespace and those below it; one that cannot be read says why.

    Of a Hive metastore the Iceberg tables and Hive's own.

    ``namespace`` is ``[catalog.][namespace]``, as in :func:`open_table`; None is the default catalog.

    :raises UnknownName: no such catalog or namespace.
    :raises Unreachable: the catalog does not answer.
    """
    catalog_name, under = split_namespace(namespace, settings or load_settings())
    connected = catalog.connect(catalog_name)
    with catalog.answering(catalog_name):
        namespaces = list(catalog.walk_namespaces(connected))
    if under and under not in namespaces:
        raise catalog.unknown_namespace(under, namespaces)
    for found in namespaces:
        if found[: len(under)] == under:
            yield from _summaries(connected, found)


def split_namespace(namespace: str | None, settings: Settings) -> tuple[str, Identifier]:
    """Catalog and namespace (empty: all of it) that a name means."""
    if namespace is None:
        return catalog.default_catalog(settings), ()
    parts = split_identifier(namespace)
    if parts[0].lower() in catalog.configured_catalogs():
        return parts[0], parts[1:]
    return catalog.default_catalog(settings), parts


def split_name(name: str, settings: Settings) -> tuple[str, Identifier]:
    """Catalog and identifier that a name means.

    :raises UsageError: this is no name of a table.
    """
    parts = split_identifier(name)
    if len(parts) >= 3 and parts[0].lower() in catalog.configured_catalogs():
        return parts[0], parts[1:]
    if len(parts) < 2:
        hint = f"a folder is named by a path: ./{name}" if "/" in name else "write [catalog.]namespace.table"
        raise UsageError(f"not a table name: {name!r}", hint=hint)
    return catalog.default_catalog(settings), parts


def _is_location(name: str) -> bool:
    return "://" in name or name.startswith(("/", "./", "../", "file:")) or name.endswith(_METADATA_SUFFIX)


def _at_location(location: str, settings: Settings) -> Table:
    try:
        properties = catalog.configured_catalogs()[catalog.default_catalog(settings).lower()]
    except ConfigurationError:
        properties = {}
    path = local_path(location)
    absolute = location if path is None else str(Path(path).absolute())
    if not location.endswith(_METADATA_SUFFIX):
        if hint := _metadata_hint(location):
            raise Refused(f"{location} is the folder of an Iceberg table", hint=hint)
        return HiveTable(DirectorySource(absolute, properties), absolute, properties)
    try:
        return IcebergTable(StaticTable.from_metadata(absolute, dict(properties)))
    except FileNotFoundError as error:
        raise DataFileError(f"metadata file is missing: {location}", hint="check the path") from error
    except OSError as error:
        raise Unreachable(f"metadata file cannot be read: {location}: {error}") from error
    except catalog.UNREADABLE as error:
        reason = catalog.metadata_reason(error)
        raise DataFileError(f"not Iceberg table metadata: {location}: {reason}", hint="is the file damaged?") from error


def _metadata_hint(location: str) -> str | None:
    """The newest metadata file below a local directory that is an Iceberg table's."""
    path = local_path(location)
    found = sorted(Path(path, "metadata").glob("*" + _METADATA_SUFFIX)) if path is not None else []
    return f"it holds an Iceberg table: name it in its catalog, or read {found[-1]}" if found else None


def _summaries(connected: Catalog, namespace: Identifier) -> Iterator[TableSummary]:
    with catalog.answering(connected.name):
        try:
            iceberg = set(map(tuple, connected.list_tables(namespace)))
        except NoSuchNamespaceError:  # dropped since it was listed
            return
    metastore = hive_tables.metastore_of(connected)
    hive = set() if metastore is None else set(hive_tables.hive_tables(metastore, namespace))
    for identifier in sorted(iceberg | hive):
        name = join_identifier((connected.name, *identifier))
        form = "hive" if identifier in hive else "iceberg"
        try:
            if metastore is not None and form == "hive":
                yield hive_tables.summary(name, metastore, identifier)
            else:
                yield _summary(name, catalog.load(connected, identifier))
        except LakeoptError as error:
            yield TableSummary(name, form, None, None, None, None, None, error=str(error))


def _summary(name: str, table: PyIcebergTable) -> TableSummary:
    snapshot = table.current_snapshot()
    totals = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
    keys = ("total-data-files", "total-files-size", "total-records")
    if snapshot is None:
        files, size, records = 0, 0, 0
    elif all(totals.get(key, "").isdecimal() for key in keys):
        files, size, records = (int(totals[key]) for key in keys)
    else:  # some writers leave the totals out
        lists = list(IcebergTable(table).files())
        files = sum(map(len, lists))
        size = sum(sum(part["file_size_in_bytes"].to_pylist()) for part in lists)
        records = sum(sum(part["record_count"].to_pylist()) for part in lists)
    changed = timestamp(table.metadata.last_updated_ms)
    return TableSummary(name, "iceberg", table.format_version, files, size, records, changed)
