"""What a data set of the suite is: one module of this folder with the names of :class:`Dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pyarrow as pa


class UnavailableError(Exception):
    """A data set cannot be had here: a tool or the network is missing. Its figures are null."""


class Dataset(Protocol):
    """One table, and the questions that it is asked."""

    #: Its place in tables, and what it is, in a few words.
    PLACE: int
    TITLE: str
    #: Where it comes from, and under which licence.
    SOURCE: str
    LICENCE: str
    #: Columns that the queries filter by, the main one first: z-order and Hilbert take the first three.
    COLUMNS: tuple[str, ...]
    #: Named SQL with weights, as ``--queries`` takes it; the table is ``t``.
    QUERIES: str

    def rows(self, folder: Path, quick: bool) -> pa.Table:
        """All rows in the order in which they arrive; for ``quick`` about a tenth of a large set.

        What is fetched or made on the way is kept in ``folder``, and taken from there the next time.

        :raises UnavailableError: a tool or the network is missing.
        """


def plain(table: pa.Table) -> pa.Table:
    """Text as Iceberg tables hold it in Arrow, every column in one piece."""
    other = (pa.string_view(), pa.large_string())
    fields = [field.with_type(pa.string()) if field.type in other else field for field in table.schema]
    return table.cast(pa.schema(fields)).combine_chunks()
