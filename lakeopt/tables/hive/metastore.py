"""A Hive table as its metastore describes it, over Thrift: HMS 2.3 and 3.1 answer these calls alike."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from lakeopt.errors import UnknownName
from lakeopt.tables.hive import kinds, spark_schema
from lakeopt.tables.hive.connection import Metastore
from lakeopt.tables.hive.partition_names import NULL_NAME, partition_name, value_of
from lakeopt.tables.hive.source import Column, Description, FileFormat, Partition, Storage

if TYPE_CHECKING:
    from pyarrow import fs

#: Partitions asked for at a time.
PAGE = 1000


class MetastoreSource:
    """One table of a metastore."""

    def __init__(self, metastore: Metastore, database: str, table: str) -> None:
        self.metastore, self.database, self.table = metastore, database, table
        self._interned: dict[Any, Any] = {}

    @property
    def name(self) -> tuple[str, str]:
        """Database and table, as Thrift's calls take them."""
        return self.database, self.table

    def connected(self, *, raw: bool = False) -> AbstractContextManager[Any]:
        """A Thrift client: :meth:`lakeopt.tables.hive.connection.Metastore.connected`."""
        return self.metastore.connected(raw=raw)

    def describe(self) -> Description:
        """The table as it is now.

        :raises UnknownName: it is gone.
        :raises Unreachable: the metastore does not answer.
        """
        return self.description_of(self._table())

    def found(self) -> Any:
        """The table as Thrift has it; None where there is none.

        :raises Unreachable: the metastore does not answer.
        """
        from hive_metastore.ttypes import NoSuchObjectException

        try:
            with self.connected() as client:
                return client.get_table(self.database, self.table)
        except NoSuchObjectException:
            return None

    def _table(self) -> Any:
        if (table := self.found()) is None:
            raise UnknownName("table", f"{self.database}.{self.table}", ())
        return table

    def description_of(self, table: Any) -> Description:
        """A table of Thrift's as a description."""
        storage = self._storage(table, table.sd, table.parameters or {})
        partition_columns = _columns(table.partitionKeys or ())
        if (declared := spark_schema.declared(table.parameters or {})) is not None:
            storage, partition_columns = declared.applied(storage, partition_columns)
        columns = (*storage.columns, *partition_columns)
        return Description(
            name=f"{self.database}.{self.table}",
            uuid=_uuid(table),
            storage=storage,
            partition_columns=partition_columns,
            parameters=dict(table.parameters or {}),
            managed=table.tableType == "MANAGED_TABLE",
            refusal=kinds.refusal(table, columns, storage.file_format),
            unreadable=kinds.unreadable(table, columns, storage.file_format),
        )

    def partitions(self, wanted: Sequence[tuple[str | None, ...]] | None = None) -> Iterator[list[Partition]]:
        """All partitions page by page, or those with these values (one that is gone is left out).

        A table without partitions has one, with no values.

        :raises UnknownName: the table is gone.
        :raises Unreachable: the metastore does not answer.
        """
        table = self._table()
        if not table.partitionKeys:
            if wanted is None or () in wanted:
                yield [self.whole(table)]
            return
        names = self._names(table, wanted)
        with self.connected() as client:
            for start in range(0, len(names), PAGE):
                found = self._page(client, table, names[start : start + PAGE])
                if wanted is not None:
                    found += self._missing(client, table, wanted[start : start + PAGE], found)
                yield found

    def _names(self, table: Any, wanted: Sequence[tuple[str | None, ...]] | None) -> list[str]:
        if wanted is not None:
            columns = [column.name for column in table.partitionKeys]
            return [partition_name(columns, values) for values in wanted]
        from hive_metastore.ttypes import NoSuchObjectException

        try:
            with self.connected() as client:
                found: list[str] = client.get_partition_names(self.database, self.table, -1)
        except NoSuchObjectException as error:
            raise UnknownName("table", f"{self.database}.{self.table}", ()) from error
        return found

    def _page(self, client: Any, table: Any, names: list[str]) -> list[Partition]:
        from hive_metastore.ttypes import NoSuchObjectException

        try:
            found = client.get_partitions_by_names(self.database, self.table, names)
        except NoSuchObjectException:
            return []
        return [self.partition_of(table, one) for one in found]

    def _missing(
        self, client: Any, table: Any, wanted: Sequence[tuple[str | None, ...]], found: Sequence[Partition]
    ) -> list[Partition]:
        """Partitions that were not found by the name that we make of their values: the metastore may spell others."""
        from hive_metastore.ttypes import NoSuchObjectException

        known, more = {one.values for one in found}, []
        for values in wanted:
            if values not in known:
                try:
                    one = client.get_partition(self.database, self.table, self.stored_values(values))
                except NoSuchObjectException:
                    continue
                more.append(self.partition_of(table, one))
        return more

    def stored_values(self, values: Sequence[str | None]) -> list[str]:
        """Partition values as the metastore keeps them."""
        return [NULL_NAME if value is None else value for value in values]

    def whole(self, table: Any) -> Partition:
        """The one partition of a table (Thrift's) that has no partition columns."""
        description = self.description_of(table)
        return Partition((), description.storage, description.parameters)

    def partition_of(self, table: Any, partition: Any) -> Partition:
        """A partition of Thrift's, of a table of Thrift's."""
        values = tuple(value_of(value) for value in partition.values)
        storage = self._storage(table, partition.sd, table.parameters or {})
        return Partition(values, storage, dict(partition.parameters or {}))

    def _storage(self, table: Any, described: Any, parameters: Mapping[str, str]) -> Storage:
        serde = described.serdeInfo
        options = dict((serde.parameters if serde is not None else None) or {})
        spark = kinds.provider(parameters)
        location = described.location or ""
        if spark is not None and described is table.sd and not table.partitionKeys:
            location = options.get("path", location)
        held: FileFormat = kinds.file_format(described.inputFormat or "")
        return Storage(
            location=location,
            columns=self._intern(_columns(described.cols or ())),
            file_format=held if spark is None else kinds.provider_format(spark),
            input_format=self._intern(described.inputFormat or ""),
            serde=self._intern((serde.serializationLib if serde is not None else None) or ""),
            serde_parameters=options,
        )

    def _intern(self, value: Any) -> Any:
        """One object for equal values: thousands of partitions say the same."""
        return self._interned.setdefault(value, value)

    def refreshed(self) -> MetastoreSource:
        """Itself: it remembers nothing."""
        return self

    def resolve(self, location: str) -> tuple[fs.FileSystem, str]:
        """File system and path of a location, with the catalog's credentials."""
        from pyiceberg.io import load_file_io

        from lakeopt.tables.iceberg import storage

        return storage.resolve(load_file_io(self.metastore.properties, location), location)


def _columns(fields: Sequence[Any]) -> tuple[Column, ...]:
    return tuple((field.name, field.type) for field in fields)


def _uuid(table: Any) -> str:
    """Another one once the table was made anew: metastore 2.3 gives tables no id, but the second they were made in."""
    made = f"hive:{table.dbName}.{table.tableName}:{table.createTime}:{table.owner}"
    return str(uuid.uuid5(uuid.NAMESPACE_URL, made))
