"""The schema of a Parquet footer as it is written there: a flat list of elements, each with the number of its children.

Field numbers are those of ``SchemaElement`` in Parquet's ``parquet.thrift``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lakeopt.parquet.stitch import NUM_ROWS, ROW_GROUPS
from lakeopt.parquet.thrift import BINARY, I32, I64, LIST, STRUCT, Items, Struct, encode

VERSION, SCHEMA, CREATED_BY = 1, 2, 6
TYPE, LENGTH, REPETITION, NAME, CHILDREN, CONVERTED, SCALE, PRECISION, FIELD_ID, LOGICAL = range(1, 11)
REQUIRED, OPTIONAL, REPEATED = range(3)
BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTES, FIXED = range(8)
#: ``ConvertedType`` -> the ``LogicalType`` that says the same, as (field of the union, its parameters).
_TIME_UNITS = {1: "ms", 2: "us", 3: "ns"}
_CONVERTED = {
    0: "string",
    1: "map",
    2: "map",
    3: "list",
    4: "enum",
    5: "decimal",
    6: "date",
    7: "time ms utc",
    8: "time us utc",
    9: "timestamp ms utc",
    10: "timestamp us utc",
    11: "uint 8",
    12: "uint 16",
    13: "uint 32",
    14: "uint 64",
    15: "int 8",
    16: "int 16",
    17: "int 32",
    18: "int 64",
    19: "json",
    20: "bson",
    21: "interval",
}
_LOGICAL = {1: "string", 2: "map", 3: "list", 4: "enum", 5: "decimal", 6: "date", 12: "json", 13: "bson", 14: "uuid"}
#: What is said where nothing is, too.
_PLAIN = {"int 32", "int 64"}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column that is stored: where it is, its physical type and length, and how deep nulls and lists go."""

    path: tuple[bytes, ...]
    kind: int
    length: int
    definition: int
    repetition: int


@dataclass(frozen=True, slots=True)
class Tree:
    """One element with all below it, in the order of the footer."""

    elements: tuple[Struct, ...]

    @property
    def head(self) -> Struct:
        """The element itself."""
        return self.elements[0]

    @property
    def name(self) -> str:
        """Its name as the file spells it."""
        return name_of(self.head)

    @property
    def children(self) -> list[Tree]:
        """What is directly below it."""
        return subtrees(self.elements)


def trees(footer: Struct) -> list[Tree]:
    """The top-level columns of a footer."""
    return subtrees(footer[SCHEMA][1].values)


def subtrees(elements: Sequence[Struct]) -> list[Tree]:
    """What is directly below the first of these elements."""
    found, place = [], 1
    for _ in range(_count(elements[0])):
        end = _end(elements, place)
        found.append(Tree(tuple(elements[place:end])))
        place = end
    return found


def schema_of(columns: Sequence[Tree], root: Struct) -> tuple[Struct, ...]:
    """All elements of a footer with these top-level columns under the root of another."""
    head = {**root, CHILDREN: (I32, len(columns))}
    return (head, *(element for column in columns for element in column.elements))


def leaves(elements: Sequence[Struct]) -> list[Leaf]:
    """The stored columns of a whole schema, in order."""
    return list(_leaves(Tree(tuple(elements)), (), 0, 0, root=True))


def _leaves(tree: Tree, path: tuple[bytes, ...], definition: int, repetition: int, *, root: bool) -> Iterator[Leaf]:
    if not root:
        path = (*path, tree.head[NAME][1])
        definition += _repetition(tree.head) in (OPTIONAL, REPEATED)
        repetition += _repetition(tree.head) == REPEATED
    if not _count(tree.head):
        length = tree.head[LENGTH][1] if LENGTH in tree.head else 0
        yield Leaf(path, tree.head[TYPE][1] if TYPE in tree.head else -1, length, definition, repetition)
    for child in tree.children:
        yield from _leaves(child, path, definition, repetition, root=False)


