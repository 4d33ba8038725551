"""Where a Hive table's description comes from, a metastore or the folders themselves: the protocol that both fill."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from pyarrow import fs

#: A column's name and its type as Hive spells it, such as ``decimal(9,2)``.
Column = tuple[str, str]
FileFormat = Literal["parquet", "orc", "text", "avro", "unknown"]


@dataclass(frozen=True, slots=True)
class Storage:
    """How rows are stored at a location: the metastore's storage descriptor. ``columns`` are without partition columns.

    A partition has its own, which may be of an older schema than its table's.
    """

    location: str
    columns: tuple[Column, ...]
    file_format: FileFormat
    input_format: str = ""
    serde: str = ""
    serde_parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: its values as text, decoded, None for a null; of a table without partitions the whole of it."""

    values: tuple[str | None, ...]
    storage: Storage
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Description:
    """A table as its source describes it. ``refusal`` says why it is not rewritten (ACID, bucketed, a view …), and
    ``unreadable`` why its rows are not those of the files in its folders (ACID, a view), or cannot be read here (text).

    ``uuid`` is another once the table was dropped and created anew.
    """

    name: str
    uuid: str
    storage: Storage
    partition_columns: tuple[Column, ...]
    parameters: Mapping[str, str]
    managed: bool
    refusal: str | None = None
    unreadable: str | None = None


class Source(Protocol):
    """A metastore's table, or a folder. Every call asks anew."""

    def describe(self) -> Description:
        """The table as it is now.

        :raises UnknownName: it is gone.
        """

    def partitions(self, wanted: Sequence[tuple[str | None, ...]] | None = None) -> Iterator[list[Partition]]:
        """All partitions page by page, or those with these values (one that is gone is left out).

        A table without partitions has one, with no values.
        """

    def refreshed(self) -> Source:
        """The same source, which remembers nothing of what it was asked."""

    def resolve(self, location: str) -> tuple[fs.FileSystem, str]:
        """File system and path of a location."""
