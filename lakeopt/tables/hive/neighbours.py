"""Other tables of a metastore whose files may be those of a Hive table: what replaces its files replaces theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lakeopt.tables.hive.metastore import MetastoreSource
from lakeopt.tables.iceberg.deletion.location_keys import lies_in
from lakeopt.tables.iceberg.identifiers import Identifier, join_identifier

if TYPE_CHECKING:
    from lakeopt.tables.hive.table import HiveTable

#: Tables of a database that the metastore is asked about at a time.
_PAGE = 1000
#: What to do about one.
ALONE = "give each table a folder of its own, or drop one of the two without its files"


def all_tables(source: MetastoreSource) -> Iterator[Any]:
    """Every table of the metastore, as Thrift has it.

    :raises Unreachable: the metastore does not answer.
    """
    with source.connected() as client:
        for database in client.get_all_databases():
            names = sorted(client.get_all_tables(database))
            for start in range(0, len(names), _PAGE):
                yield from client.get_table_objects_by_name(database, names[start : start + _PAGE])


def iceberg_tables(source: MetastoreSource) -> Iterator[tuple[Identifier, Any]]:
    """Every Iceberg table of the metastore by its identifier, as Thrift has it.

    :raises Unreachable: the metastore does not answer.
    """
    for one in all_tables(source):
        if str((one.parameters or {}).get("table_type", "")).lower() == "iceberg" and one.sd.location:
            yield (one.dbName, one.tableName), one


def borrowers(table: HiveTable) -> Iterator[str]:
    """Iceberg tables of the metastore that say of themselves that their files are another's, too: ``gc.enabled=false``,
    as a snapshot of a Hive table by Spark's procedure does, and a migration in place.

    :raises Unreachable: the metastore does not answer.
    """
    source = table.source
    if isinstance(source, MetastoreSource):
        for identifier, one in iceberg_tables(source):
            if str(one.parameters.get("gc.enabled", "true")).lower() == "false":
                yield join_identifier((source.metastore.name, *identifier))


def shared_with(table: HiveTable) -> str | None:
    """Another table of the metastore that lies at the folder of this one, above it or in it, as a reason; or None.

    Partitions of another table that were added in this folder, though the table itself lies elsewhere, are not found:
    a metastore cannot be asked for them.

    :raises Unreachable: the metastore does not answer.
    """
    source = table.source
    if not isinstance(source, MetastoreSource):
        return None
    for one in all_tables(source):
        if "VIEW" in (one.tableType or "") or (one.dbName, one.tableName) == source.name:
            continue
        for location in _places(one):
            if lies_in(location, table.base_location) or lies_in(table.base_location, location):
                name = join_identifier((source.metastore.name, one.dbName, one.tableName))
                return f"the table {name} may read its files: it lies at {location}"
    return None


def _places(table: Any) -> list[str]:
    """Where a table of Thrift's lies, to Hive and to Spark, which has a path of its own for what Hive cannot read."""
    if table.sd is None:
        return []
    serde = table.sd.serdeInfo.parameters if table.sd.serdeInfo is not None else None
    return [one for one in (table.sd.location, (serde or {}).get("path")) if one]
