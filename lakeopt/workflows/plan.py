"""Decide a rewrite: which files of which partitions, in which layout. Touches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakeopt import registry
from lakeopt.config import Settings, load_settings
from lakeopt.errors import Refused, UnknownName, UsageError
from lakeopt.layout import readers
from lakeopt.layout.file_groups import ideal_file_count
from lakeopt.layout.strategies.base import Strategy
from lakeopt.model.plan import (
    FileGroup,
    Goal,
    Layout,
    RewriteEstimate,
    RewritePlan,
    SkippedGroup,
    SortField,
    Verify,
)
from lakeopt.model.scan import WriterOptions
from lakeopt.tables.base import Table
from lakeopt.tables.refusals import read_only_hint
from lakeopt.workflows import journal
from lakeopt.workflows.copying import CopyChoice
from lakeopt.workflows.cut_points import Cutting
from lakeopt.workflows.partitions import group_files, has_older_specs


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A layout, or the reason why none is worth it, its measured bytes relative to now, and the writer measured."""

    layout: Layout | None
    reason: str = ""
    bytes_ratio: float | None = None
    writer: WriterOptions | None = None


def plan(
    table: str | Table,
    *,
    strategy: str = "auto",
    sort_by: Sequence[SortField] = (),
    goal: Goal = "storage",
    queries: str | Path | None = None,
    where: str | None = None,
    branch: str = "main",
    engine: str = "duckdb",
    target_file_bytes: int | None = None,
    compression_level: int | None = None,
    compatible_with: Sequence[str] = readers.DEFAULT,
    verify: Verify = "auto",
    set_default_sort_order: bool = False,
    partial_progress: bool = False,
    to_current_spec: bool = False,
    time_budget: float | None = None,
    buckets: int | None = None,
    counts: str | Path | None = None,
    memory_bytes: int | None = None,
    settings: Settings | None = None,
) -> RewritePlan:
    """Plan a rewrite of a table's data files into a layout; the base is the branch's head.

    ``strategy`` ``auto`` takes ``sort_by`` where given, else what ``recommend`` chooses, with its encodings, which
    all of ``compatible_with`` read. ``where`` selects files that may hold matching rows; every row of one is kept.
    ``to_current_spec`` moves rows of older partition specs to the current one. ``verify`` ``auto`` compares bytes of
    groups that are copied, rows of those that are decoded. For ``buckets`` and ``counts`` see :mod:`.cut_points`.

    :raises Refused: the table cannot be written safely (v3, encrypted, a bare metadata file …).
    :raises UnknownName: no such table, branch, strategy, engine or column.
    """
    opened = _opened(table, settings := settings or load_settings())
    _require_sound(opened, engine, branch, where)
    wishes: dict[str, Any] = {"goal": goal, "queries": queries, "time_budget": time_budget, "settings": settings}
    wishes |= {"compatible_with": compatible_with, "compression_level": compression_level, "memory": memory_bytes}
    chosen = _choose(opened, strategy, tuple(sort_by), wishes)
    target = target_file_bytes or opened.target_file_bytes()
    base = opened.snapshot_id(branch)
    if moves := to_current_spec and base is not None and has_older_specs(opened, base, where):
        chosen = _for_moves(opened, chosen)
    cutting = Cutting(where, target, buckets, counts, queries, set_default_sort_order)
    chosen = replace(chosen, layout=cutting.cut(opened, base, chosen.layout, memory_bytes, settings))
    writer = chosen.writer or opened.writer_options(level=compression_level)
    groups, skipped = _groups(opened, base, where, chosen, target, moves, writer, compression_level is not None)
    return RewritePlan(
        **_heading(opened, base),
        branch=branch,
        layout=chosen.layout or Layout("none"),
        engine=engine,
        verify=verify,
        target_file_bytes=target,
        set_default_sort_order=set_default_sort_order,
        writer=writer.as_mapping(),
        groups=groups,
        skipped=skipped,
        partial_progress=partial_progress,
        estimate=_estimate(groups, chosen.bytes_ratio, target),
    )


def _opened(table: str | Table, settings: Settings) -> Table:
    from lakeopt.tables.open import open_table

    return open_table(table, settings) if isinstance(table, str) else table


