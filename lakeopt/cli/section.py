"""What people read of a value: titled facts, grids and lists, which the table and Markdown formats draw."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lakeopt.model.serde import Document

Style = Literal["critical", "warning", "info", "good", "dim", "strong"]
#: What a column does when space is short: stay whole, wrap at words, or lose its middle.
Fit = Literal["whole", "wrap", "middle"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A text with what it means to the reader, which becomes a colour where there are colours."""

    text: str
    style: Style | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a grid. Where space is short, columns with the highest ``rank`` go first; rank 0 stays."""

    title: str
    right: bool = False
    rank: int = 0
    fit: Fit = "whole"


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with one value each."""

    title: str
    pairs: Sequence[tuple[str, Cell | str]]


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows under columns; ``note`` says what the figures mean or what is left out."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell | str]]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a list: a label, what it says, details, and a command that can be copied."""

    label: Cell
    text: str
    details: str | None = None
    command: str | None = None


@dataclass(frozen=True, slots=True)
class Items:
    """A list of things that are too long for a grid."""

    title: str
    items: Sequence[Item]


Section = Facts | Grid | Items


def sections(value: Document) -> list[Section]:
    """The sections of a value: what the module named after its kind in :mod:`lakeopt.cli.sections` makes of it."""
    found: Iterable[Section] = importlib.import_module(f"lakeopt.cli.sections.{value.kind}").sections(value)
    return list(found)