def arrow_schema(elements: Sequence[Struct]) -> pa.Schema:
    """The schema as pyarrow reads it, whatever else the file that it is of says."""
    from lakeopt.parquet.raw_footer import RawFooter

    footer: Struct = {
        VERSION: (I32, 2),
        SCHEMA: (LIST, Items(STRUCT, list(elements))),
        NUM_ROWS: (I64, 0),
        ROW_GROUPS: (LIST, Items(STRUCT, [])),
        CREATED_BY: (BINARY, b"lakeopt"),
    }
    file: pq.ParquetFile = RawFooter(encode(footer), 0).as_pyarrow()
    return file.schema_arrow


def meaning(tree: Tree) -> tuple[Any, ...]:
    """All that readers go by, so that equal ones are read alike: older and newer ways to say a type are one.

    Without field ids, without the names of what is inside lists and maps, and whether there may be nulls: a writer says
    so by the rows that it has.
    """
    return _meaning(tree, name_of(tree.head))


def with_nulls_of(tree: Tree, other: Tree) -> Tree:
    """A tree that may hold nulls wherever one of two of the same meaning may."""
    pairs = zip(tree.elements, other.elements, strict=True)
    return Tree(tuple({**own, REPETITION: held[REPETITION]} if _is_optional(held) else own for own, held in pairs))


def with_nulls(tree: Tree) -> Tree:
    """The column as one that may be null as a whole; what lies inside it stays as it is."""
    if _repetition(tree.head) != REQUIRED:
        return tree
    return Tree(({**tree.head, REPETITION: (I32, OPTIONAL)}, *tree.elements[1:]))


def _is_optional(element: Struct) -> bool:
    return REPETITION in element and _repetition(element) == OPTIONAL


def _meaning(tree: Tree, name: str) -> tuple[Any, ...]:
    head, said = tree.head, annotation(tree.head)
    inside = said in ("list", "map") or _repetition(head) == REPEATED
    inner = [_meaning(child, "" if inside else child.name) for child in tree.children]
    numbers = [head[number][1] if number in head else 0 for number in (SCALE, PRECISION)] if said == "decimal" else []
    return (
        name,
        _repetition(head) == REPEATED,
        head[TYPE][1] if TYPE in head and not inner else None,
        head[LENGTH][1] if LENGTH in head and head.get(TYPE, (0, -1))[1] == FIXED else 0,
        said,
        tuple(numbers),
        tuple(inner),
    )


def annotation(element: Struct) -> str:
    """What an element says of its values beyond their physical type, in one word of ours; empty where nothing."""
    if LOGICAL in element:
        ((number, (_, value)),) = element[LOGICAL][1].items()
        said = _logical(number, value)
    elif CONVERTED in element:
        number = element[CONVERTED][1]
        said = _CONVERTED.get(number, f"converted {number}")
    else:
        return ""
    return "" if said in _PLAIN else said


def _logical(number: int, value: Any) -> str:
    if number in (7, 8):
        ((unit, _),) = value[2][1].items()
        zone = "utc" if value[1][1] else "local"
        return f"{'time' if number == 7 else 'timestamp'} {_TIME_UNITS.get(unit, unit)} {zone}"
    if number == 10:
        return f"{'int' if value[2][1] else 'uint'} {value[1][1]}"
    return _LOGICAL.get(number, f"logical {number}")


def name_of(element: Struct) -> str:
    """The name of an element."""
    return str(element[NAME][1].decode(errors="replace"))


def _count(element: Struct) -> int:
    return int(element[CHILDREN][1]) if CHILDREN in element else 0


def _repetition(element: Struct) -> int:
    return int(element[REPETITION][1]) if REPETITION in element else 0


def _end(elements: Sequence[Struct], place: int) -> int:
    """Behind the subtree that begins at this place."""
    left = 1
    while left:
        left += _count(elements[place]) - 1
        place += 1
    return place