def _heading(table: Table, base: int | None) -> dict[str, Any]:
    """What a plan says of itself and of its table."""
    return {
        "plan_id": journal.new_plan_id(),
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "table": table.identifier,
        "table_uuid": table.uuid,
        "base_snapshot_id": None if base is None else str(base),
        "schema_id": table.schema_id,
        "committer": "lakeopt",
    }


def _require_sound(table: Table, engine: str, branch: str, where: str | None) -> None:
    """Refuse what cannot be rewritten or is no filter, before anything is measured and whatever is chosen."""
    if table.read_only:
        raise Refused(f"{table.identifier} is not rewritten: {table.read_only}", hint=read_only_hint(table))
    _require(registry.ENGINES, "engine", engine)
    check_branch(table, branch)
    if where is not None:
        table.files(where=where)


def _for_moves(table: Table, chosen: _Chosen) -> _Chosen:
    """A layout for rows that are moved to the current spec, where none was worth it otherwise.

    :raises Refused: rows cannot be divided by the spec.
    """
    table.repartition(table.default_spec_id, str)
    return chosen if chosen.layout is not None else _Chosen(_strategy("bin-pack").layout(()), chosen.reason)


def _groups(
    table: Table,
    base: int | None,
    where: str | None,
    chosen: _Chosen,
    target: int,
    moves: bool,
    writer: WriterOptions,
    level_asked: bool,
) -> tuple[tuple[FileGroup, ...], tuple[SkippedGroup, ...]]:
    if base is None:
        return (), (SkippedGroup("all", "the table has no snapshot"),)
    if chosen.layout is None:
        return (), (SkippedGroup("all", chosen.reason),)
    strategy = _strategy(chosen.layout.strategy)
    groups, skipped = group_files(table, base, where, chosen.layout, strategy, target, to_current_spec=moves)
    groups, left = CopyChoice(table, chosen.layout, writer, target, level_asked=level_asked).divide(groups)
    return groups, skipped + left


def _estimate(groups: tuple[FileGroup, ...], bytes_ratio: float | None, target: int) -> RewriteEstimate:
    """What the groups will take; a ratio that was not measured is taken as 1 for the number of files."""
    to_read = sum(group.bytes for group in groups)
    files = sum(max(1, ideal_file_count(round(group.bytes * (bytes_ratio or 1)), target)) for group in groups)
    return RewriteEstimate(to_read, None if bytes_ratio is None else round(to_read * bytes_ratio), files)


def _require(kind: str, what: str, name: str) -> None:
    known = registry.names(kind)
    if name not in known:
        raise UnknownName(what, name, known)


def _choose(
    table: Table,
    strategy: str,
    sort_by: tuple[SortField, ...],
    wishes: Mapping[str, Any],
) -> _Chosen:
    """The layout that was asked for, or the one that measuring recommends; ``wishes`` are of the recommendation."""
    readers.allowed(wishes["compatible_with"])
    _check_columns(table, sort_by)
    if strategy == "auto" and sort_by:
        strategy = "sort"
    if strategy != "auto":
        _require(registry.STRATEGIES, "strategy", strategy)
        return _Chosen(_strategy(strategy).layout(sort_by))
    from lakeopt.workflows.recommend import recommend

    advice = recommend(table, **wishes)
    if advice.chosen is None:
        return _Chosen(None, advice.reason)
    best = advice.candidates[advice.chosen]
    writer = WriterOptions.from_mapping(best.writer)
    layout = replace(_strategy(best.strategy).layout(best.columns), block_rows=best.block_rows)
    return _Chosen(layout, advice.reason, best.bytes_ratio, writer)


def _strategy(name: str) -> Strategy:
    strategy: Strategy = registry.load(registry.STRATEGIES, name).STRATEGY
    return strategy


def check_branch(table: Table, branch: str) -> None:
    """Tags and snapshot ids name what can be read, not what can be committed to."""
    refs = table.view("refs").to_pylist()
    branches = ["main", *(ref["name"] for ref in refs if ref["type"] == "branch")]
    if branch not in branches:
        raise UnknownName(f"branch of {table.identifier}", branch, branches)


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
