"""What z-order and Hilbert share: files lie along a space-filling curve, which their bounds do not tell."""

from __future__ import annotations

from lakeopt.errors import UsageError
from lakeopt.layout.strategies.sort import Sort
from lakeopt.model.plan import Layout, SortField

#: Beyond this a curve has so few bits for each column that none of them is served.
MAX_COLUMNS = 8


class Curve(Sort):
    """Files that one commit wrote do not overlap on a curve; those of two are taken to overlap everywhere."""

    def __init__(self, name: str, summary: str) -> None:
        self.name, self.summary = name, summary

    def layout(self, columns: tuple[SortField, ...]) -> Layout:
        """The layout, still without cut points; it needs one to eight columns, ascending."""
        super().layout(columns)
        require_ascending(self.name, columns)
        if len(columns) > MAX_COLUMNS:
            raise UsageError(f"{self.name} takes at most {MAX_COLUMNS} columns", hint="name those that are filtered")
        return Layout(self.name, columns)


def require_ascending(name: str, columns: tuple[SortField, ...]) -> None:
    """Refuse a direction in an order that has none.

    :raises UsageError: a column is descending, or its nulls come last.
    """
    for column in columns:
        if column != SortField(column.name):
            raise UsageError(f"{name} has no direction: {column}", hint="name the column alone")
