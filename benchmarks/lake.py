"""A warehouse for benchmarks: an Iceberg table of many small files, landed by plain pyiceberg appends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table


def open_catalog(folder: Path) -> SqlCatalog:
    """The SQLite catalog ``bench`` of a folder; subprocesses see the same one by the environment."""
    uri, warehouse = f"sqlite:///{folder}/catalog.db", f"file://{folder}/warehouse"
    os.environ["PYICEBERG_CATALOG__BENCH__TYPE"] = "sql"
    os.environ["PYICEBERG_CATALOG__BENCH__URI"] = uri
    os.environ["PYICEBERG_CATALOG__BENCH__WAREHOUSE"] = warehouse
    return SqlCatalog("bench", uri=uri, warehouse=warehouse)


def landed(folder: Path, dataset: ModuleType, scale: float, files: int) -> Table:
    """The data set as an Iceberg table with one append a file (zstd 3); made once, then reused."""
    folder.mkdir(parents=True, exist_ok=True)
    catalog = open_catalog(folder)
    catalog.create_namespace_if_not_exists("b")
    identifier = f"b.{dataset.NAME}_{scale:g}".replace(".", "p").replace("bp", "b.", 1)
    if catalog.table_exists(identifier):
        return catalog.load_table(identifier)
    table: Table | None = None
    for part in dataset.batches(folder, scale, files):
        if table is None:
            properties = {"write.parquet.compression-codec": "zstd", "write.parquet.compression-level": "3"}
            table = catalog.create_table(identifier, schema=part.schema, properties=properties)
        table.append(part)
    assert table is not None
    return catalog.load_table(identifier)


def rolled_back(table: Table, snapshot_id: int, *, keep: Sequence[int] = ()) -> Table:
    """The table as it was at a snapshot, no layout recorded, and the files of later snapshots removed.

    Those of the snapshots ``keep`` stay.
    """
    kept = set[str]().union(*(_paths(table, number) for number in (snapshot_id, *keep)))
    fresh = table.refresh()
    dead = _paths(fresh, None) - kept
    fresh.manage_snapshots().set_current_snapshot(snapshot_id).commit()
    fresh = fresh.refresh()
    recorded = [name for name in fresh.properties if name.startswith("lakeopt.")]
    if recorded:
        with fresh.transaction() as change:
            change.remove_properties(*recorded)
    for path in dead:
        Path(path.removeprefix("file://")).unlink(missing_ok=True)
    return fresh.refresh()


def _paths(table: Table, snapshot_id: int | None) -> set[str]:
    return set(table.inspect.files(snapshot_id)["file_path"].to_pylist())
