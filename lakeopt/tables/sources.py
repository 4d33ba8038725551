"""Tables for engines with a catalog of their own: who may rewrite them so, and where such an engine finds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeopt.errors import Refused
from lakeopt.model.scan import TableSource
from lakeopt.tables.base import Table

SPARK = "spark"
_HIVE = "--engine spark does not rewrite Hive tables yet"


def read_only_by(table: Table, engine: str) -> str | None:
    """Why this engine cannot rewrite a table, or None. Spark keeps the row lineage of v3, which lakeopt cannot."""
    if engine != SPARK:
        return table.read_only
    if table.format != "iceberg":
        return table.read_only or _HIVE
    if table.format_version == 3 and (found := _iceberg(table)) is not None:
        other: str | None = found.read_only_otherwise
        return other
    return table.read_only


def committer_by(table: Table, engine: str) -> str:
    """Name of the committer of what this engine stages: Java's own for v3, which pyiceberg cannot write."""
    return "iceberg-spark" if engine == SPARK and table.format_version >= 3 else table.committer


def table_source(table: Table, *, snapshot_id: int, spec_id: int, folder: str, conf: Mapping[str, str]) -> TableSource:
    """Where an engine finds a table of a catalog; ``folder`` is the name of one below the table's data.

    :raises Refused: the table is of no catalog.
    """
    found = _iceberg(table)
    if found is None or found.iceberg.catalog.name in (None, "static-table"):
        raise Refused(f"{table.identifier} is of no catalog that Spark could be told of", hint="use --engine duckdb")
    catalog = found.iceberg.catalog
    return TableSource(
        catalog=catalog.name,
        name=tuple(found.iceberg.name()),
        uuid=table.uuid,
        properties={str(name): str(value) for name, value in catalog.properties.items()},
        snapshot_id=snapshot_id,
        spec_id=spec_id,
        folder=f"{_data_folder(table)}/{folder}",
        conf=conf,
    )


def _data_folder(table: Table) -> str:
    """Where Iceberg's Java writers put data files."""
    named = ("write.data.path", "write.object-storage.path", "write.folder-storage.path")
    found = next((table.properties[name] for name in named if table.properties.get(name)), None)
    return (found or f"{table.location.rstrip('/')}/data").rstrip("/")


def _iceberg(table: Table) -> Any:
    return table if table.format == "iceberg" else None
