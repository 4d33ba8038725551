"""Steps from one order to others like it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lakeopt.model.row_order import RowOrder

#: Polish moves one of so many costliest columns to one of so many first places.
COSTLIEST, PLACES = 10, 5


def appended(order: RowOrder, columns: Iterable[str]) -> list[RowOrder]:
    """The order with one more column behind."""
    return [replace(order, columns=(*order.columns, name)) for name in columns if name not in order.columns]


def grown(order: RowOrder, columns: Iterable[str]) -> list[RowOrder]:
    """The order with one more column: behind, in front, or before the last."""
    held = order.columns
    return [
        replace(order, columns=columns)
        for name in columns
        if name not in held
        for columns in dict.fromkeys([(*held, name), (name, *held), (*held[:-1], name, *held[-1:])])
    ]


def with_tail(order: RowOrder, columns: Sequence[str]) -> RowOrder:
    """The order and behind it all other columns."""
    return replace(order, columns=(*order.columns, *(name for name in columns if name not in order.columns)))


def polished(order: RowOrder, column_bytes: Mapping[str, int], keys: Sequence[str]) -> list[RowOrder]:
    """The order with one of its costliest columns moved, or taken, to one of the first places, or one column less."""
    costliest = sorted(keys, key=lambda name: -column_bytes[name])[:COSTLIEST]
    moved = []
    for name in costliest:
        left = tuple(other for other in order.columns if other != name)
        moved += [(*left[:place], name, *left[place:]) for place in range(min(PLACES, len(left) + 1))]
    shortened = [tuple(other for other in order.columns if other != name) for name in order.columns]
    new = dict.fromkeys(columns for columns in [*moved, *shortened] if columns and columns != order.columns)
    return [replace(order, columns=columns) for columns in new]
