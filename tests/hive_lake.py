"""Hive tables without Spark: Parquet files by pyarrow in ``day=…`` folders, in a metastore over Thrift or in none."""

from __future__ import annotations

import itertools
import os
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.parquet as pq

_INPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat"
_OUTPUT = "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat"
_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"
COLUMNS = [("id", "bigint"), ("word", "string")]
Row = tuple[Any, ...]


def rows(first: int, count: int) -> pa.Table:
    """Rows whose sort by ``word`` is not their arrival."""
    numbers = range(first, first + count)
    return pa.table({"id": list(numbers), "word": [f"w{number * 7919 % 997:04d}" for number in numbers]})


def local(location: str) -> Path:
    """Path of a local location as metastores spell it."""
    return Path(unquote(urlparse(location).path)) if "%" in location else Path(urlparse(location).path)


def visible(folder: Path) -> list[Path]:
    """Files of a folder that Hive reads, by one listing: which of them are files is asked of no name again."""
    with os.scandir(folder) as found:
        return sorted(Path(one.path) for one in found if one.is_file() and not one.name.startswith((".", "_")))


def read(folder: Path) -> Counter[Row]:
    """Rows of the files of a folder, as a plain reader counts them."""
    found: Counter[Row] = Counter()
    for path in visible(folder):
        table = pq.ParquetFile(path).read(columns=["id", "word"])
        found.update(zip(*table.to_pydict().values(), strict=True))
    return found


class Folder:
    """A table that is only a folder of ``day=…`` folders; ``name`` is how lakeopt is told of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.name = root, str(root)
        self._numbers = itertools.count()
        root.mkdir(parents=True, exist_ok=True)

    def place(self, day: str) -> Path:
        """Where a reader finds a day now."""
        return self.root / f"day={day}"

    def write(self, day: str, table: pa.Table, folder: Path | None = None) -> Path:
        """Add one file to a day, as another writer does: whole, under a name of its own."""
        into = folder or self.place(day)
        into.mkdir(parents=True, exist_ok=True)
        name = f"part-{next(self._numbers):05d}-{uuid.uuid4().hex[:8]}.parquet"
        pq.write_table(table, into / f".{name}")
        (into / f".{name}").rename(into / name)
        return into / name

    def add(self, day: str, *tables: pa.Table) -> None:
        """A day with a file for each table."""
        for table in tables:
            self.write(day, table)

    def days(self) -> list[str]:
        return sorted(path.name.removeprefix("day=") for path in self.root.glob("day=*"))

    def unlock(self) -> None:
        """Take back the locks of processes that are gone, as a metastore does after some minutes; a folder has none."""

    def rows(self) -> dict[str, Counter[Row]]:
        """Rows by day, as a plain reader counts them."""
        return {day: read(self.place(day)) for day in self.days()}


class HiveConnections:
    """Plain Thrift clients of a metastore."""

    def __init__(self, uri: str) -> None:
        self.uri = uri

    @contextmanager
    def connected(self) -> Iterator[Any]:
        from hive_metastore.ThriftHiveMetastore import Client
        from thrift.protocol.TBinaryProtocol import TBinaryProtocol
        from thrift.transport import TSocket, TTransport

        parts = urlparse(self.uri)
        transport = TTransport.TBufferedTransport(TSocket.TSocket(parts.hostname, parts.port))
        transport.open()
        try:
            yield Client(TBinaryProtocol(transport))
        finally:
            transport.close()


class HiveDatabase(HiveConnections):
    """A database of a metastore of its own name, in a folder."""

    def __init__(self, uri: str, folder: Path) -> None:
        from hive_metastore.ttypes import Database

        super().__init__(uri)
        self.folder = folder
        self.name = f"d{uuid.uuid4().hex[:12]}"
        folder.mkdir(parents=True, exist_ok=True)
        with self.connected() as client:
            client.create_database(Database(name=self.name, locationUri=folder.as_uri()))

    @property
    def environment(self) -> dict[str, str]:
        """What configures the metastore as the catalog ``hms``, with its state below the folder's parent."""
        said = {"TYPE": "hive", "URI": self.uri, "WAREHOUSE": self.folder.as_uri(), "HIVE__HIVE2_COMPATIBLE": "true"}
        named = {f"PYICEBERG_CATALOG__HMS__{key}": value for key, value in said.items()}
        return {**named, "LAKEOPT_STATE_DIR": str(self.folder.parent / "state")}


