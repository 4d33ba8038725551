"""Figures of the command line: those of :mod:`lakeopt.figures`, and what becomes a cell with a meaning."""

from __future__ import annotations

from lakeopt.cli.section import Cell
from lakeopt.figures import (
    NOTHING,
    WORTH_WAY_OUT,
    count,
    counted,
    decimal,
    in_blocks,
    key,
    named,
    percent,
    rewrite_command,
    seconds,
    size,
    times,
    visible,
    worth_words,
)

__all__ = [
    "NOTHING",
    "WORTH_WAY_OUT",
    "change",
    "count",
    "counted",
    "decimal",
    "in_blocks",
    "key",
    "named",
    "percent",
    "rewrite_command",
    "seconds",
    "size",
    "times",
    "visible",
    "worth_words",
]


def change(before: float, after: float) -> Cell:
    """What ``after`` is to ``before`` in bytes: smaller is good.

    >>> change(100, 61).text
    '61 % of before'
    """
    if not before:
        return Cell(NOTHING)
    return Cell(f"{percent(after / before)} of before", "good" if after < before else None)
