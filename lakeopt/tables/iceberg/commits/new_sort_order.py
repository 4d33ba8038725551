"""The sort order that says a layout's key: the table's own if it has one, else one to be added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.table.update import (
    AddSortOrderUpdate,
    AssertDefaultSortOrderId,
    SetDefaultSortOrderUpdate,
    TableUpdate,
    ValidatableTableRequirement,
)
from pyiceberg.transforms import IdentityTransform

from lakeopt.errors import StalePlan
from lakeopt.model.plan import Layout

#: Strategies whose key is compared column after column, as an Iceberg sort order is.
LEXICOGRAPHIC = frozenset({"sort"})


class AssertHighestSortOrderId(ValidatableTableRequirement):
    """No sort order was added meanwhile. For catalogs whose client applies the updates: the id is chosen here."""

    type: Literal["assert-lakeopt-highest-sort-order-id"] = "assert-lakeopt-highest-sort-order-id"
    highest: int

    def validate(self, base_metadata: TableMetadata | None) -> None:  # type: ignore[override]
        """Refuse the commit where the id that the new files carry may be taken.

        :raises CommitFailedException: a sort order was added.
        """
        if base_metadata is None or _highest(base_metadata) != self.highest:
            raise CommitFailedException("Requirement failed: a sort order was added concurrently")


def order_of(metadata: TableMetadata, layout: Layout) -> SortOrder | None:
    """The table's sort order with exactly the layout's key, else a new one with the next id.

    None where the layout is no sort order.

    :raises StalePlan: a column of the key is gone.
    """
    fields = order_fields(metadata.schema(), layout)
    if not fields:
        return None
    same = (order for order in metadata.sort_orders if order.fields == fields)
    return next(same, None) or SortOrder(*fields, order_id=_highest(metadata) + 1)


def order_fields(schema: Schema, layout: Layout) -> list[SortField]:
    """The layout's key as Iceberg sort fields; empty where the layout is no sort order.

    :raises StalePlan: a column of the key is gone.
    """
    if layout.strategy not in LEXICOGRAPHIC:
        return []
    ids = {field.name: field.field_id for field in schema.fields}
    for column in layout.columns:
        if column.name not in ids:
            raise StalePlan(f"the sort column {column.name!r} is no longer in the table", hint="make a new plan")
    return [
        SortField(
            source_id=ids[column.name],
            transform=IdentityTransform(),
            direction=SortDirection(column.direction),
            null_order=NullOrder(f"nulls-{column.nulls}"),
        )
        for column in layout.columns
    ]


def order_changes(
    metadata: TableMetadata, order: SortOrder, *, make_default: bool, remote: bool
) -> tuple[Sequence[TableUpdate], Sequence[Any]]:
    """Updates that add the order if it is new and make it the default if asked; requirements of them.

    ``remote`` says that a server applies the updates: it knows the standard requirements only.
    """
    updates: list[TableUpdate] = []
    requirements: list[Any] = []
    if metadata.sort_order_by_id(order.order_id) is None:
        updates.append(AddSortOrderUpdate(sort_order=order))  # type: ignore[call-arg]
        if not remote:
            requirements.append(AssertHighestSortOrderId(highest=_highest(metadata)))
    if make_default and metadata.default_sort_order_id != order.order_id:
        updates.append(SetDefaultSortOrderUpdate(sort_order_id=order.order_id))  # type: ignore[call-arg]
    if updates:
        requirements.append(
            AssertDefaultSortOrderId(default_sort_order_id=metadata.default_sort_order_id)  # type: ignore[call-arg]
        )
    return updates, requirements


def _highest(metadata: TableMetadata) -> int:
    return max((order.order_id for order in metadata.sort_orders), default=0)
