"""The key that a table's files are meant to be in, and the sort order that says it."""

from __future__ import annotations

from collections.abc import Iterator

from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot, ancestors_of
from pyiceberg.table.sorting import NullOrder, SortDirection, SortOrder
from pyiceberg.transforms import IdentityTransform

from lakeopt.errors import UsageError
from lakeopt.model.layout_record import LAYOUT_PROPERTY
from lakeopt.model.plan import Layout, SortField
from lakeopt.model.serde import from_json


def intended_key(metadata: TableMetadata) -> tuple[SortField, ...]:
    """Sort key of the last layout that lakeopt gave the main branch, else of the default sort order; or nothing.

    A layout that cannot be read, or whose columns are gone, counts as none.
    """
    layout = last_layout(metadata)
    if layout is not None and layout.strategy == "sort" and layout.block_rows is None:
        names = {field.name for field in metadata.schema().fields}
        if layout.columns and all(field.name in names for field in layout.columns):
            return layout.columns
    return order_key(metadata.sort_order_by_id(metadata.default_sort_order_id), metadata.schema())


def last_layout(metadata: TableMetadata) -> Layout | None:
    """The newest layout in the ancestry of the main branch."""
    for snapshot in _ancestry(metadata):
        text = snapshot.summary.additional_properties.get(LAYOUT_PROPERTY) if snapshot.summary else None
        if text is not None:
            try:
                return from_json(Layout, text)
            except UsageError:
                return None
    return None


def _ancestry(metadata: TableMetadata) -> Iterator[Snapshot]:
    yield from ancestors_of(metadata.snapshot_by_name("main"), metadata)


def order_key(order: SortOrder | None, schema: Schema) -> tuple[SortField, ...]:
    """Key that a sort order says, or nothing if part of it is no plain top-level column of the schema."""
    names = {field.field_id: field.name for field in schema.fields}
    key = []
    for field in order.fields if order is not None else ():
        if not isinstance(field.transform, IdentityTransform) or field.source_id not in names:
            return ()
        key.append(
            SortField(
                names[field.source_id],
                "asc" if field.direction == SortDirection.ASC else "desc",
                "first" if field.null_order == NullOrder.NULLS_FIRST else "last",
            )
        )
    return tuple(key)


def order_id(metadata: TableMetadata, key: tuple[SortField, ...]) -> int | None:
    """Id of the sort order that says exactly this key, if the table has one."""
    if not key:
        return None
    orders = (order for order in metadata.sort_orders if order_key(order, metadata.schema()) == key)
    return next((order.order_id for order in orders), None)
