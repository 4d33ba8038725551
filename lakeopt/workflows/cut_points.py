"""The cut points of a layout that has some: kept from the last run where they still divide rows evenly, else made."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lakeopt.config import Settings
from lakeopt.errors import UsageError
from lakeopt.keys.curves import CURVES
from lakeopt.model.layout_record import recorded
from lakeopt.model.plan import PV_BUCKETS, Layout
from lakeopt.tables.base import Table
from lakeopt.workflows import resources
from lakeopt.workflows.cut_request import CutRequest

if TYPE_CHECKING:
    from lakeopt.workflows.bucket_plan import BucketPlan

#: Ranges that a column is divided into for a curve: more would tell rows apart that lie on one page anyway.
CURVE_RANGES = 256
#: Cut points stay as long as none is further than this share of all rows from where it belongs.
DRIFT = 0.2


@dataclass(frozen=True, slots=True)
class Cutting:
    """What a plan says of cut points, whatever its layout: most have none."""

    where: str | None
    target_file_bytes: int
    buckets: int | None = None
    counts: str | Path | None = None
    queries: str | Path | None = None
    set_default_sort_order: bool = False

    def cut(
        self, table: Table, base: int | None, layout: Layout | None, memory_bytes: int | None, settings: Settings
    ) -> Layout | None:
        """The layout with its cut points, from the files of a snapshot.

        :raises UsageError: something was asked for that the layout cannot have.
        """
        if layout is None:
            return None
        if not has_cut_points(layout.strategy):
            if self.buckets or self.counts:
                raise UsageError(f"{layout.strategy} has no buckets", hint="--buckets and --counts go with pv-buckets")
            return layout
        if self.set_default_sort_order:
            raise UsageError(f"{layout.strategy} is no sort order", hint="leave out --set-default-sort-order")
        if base is None:
            return layout
        return with_cut_points(layout, self.request(table, base, memory_bytes, settings))

    def request(self, table: Table, base: int, memory_bytes: int | None, settings: Settings) -> CutRequest:
        """The same for one snapshot of a table."""
        import pyarrow as pa

        from lakeopt.model.scan import files_schema

        lists = table.files(base, where=self.where)
        return CutRequest(
            table,
            pa.concat_tables([files_schema().empty_table(), *lists]),
            self.target_file_bytes,
            resources.memory(memory_bytes, settings),
            resources.threads(None, settings),
            self.buckets,
            self.counts,
            () if self.queries is None else filtered_columns(self.queries, table.schema.names),
        )


def filtered_columns(queries: str | Path, names: Sequence[str]) -> list[str]:
    """Columns that queries filter, those of the most weight first."""
    from lakeopt.analysis.predicates import readings
    from lakeopt.workflows.queries import usable_queries

    weights: Counter[str] = Counter()
    for query in usable_queries(queries, names)[0]:
        for column in {condition.column for reading in readings(query.sql, names) for condition in reading}:
            weights[column] += query.weight  # type: ignore[assignment]
    return [name for name, _ in weights.most_common()]


def has_cut_points(strategy: str) -> bool:
    """Whether layouts of a strategy have cut points."""
    return strategy in CURVES or strategy == PV_BUCKETS


def bounds_tell_order(layout: Layout) -> bool:
    """Whether files in a layout with columns are ranges of these columns, so that their bounds tell them apart."""
    return not layout.cuts or (layout.strategy == PV_BUCKETS and layout.seen is None)


def with_cut_points(layout: Layout, request: CutRequest) -> Layout:
    """The layout with cut points: those that the table records for it, as long as they hold, else new ones.

    :raises UsageError: a file of counts cannot be read, or there is nothing to take counts from.
    """
    if layout.strategy in CURVES and (request.buckets or request.counts):
        raise UsageError(f"{layout.strategy} has no buckets", hint="--buckets and --counts go with pv-buckets")
    held = _held(layout, request.table)
    if layout.strategy == PV_BUCKETS:
        return _buckets(layout, held, request).layout
    return _curve(layout, held, request)


def _held(layout: Layout, table: Table) -> Layout | None:
    """The layout that a table records, where it is the one asked for and fits the columns of today."""
    from lakeopt.keys.layout_key import layout_key

    held = recorded(table.properties)
    if held is None or not _is_for(held, layout):
        return None
    try:
        return held if layout_key(held, table.schema) is not None else None
    except UsageError:
        return None


def _is_for(held: Layout, layout: Layout) -> bool:
    """Whether a recorded layout is what is asked for; a second key that was chosen stays chosen."""
    asked = layout.columns
    if layout.strategy == PV_BUCKETS and len(asked) == 1:
        asked = held.columns[:1]
    same = held.columns[: len(asked)] == layout.columns
    whole = layout.strategy == PV_BUCKETS or len(held.columns) == len(layout.columns)
    return same and whole and (held.strategy, held.version) == (layout.strategy, layout.version)


def _curve(layout: Layout, held: Layout | None, request: CutRequest) -> Layout:
    from lakeopt.analysis.bucket_weights import plain
    from lakeopt.keys.cut_points import divides_evenly, quantiles, to_text
    from lakeopt.keys.layout_key import layout_key

    names = [column.name for column in layout.columns]
    sample = request.sample(names)
    columns = {name: plain(sample.column(name)) for name in names}
    if held is not None:
        cuts = layout_key(held, request.table.schema).cuts  # type: ignore[union-attr]
        if all(divides_evenly(columns[name], cut, DRIFT) for name, cut in zip(names, cuts, strict=True)):
            return held
    made = {name: to_text(quantiles(column, CURVE_RANGES)) for name, column in columns.items()}
    return dataclasses.replace(layout, cuts=made)


def _buckets(layout: Layout, held: Layout | None, request: CutRequest) -> BucketPlan:
    from lakeopt.workflows.bucket_plan import plan_buckets

    return plan_buckets(layout, held, request)
