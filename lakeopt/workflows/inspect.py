"""``inspect``: how healthy a table is, or its metadata as rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakeopt.config import Settings
from lakeopt.errors import Refused, UnknownName
from lakeopt.model.table import TableProfile, TableView
from lakeopt.tables.base import Table

if TYPE_CHECKING:
    import pyarrow as pa

VIEWS = ("summary", "files", "partitions", "snapshots", "refs", "manifests")


def inspect(
    table: str | Table,
    *,
    view: str = "summary",
    all_footers: bool = False,
    ref: str | None = None,
    settings: Settings | None = None,
) -> TableProfile | TableView:
    """Health of a table from metadata and footers alone, or one view of its metadata.

    ``view`` is one of :data:`VIEWS`. ``ref`` is a branch, tag or snapshot id; the current snapshot without it.
    At most 200 footers are read unless ``all_footers``; the profile states how many.

    :raises UnknownName: no such table, view, branch, tag or snapshot.
    :raises Refused: a Hive table keeps no snapshots, refs or manifests.
    :raises DataFileError: a manifest or manifest list is missing or damaged.
    """
    if view not in VIEWS:
        raise UnknownName("view", view, VIEWS)
    opened = _open(table, settings) if isinstance(table, str) else table
    snapshot_id = opened.snapshot_id(ref) if ref is not None else opened.snapshot_id()
    if view == "summary":
        from lakeopt.analysis.health import table_profile, worst_first
        from lakeopt.workflows.double_reading import double_reading

        profile = table_profile(opened, snapshot_id=snapshot_id, now=datetime.now(UTC), all_footers=all_footers)
        return replace(profile, findings=worst_first((*profile.findings, *double_reading(opened))))
    rows = _rows(opened, view, snapshot_id)
    snapshot = None if snapshot_id is None else str(snapshot_id)
    return TableView(opened.identifier, view, snapshot, tuple(rows.to_pylist(maps_as_pydicts="strict")))


def _open(name: str, settings: Settings | None) -> Table:
    from lakeopt.config import load_settings
    from lakeopt.tables.open import open_table

    return open_table(name, settings or load_settings())


def _rows(table: Table, view: str, snapshot_id: int | None) -> pa.Table:
    """Rows of a metadata view: the file lists' own, or the table's."""
    if view not in ("files", "partitions"):
        if not table.keeps_snapshots:
            raise Refused(
                f"{table.identifier} has no {view}: a Hive table keeps none", hint="--view files or partitions"
            )
        return table.view(view, snapshot_id)
    from lakeopt.analysis import file_views
    from lakeopt.analysis.health import live_files

    listed = live_files(table, snapshot_id, "all")
    return file_views.files(listed) if view == "files" else file_views.partitions(listed, table.target_file_bytes())
