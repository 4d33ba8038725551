"""Hive tables that lie in an Iceberg table's folder: what readers of the folder see that the Iceberg table has not.

A migration that stores nothing twice points a Hive table at the data folder of an Iceberg table. A rewrite or an
overwrite in Iceberg leaves the replaced files there until they are swept: a reader that lists folders reads both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakeopt.tables.hive.metastore import MetastoreSource
from lakeopt.tables.hive.neighbours import iceberg_tables
from lakeopt.tables.iceberg import catalog
from lakeopt.tables.iceberg.deletion.location_keys import lies_in, location_key
from lakeopt.tables.iceberg.identifiers import join_identifier
from lakeopt.tables.iceberg.table import IcebergTable

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeopt.tables.hive.table import HiveTable

_TOLD = ["file_path", "partition", "file_size_in_bytes", "record_count"]


@dataclass(frozen=True, slots=True)
class DoubleRead:
    """An Iceberg table in whose folder a Hive table lies.

    ``files``, ``bytes`` and ``rows`` are of files that the Hive table reads and the Iceberg table does not have.
    ``partition`` is a filter for the Iceberg table that names their partitions; None where it has no such columns.
    """

    iceberg: str
    files: int
    bytes: int
    rows: int
    partitions: int
    partition: str | None
    keeps_everything: bool


def double_reads(table: HiveTable) -> Iterator[DoubleRead]:
    """The Iceberg tables of the same metastore in whose folders the table or a partition of it lies.

    :raises Unreachable: metastore or storage do not answer.
    :raises DataFileError: a manifest of the Iceberg table is missing or damaged.
    """
    source = table.source
    if not isinstance(source, MetastoreSource):
        return
    lists = list(table.files())
    folders = _folders_above({path.rpartition("/")[0] for path in table.contents.paths} | {table.location})
    for identifier, one in iceberg_tables(source):
        if location_key(one.sd.location) in folders:
            name = source.metastore.name
            opened = IcebergTable(catalog.load(catalog.connect(name), identifier))
            yield _told(join_identifier((name, *identifier)), opened, lists)


def _folders_above(folders: Iterable[str]) -> set[tuple[str, str, str]]:
    """These folders and all that they lie in, by their keys: asked once for each Iceberg table of a metastore."""
    found: set[tuple[str, str, str]] = set()
    for folder in folders:
        scheme, authority, path = location_key(folder)
        while (key := (scheme, authority, path)) not in found:
            found.add(key)
            path = path.rpartition("/")[0]
    return found


def _told(name: str, iceberg: IcebergTable, lists: Sequence[pa.Table]) -> DoubleRead:
    live = {location_key(path) for part in iceberg.files() for path in part["file_path"].to_pylist()}
    inside = [
        row
        for files in lists
        for row in files.select(_TOLD).to_pylist()
        if lies_in(row["file_path"], iceberg.location) and location_key(row["file_path"]) not in live
    ]
    partitions = sorted({row["partition"] for row in inside})
    return DoubleRead(
        iceberg=name,
        files=len(inside),
        bytes=sum(row["file_size_in_bytes"] for row in inside),
        rows=sum(row["record_count"] for row in inside),
        partitions=len(partitions),
        partition=_filter(iceberg, [json.loads(one) for one in partitions]),
        keeps_everything=iceberg.properties.get("gc.enabled", "true").lower() == "false",
    )


def _filter(iceberg: IcebergTable, partitions: list[dict[str, Any]]) -> str | None:
    """A filter over the Iceberg table's identity partition columns that holds for these partitions alone."""
    specs = iceberg.iceberg.specs().values()
    names = {iceberg.iceberg.schema().find_column_name(field.source_id) for spec in specs for field in spec.fields}
    if not partitions or any(set(one) - names for one in partitions) or not all(partitions):
        return None
    terms = [" and ".join(_equals(name, value) for name, value in one.items()) for one in partitions]
    return terms[0] if len(terms) == 1 else " or ".join(f"({term})" for term in terms)


def _equals(name: str, value: Any) -> str:
    quoted = name if name.isidentifier() else '"' + name.replace('"', '""') + '"'
    if value is None:
        return f"{quoted} is null"
    literal = str(value).lower() if isinstance(value, bool) else value
    return (
        f"{quoted} = {literal}" if not isinstance(value, str) else "{} = '{}'".format(quoted, value.replace("'", "''"))
    )