def _storage(location: str) -> Any:
    from hive_metastore.ttypes import FieldSchema, SerDeInfo, StorageDescriptor

    return StorageDescriptor(
        cols=[FieldSchema(name, kind, None) for name, kind in COLUMNS],
        location=location,
        inputFormat=_INPUT,
        outputFormat=_OUTPUT,
        serdeInfo=SerDeInfo(serializationLib=_SERDE, parameters={"serialization.format": "1"}),
        parameters={},
        bucketCols=[],
        sortCols=[],
        numBuckets=-1,
    )


class HiveParquet(Folder):
    """A Parquet table of a metastore, partitioned by ``day``; without days it has no partitions."""

    def __init__(self, database: HiveDatabase, table: str, *, managed: bool = True, partitioned: bool = True) -> None:
        from hive_metastore.ttypes import FieldSchema, Table

        super().__init__(database.folder / table)
        self.database, self.table, self.name = database, table, f"hms.{database.name}.{table}"
        self.partitioned = partitioned
        keys = [FieldSchema("day", "string", None)] if partitioned else []
        made = Table(
            tableName=table,
            dbName=database.name,
            owner="tests",
            sd=_storage(f"file:{self.root}"),
            partitionKeys=keys,
            parameters={} if managed else {"EXTERNAL": "TRUE"},
            tableType="MANAGED_TABLE" if managed else "EXTERNAL_TABLE",
        )
        with database.connected() as client:
            client.create_table(made)

    def place(self, day: str = "") -> Path:
        with self.database.connected() as client:
            return local(self._described(client, day).sd.location)

    def described(self, day: str = "") -> Any:
        """What the metastore says of a day's partition, or of a table without any."""
        with self.database.connected() as client:
            return self._described(client, day)

    def _described(self, client: Any, day: str) -> Any:
        if not self.partitioned:
            return client.get_table(self.database.name, self.table)
        return client.get_partition(self.database.name, self.table, [day])

    def add(self, day: str, *tables: pa.Table) -> None:
        from hive_metastore.ttypes import Partition

        folder = self.root / f"day={day}" if self.partitioned else self.root
        for table in tables:
            self.write(day, table, folder)
        if not self.partitioned:
            return
        made = Partition(
            values=[day],
            dbName=self.database.name,
            tableName=self.table,
            sd=_storage(f"file:{folder}"),
            parameters={"numRows": str(sum(table.num_rows for table in tables)), "numFiles": str(len(tables))},
        )
        with self.database.connected() as client:
            client.add_partition(made)

    def days(self) -> list[str]:
        if not self.partitioned:
            return [""]
        with self.database.connected() as client:
            return sorted(values[0] for values in (p.values for p in client.get_partitions(*self._named(), -1)))

    def drop(self, day: str) -> None:
        """DROP PARTITION, with its data."""
        with self.database.connected() as client:
            client.drop_partition(*self._named(), [day], True)

    def relocate(self, folder: Path) -> None:
        """ALTER TABLE … SET LOCATION: partitions stay where they are."""
        with self.database.connected() as client:
            table = client.get_table(*self._named())
            table.sd.location = f"file:{folder}"
            client.alter_table(*self._named(), table)

    def move(self, day: str, folder: Path) -> None:
        """ALTER TABLE … PARTITION … SET LOCATION."""
        with self.database.connected() as client:
            partition = client.get_partition(*self._named(), [day])
            partition.sd.location = f"file:{folder}"
            client.alter_partition(*self._named(), partition)

    def unlock(self) -> None:
        from hive_metastore.ttypes import ShowLocksRequest, UnlockRequest

        with self.database.connected() as client:
            held = client.show_locks(ShowLocksRequest(dbname=self.database.name, tablename=self.table)).locks
            for number in {lock.lockid for lock in held}:
                client.unlock(UnlockRequest(lockid=number))

    def _named(self) -> tuple[str, str]:
        return self.database.name, self.table
