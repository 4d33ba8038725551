"""An Iceberg table in Spark's JVM: its files with their deletes, and new files that Iceberg's own code stages."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lakeopt.engines.spark.catalogs import spark_identifier
from lakeopt.engines.spark.session import java_classes, jvm, reason
from lakeopt.engines.spark.unfinished import apart
from lakeopt.errors import ConfigurationError, Refused, StalePlan, Unreachable
from lakeopt.model.scan import TableSource

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


_LAST: dict[tuple[object, ...], JavaTable] = {}


@dataclass
class JavaTable:
    """One table as Spark's catalog has it, read at ``source.snapshot_id``. Java's objects are of one JVM."""

    spark: SparkSession
    source: TableSource
    table: Any
    _tasks: dict[str, Any] = field(default_factory=dict)

    def tasks(self, paths: Iterable[str]) -> list[Any]:
        """The scan task of each data file, with the deletes that apply to it. The table is planned once.

        :raises StalePlan: a file is not in the snapshot.
        """
        if not self._tasks:
            scan = self.table.newScan().useSnapshot(self.source.snapshot_id)
            with java_errors("the table cannot be planned in Spark"), closing(scan.planFiles()) as planned:
                for task in each(planned):
                    self._tasks[task.file().location()] = task
        wanted = list(paths)
        missing = [path for path in wanted if path not in self._tasks]
        if missing:
            raise StalePlan(
                f"a planned data file is not in snapshot {self.source.snapshot_id} as Spark reads it: {missing[0]}",
                hint="plan again",
            )
        return [self._tasks[path] for path in wanted]

    @contextlib.contextmanager
    def staged(self, tasks: Sequence[Any], properties: Mapping[str, str]) -> Iterator[StagedRewrite]:
        """A rewrite of these tasks under a name that Spark reads and writes, as Iceberg's own action does it.

        ``properties`` are the table's for this rewrite alone: they are set in a transaction that is never committed.
        """
        name = f"lakeopt-{uuid.uuid4()}"
        transaction = self.table.newTransaction()
        update = transaction.updateProperties()
        for key, value in properties.items():
            update.set(key, value)
        update.commit()
        table = transaction.table()
        cache, sets, coordinator = (
            _singleton(self.spark, f"org.apache.iceberg.spark.{kind}")
            for kind in ("SparkTableCache", "ScanTaskSetManager", "FileRewriteCoordinator")
        )
        try:
            cache.add(name, table)
            sets.stageTasks(table, name, java_list(self.spark, tasks))
            yield StagedRewrite(self.spark, name, lambda: list(each(coordinator.fetchNewFiles(table, name))))
        finally:
            apart(lambda: (cache.remove(name), sets.removeTasks(table, name), coordinator.clearRewrite(table, name)))


@dataclass(frozen=True)
class StagedRewrite:
    """What Spark reads and writes under ``name``, and the data files that were written."""

    spark: SparkSession
    name: str
    new_files: Any


def load(spark: SparkSession, source: TableSource) -> JavaTable:
    """As :func:`_loaded`; the table of the last call is planned once for all groups of a rewrite."""
    key = (id(jvm(spark)), source.catalog, source.name, source.uuid, source.snapshot_id, tuple(source.conf.items()))
    if key not in _LAST:
        made = _loaded(spark, source)
        _LAST.clear()
        _LAST[key] = made
    return _LAST[key]


def _loaded(spark: SparkSession, source: TableSource) -> JavaTable:
    """The table in Spark's catalog; it must be the one that pyiceberg knows.

    :raises ConfigurationError: Spark has none of that name, or another one.
    :raises StalePlan: Spark does not see the snapshot.
    :raises Unreachable: the catalog does not answer Spark.
    """
    identifier = spark_identifier(spark, source)
    spark3 = jvm(spark).org.apache.iceberg.spark.Spark3Util
    with java_errors(f"Spark cannot load {identifier}"):
        try:
            table = spark3.loadIcebergTable(spark._jsparkSession, identifier)
        except Exception as error:
            if any("NoSuch" in name for name in java_classes(error)) or "NOT_FOUND" in str(error):
                raise ConfigurationError(
                    f"Spark has no table {identifier}",
                    hint="is its catalog the same as pyiceberg's? (spark.lakeopt.catalog.<pyiceberg's>=<Spark's>)",
                ) from error
            raise
        table.refresh()
    if table.uuid().toString() != source.uuid:
        raise ConfigurationError(
            f"{identifier} is another table in Spark than in pyiceberg",
            hint="name Spark's catalog for it: --spark-conf spark.lakeopt.catalog.<pyiceberg's>=<Spark's>",
        )
    if table.snapshot(source.snapshot_id) is None:
        raise StalePlan(f"snapshot {source.snapshot_id} is not in {identifier} as Spark reads it", hint="plan again")
    return JavaTable(spark, source, table)


@contextlib.contextmanager
def java_errors(what: str) -> Iterator[None]:
    """Says what was tried where Java raises; a table or storage that does not answer is no fault of the table."""
    from py4j.protocol import Py4JError

    try:
        yield
    except Py4JError as error:
        refusals = ("UnsupportedOperationException", "AccessControlException", "ForbiddenException")
        if any(name.endswith(refusals) for name in java_classes(error)):
            raise Refused(f"{what}: {reason(error)}", hint="may Spark write this table?") from error
        raise Unreachable(f"{what}: {reason(error)}", hint="check the catalog's settings in Spark") from error


def _singleton(spark: SparkSession, name: str) -> Any:
    """What ``name.get()`` returns. By reflection: py4j takes any ``get`` of the class, even one with arguments."""
    java = jvm(spark).java.lang
    gateway: Any = spark.sparkContext._gateway
    found = java.Class.forName(name, True, java.Thread.currentThread().getContextClassLoader())
    return found.getMethod("get", gateway.new_array(java.Class, 0)).invoke(None, gateway.new_array(java.Object, 0))


def each(collection: Any) -> Iterator[Any]:
    """The members of a Java collection, one by one."""
    iterator = collection.iterator()
    while iterator.hasNext():
        yield iterator.next()


@contextlib.contextmanager
def closing(closeable: Any) -> Iterator[Any]:
    """Close a Java object at the end."""
    try:
        yield closeable
    finally:
        closeable.close()


def java_list(spark: SparkSession, values: Iterable[Any]) -> Any:
    """A Java list of Java objects."""
    made = jvm(spark).java.util.ArrayList()
    for value in values:
        made.add(value)
    return made
