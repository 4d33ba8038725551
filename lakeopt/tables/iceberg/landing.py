"""Land rows as a pipeline would: one append after another, and old snapshots expired now and then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
from pyiceberg.table import Table, Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import TableUpdate

from lakeopt.errors import UsageError
from lakeopt.tables.iceberg import catalog
from lakeopt.tables.iceberg.identifiers import join_identifier

#: After so many appends all but the last few snapshots are expired: pyiceberg's commits slow down with each one.
EXPIRE_EVERY, SNAPSHOTS_KEPT = 30, 7


def lake_environment(directory: Path, name: str) -> dict[str, str]:
    """Environment variables by which pyiceberg finds the catalog of a lake of local files in a directory."""
    prefix = f"PYICEBERG_CATALOG__{name.upper()}"
    return {
        f"{prefix}__TYPE": "sql",
        f"{prefix}__URI": f"sqlite:///{directory / 'catalog.db'}",
        f"{prefix}__WAREHOUSE": (directory / "warehouse").as_uri(),
    }


def create_lake(directory: Path) -> None:
    """The folders and the empty catalog file of a new lake.

    :raises UsageError: there is one already, or the folder holds something else.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"not an empty folder: {directory}", hint="choose another --dir, or remove that one")
    (directory / "warehouse").mkdir(parents=True)
    (directory / "catalog.db").touch()


def land(
    catalog_name: str, identifier: tuple[str, ...], pieces: Iterable[pa.Table], properties: Mapping[str, str]
) -> str:
    """A new table of these rows, one append a piece; its whole name.

    :raises UnknownName: the catalog is not configured.
    :raises Unreachable: the catalog does not answer.
    """
    lake = catalog.connect(catalog_name)
    lake.create_namespace_if_not_exists(identifier[:-1])
    table: Table | None = None
    for number, piece in enumerate(pieces, start=1):
        if table is None:
            table = lake.create_table(identifier, piece.schema, properties=dict(properties))
        with _Append(table) as append:
            append.append(piece)
        if number % EXPIRE_EVERY == 0:
            _expire(table)
    return join_identifier((catalog_name, *identifier))


def create_branch(catalog_name: str, identifier: tuple[str, ...], branch: str) -> None:
    """A branch that begins where ``main`` is.

    :raises UnknownName: no such catalog or table.
    """
    table = catalog.load(catalog.connect(catalog_name), identifier)
    head = table.current_snapshot()
    if head is not None:
        table.manage_snapshots().create_branch(head.snapshot_id, branch).commit()


class _Append(Transaction):
    """A transaction that works out its metadata once per change.

    pyiceberg's own copies the whole metadata, deep, at each of the twenty looks that an append takes at it, which is
    nine tenths of an append's time. Nobody here changes what is looked at.
    """

    _seen: tuple[TableMetadata, tuple[TableUpdate, ...], TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """Metadata of the table with the changes so far."""
        base = self._table.metadata
        if self._seen is None or self._seen[0] is not base or self._seen[1] is not self._updates:
            self._seen = (base, self._updates, super().table_metadata)
        return self._seen[2]


def _expire(table: Table) -> None:
    """Forget all snapshots but the newest ones; nobody else writes to a table that is only now made."""
    ids = [snapshot.snapshot_id for snapshot in sorted(table.metadata.snapshots, key=lambda s: s.sequence_number or 0)]
    if old := ids[:-SNAPSHOTS_KEPT]:
        table.maintenance.expire_snapshots().by_ids(old).commit()
