"""The layout of a plan: asked for, remembered from the time when it was measured, or searched for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeopt import registry
from lakeopt.errors import UnknownName, UsageError
from lakeopt.layout import readers
from lakeopt.layout.strategies.base import Strategy
from lakeopt.model.layout_record import cutless, remembered
from lakeopt.model.plan import Candidate, Layout, LayoutRecommendation, MeasuredLayout, SortField
from lakeopt.model.scan import WriterOptions
from lakeopt.tables.base import Table

if TYPE_CHECKING:
    import pyarrow as pa

#: What was measured on fewer rows than this is measured again once the table has so many times as many.
FEW_ROWS, GROWTH = 1_000_000, 10


@dataclass(frozen=True, slots=True)
class Chosen:
    """A layout, or the reason why none is worth it, and the writer and figures that were measured."""

    layout: Layout | None
    reason: str = ""
    writer: WriterOptions | None = None
    measured: MeasuredLayout | None = None

    @property
    def bytes_ratio(self) -> float | None:
        """Bytes that were foretold, relative to arrival order; None where nothing was measured."""
        return None if self.measured is None else self.measured.bytes_ratio


def chosen_layout(
    table: Table,
    base: int | None,
    plan_id: str,
    strategy: str,
    sort_by: tuple[SortField, ...],
    wishes: Mapping[str, Any],
    *,
    search_again: bool,
) -> Chosen:
    """The layout that was asked for, else the one that the table remembers, else what measuring recommends.

    ``wishes`` are of the recommendation. A memory serves where it is of the same goal and queries, its columns are
    still there and of types that take its encodings, all readers read these and none that were left out then, and the
    table has not outgrown it.
    """
    readers.allowed(wishes["compatible_with"])
    _check_columns(table, sort_by)
    if strategy == "auto" and sort_by:
        strategy = "sort"
    if strategy != "auto":
        known = registry.names(registry.STRATEGIES)
        if strategy not in known:
            raise UnknownName("strategy", strategy, known)
        return Chosen(strategy_named(strategy).layout(sort_by))
    rows = 0 if base is None else sum(part["record_count"].to_numpy().sum() for part in table.files(base))
    held = None if search_again else remembered(table.properties)
    if held is not None and _still_holds(held, table, int(rows), wishes):
        return _from_memory(held, table, wishes)
    from lakeopt.workflows.recommend import recommend

    return _from_search(recommend(table, **wishes), plan_id, int(rows), wishes)


def strategy_named(name: str) -> Strategy:
    """The strategy of a name that is known."""
    strategy: Strategy = registry.load(registry.STRATEGIES, name).STRATEGY
    return strategy


def _still_holds(held: MeasuredLayout, table: Table, rows: int, wishes: Mapping[str, Any]) -> bool:
    queries = wishes["queries"]
    if held.goal != wishes["goal"] or (queries is not None and held.queries != _digest(queries)):
        return False
    if held.layout.strategy not in registry.names(registry.STRATEGIES):
        return False
    if held.record_count < FEW_ROWS and rows > GROWTH * held.record_count:
        return False
    try:
        _check_columns(table, held.layout.columns)
        writer = WriterOptions.from_mapping(held.writer)
        today = strategy_named(held.layout.strategy).layout(held.layout.columns)
    except (UsageError, UnknownName):
        return False
    if held.layout.version != today.version:
        return False
    read = readers.allowed(wishes["compatible_with"])
    written = set(writer.encodings.values())
    return _can_be_written(writer, table.schema) and written <= read <= set(held.encodings)


def _can_be_written(writer: WriterOptions, schema: pa.Schema) -> bool:
    """Whether all columns that a writer names are there, of types that take its encodings and filters."""
    from lakeopt.parquet.bloom_filters import can_be_filtered
    from lakeopt.parquet.encode import possible_encodings

    if not {*writer.encodings, *writer.bloom_filters} <= set(schema.names):
        return False
    encoded = all(held in possible_encodings(schema.field(name).type) for name, held in writer.encodings.items())
    return encoded and all(can_be_filtered(schema.field(name).type) for name in writer.bloom_filters)


def _from_memory(held: MeasuredLayout, table: Table, wishes: Mapping[str, Any]) -> Chosen:
    """As it was measured, but in the codec and at the level that hold today: these were never chosen by measuring."""
    today = table.writer_options(level=wishes["compression_level"], goal=held.goal)
    writer = replace(WriterOptions.from_mapping(held.writer), codec=today.codec, level=today.level)
    return Chosen(held.layout, memory_words(held), writer, held)


def memory_words(held: MeasuredLayout) -> str:
    """What a remembered layout is known for."""
    kind = "saved" if held.arrival_bytes else "foretold to save"
    return f"remembered since {held.measured_at[:10]}, {kind} {1 - held.ratio:.1%}"


def _from_search(advice: LayoutRecommendation, plan_id: str, rows: int, wishes: Mapping[str, Any]) -> Chosen:
    if advice.chosen is None:
        return Chosen(None, advice.reason)
    best = advice.candidates[advice.chosen]
    layout = replace(strategy_named(best.strategy).layout(best.columns), block_rows=best.block_rows)
    queries = wishes["queries"]
    measured = MeasuredLayout(
        plan_id=plan_id,
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
        goal=advice.goal,
        layout=cutless(layout),
        writer=best.writer,
        bytes_ratio=best.bytes_ratio,
        read_ratio=_read_ratio(best, advice.candidates),
        record_count=rows,
        queries=None if queries is None else _digest(queries),
        encodings=tuple(sorted(readers.allowed(wishes["compatible_with"]))),
    )
    return Chosen(layout, advice.reason, WriterOptions.from_mapping(best.writer), measured)


def _read_ratio(best: Candidate, candidates: tuple[Candidate, ...]) -> float:
    """Bytes that a read takes, relative to the layout of today; all of them where there are no queries."""
    (today,) = [one.scanned_ratio for one in candidates if one.strategy == "none"]
    if best.scanned_ratio is None or not today:
        return best.bytes_ratio
    return best.bytes_ratio * best.scanned_ratio / today


def _digest(queries: str | Path) -> str | None:
    """What tells a file of queries from another; None where it cannot be read, which the search will say."""
    try:
        return hashlib.sha256(Path(queries).read_bytes()).hexdigest()[:16]
    except OSError:
        return None


def _check_columns(table: Table, sort_by: tuple[SortField, ...]) -> None:
    import pyarrow as pa

    for column in sort_by:
        if column.name not in table.field_types:
            raise UnknownName("column", column.name, table.field_types)
        if pa.types.is_nested(table.schema.field(column.name).type):
            raise UsageError(
                f"column {column.name!r} of type {table.field_types[column.name]} cannot be sorted",
                hint="choose columns of primitive types",
            )
