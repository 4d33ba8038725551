"""Hive tables beside the Iceberg tables of one metastore: which there are, and what kind each is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lakeopt.model.table import TableSummary
from lakeopt.tables.hive.connection import Metastore
from lakeopt.tables.hive.metastore import MetastoreSource
from lakeopt.tables.hive.table import HiveTable
from lakeopt.tables.iceberg.identifiers import Identifier, join_identifier
from lakeopt.tables.iceberg.metadata.views import timestamp

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog


def metastore_of(connected: Catalog) -> Metastore | None:
    """The metastore behind a catalog of pyiceberg; None where it is of another type."""
    if type(connected).__name__ != "HiveCatalog":
        return None
    return Metastore(connected.name, connected.properties)


def opened(connected: Catalog, identifier: Identifier) -> HiveTable | None:
    """The Hive table of that name; None where there is none, or it is an Iceberg table.

    :raises Unreachable: the metastore does not answer.
    """
    metastore = metastore_of(connected)
    if metastore is None or len(identifier) != 2:
        return None
    source = MetastoreSource(metastore, *identifier)
    table = source.found()
    if table is None or _is_iceberg(table):
        return None
    name = join_identifier((connected.name, *identifier))
    return HiveTable(source, name, metastore.properties, source.description_of(table))


def hive_tables(metastore: Metastore, namespace: Identifier) -> Iterator[Identifier]:
    """Names of the tables of a namespace that are not Iceberg's, sorted. Views are among them.

    :raises Unreachable: the metastore does not answer.
    """
    from hive_metastore.ttypes import NoSuchObjectException

    if len(namespace) != 1:
        return
    try:
        with metastore.connected() as client:
            names = sorted(client.get_all_tables(namespace[0]))
            tables = client.get_table_objects_by_name(namespace[0], names) if names else []
    except NoSuchObjectException:
        return
    yield from ((namespace[0], table.tableName) for table in tables if not _is_iceberg(table))


def summary(name: str, metastore: Metastore, identifier: Identifier) -> TableSummary:
    """One row of ``lakeopt tables``: files and bytes by listing its folders; rows only footers would say.

    :raises LakeoptError: it cannot be read.
    """
    source = MetastoreSource(metastore, *identifier)
    described = source.describe()
    if not described.storage.location:  # a view
        return TableSummary(name, "hive", None, None, None, None, None, error=described.refusal)
    found = HiveTable(source, name, metastore.properties).contents
    changed = timestamp(max(found.times) // 1_000_000) if found.times else None
    rows = 0 if not found.paths else None
    return TableSummary(name, "hive", 1, len(found.paths), sum(found.sizes), rows, changed)


def _is_iceberg(table: Any) -> bool:
    return str((table.parameters or {}).get("table_type", "")).lower() == "iceberg"
