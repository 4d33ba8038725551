"""A treemap whose boxes are placed in percent, so that it fills any width while its text keeps its size.

Squarified: Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakeopt.figures import counted, percent, size
from lakeopt.report.markup import Markup, tag

#: Boxes at most; the smallest of more are drawn as one.
BOXES = 40
#: So few boxes need no more than a strip.
_FEW = 6
#: Width to height that the boxes are made square for; a narrow screen draws them higher.
_ASPECT, _STRIP = 2.0, 6.0


@dataclass(frozen=True, slots=True)
class Tile:
    """One thing that takes bytes; ``kind`` is its colour."""

    name: str
    bytes: int
    kind: str


@dataclass(frozen=True, slots=True)
class Box:
    """Where a tile lies, in shares of the whole width and height."""

    left: float
    top: float
    width: float
    height: float


def treemap(label: str, tiles: Sequence[Tile], noun: str) -> Markup:
    """The tiles, largest first, as boxes of areas that are in proportion to their bytes."""
    shown = grouped(tiles, noun)
    total, strip = sum(tile.bytes for tile in shown), len(shown) <= _FEW
    boxes = squarified([tile.bytes for tile in shown], _STRIP if strip else _ASPECT)
    drawn = [_drawn(tile, box, total) for tile, box in zip(shown, boxes, strict=True)]
    return tag("div", *drawn, class_="treemap strip" if strip else "treemap", role="img", aria_label=label)


def grouped(tiles: Sequence[Tile], noun: str) -> list[Tile]:
    """At most :data:`BOXES` tiles above zero bytes, largest first; the rest of them as the last one."""
    ranked = sorted((tile for tile in tiles if tile.bytes > 0), key=lambda tile: -tile.bytes)
    if len(ranked) <= BOXES:
        return ranked
    rest = ranked[BOXES - 1 :]
    return [
        *ranked[: BOXES - 1],
        Tile(counted(len(rest), f"more {noun}"), sum(tile.bytes for tile in rest), "rest"),
    ]


def squarified(sizes: Sequence[float], aspect: float) -> list[Box]:
    """Boxes for sizes above zero, in their order, that fill a rectangle of width ``aspect`` and height 1.

    Places are given in shares of the rectangle; areas are in proportion to the sizes.
    """
    total = sum(sizes)
    areas = [size / total * aspect for size in sizes]
    boxes: list[Box] = []
    left, top, width, height = 0.0, 0.0, aspect, 1.0
    start = 0
    while start < len(areas):
        side = max(min(width, height), 1e-12)
        end = start + 1
        while end < len(areas) and _worst(areas[start : end + 1], side) <= _worst(areas[start:end], side):
            end += 1
        row = areas[start:end]
        depth = sum(row) / side
        offset = 0.0
        for area in row:
            length = area / max(depth, 1e-12)
            if width >= height:
                boxes.append(Box(left / aspect, top + offset, depth / aspect, length))
            else:
                boxes.append(Box((left + offset) / aspect, top, length / aspect, depth))
            offset += length
        if width >= height:
            left, width = left + depth, width - depth
        else:
            top, height = top + depth, height - depth
        start = end
    return boxes


def _worst(row: Sequence[float], side: float) -> float:
    """How far the boxes of a row are from squares, at worst."""
    total = sum(row)
    return max(side * side * max(row) / (total * total), total * total / (side * side * min(row)))


def _drawn(tile: Tile, box: Box, total: int) -> Markup:
    share = percent(tile.bytes / total)
    places = {"left": box.left, "top": box.top, "width": box.width, "height": box.height}
    style = ";".join(f"{name}:{place * 100:.3f}%" for name, place in places.items())
    label = tag("span", tag("b", tile.name), tag("i", share), class_="label")
    title = f"{tile.name}: {size(tile.bytes)}, {share}"
    return tag("div", label, class_=f"tile {tile.kind}", style=style, title=title)
