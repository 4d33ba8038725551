"""Which files lie across the boundaries of the queries' ranges: read for a part of their rows only.

A query that filters the layout's columns needs a file whose bounds meet its ranges, and reads it in vain as far as
the file lies outside them. Such files are what a better order of the rows mends first. Both questions are put to the
bounds in the manifests, as a reader does: may it hold rows that the query asks for, and may it hold others?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lakeopt.errors import UsageError
from lakeopt.model.plan import FileGroup, SortField
from lakeopt.model.workload import Query
from lakeopt.tables.base import Table
from lakeopt.workflows.pushdown import file_filter
from lakeopt.workflows.queries import bind, usable_queries

#: Queries that are asked about, those of the most weight first: each takes two looks at the manifests.
MOST_QUERIES = 20


@dataclass(frozen=True, slots=True)
class RangeBoundaries:
    """Paths of files across the boundaries of each query, with the query's share of all weights."""

    across: Sequence[tuple[float, frozenset[str]]]

    @classmethod
    def of(cls, table: Table, base: int, columns: Sequence[SortField], queries: str | Path) -> RangeBoundaries:
        """Those of the files of a snapshot, on the columns of a layout.

        Queries that cannot be used are left out, as in a recommendation, which lists them.

        :raises UsageError: the file cannot be read, or none of its queries can be used.
        """
        usable, _ = usable_queries(queries, list(table.field_types))
        heaviest = sorted(usable, key=lambda query: -query.weight)[:MOST_QUERIES]
        total = sum(query.weight for query in heaviest)
        names = {column.name for column in columns}
        return cls([(query.weight / total, _across(table, base, names, query)) for query in heaviest])

    def share(self, group: FileGroup) -> float:
        """Of a group's bytes the share that lies across boundaries, by the queries' weights."""
        return sum(
            weight * sum(file.bytes for file in group.data_files if file.path in paths) / max(1, group.bytes)
            for weight, paths in self.across
        )

    def first(self, groups: Sequence[FileGroup]) -> tuple[FileGroup, ...]:
        """The groups in the order in which they pay, numbered anew: what lies across boundaries comes first."""
        rated = [replace(group, across=self.share(group)) for group in groups]
        rated.sort(key=lambda group: (-(group.across or 0.0), -(group.across or 0.0) * group.bytes))
        return tuple(replace(group, group_id=number) for number, group in enumerate(rated))


def _across(table: Table, base: int, names: set[str], query: Query) -> frozenset[str]:
    """Files that a query needs for some of their rows only, as far as the layout's columns tell."""
    bind(query, [table.identifier])
    asked = file_filter(query, table.field_types)
    ours = file_filter(query, {name: kind for name, kind in table.field_types.items() if name in names})
    if asked is None or ours is None:
        return frozenset()
    try:
        needed, others = (_paths(table, base, where) for where in (asked, f"not ({ours})"))
    except UsageError:  # a literal that is no value of its column prunes nothing
        return frozenset()
    return needed & others


def _paths(table: Table, base: int, where: str) -> frozenset[str]:
    return frozenset(path for part in table.files(base, where=where) for path in part["file_path"].to_pylist())
