"""Decide a rewrite: which files of which partitions, in which layout. Touches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lakeopt import registry
from lakeopt.config import Settings, load_settings
from lakeopt.errors import Refused, UnknownName
from lakeopt.layout import readers
from lakeopt.layout.file_groups import ideal_file_count
from lakeopt.model.plan import (
    MAX_DEPTH,
    FileGroup,
    Goal,
    Layout,
    RewriteEstimate,
    RewritePlan,
    SortField,
    Verify,
)
from lakeopt.model.scan import WriterOptions
from lakeopt.tables.base import COPYING, Table
from lakeopt.tables.refusals import read_only_hint
from lakeopt.tables.sources import committer_by, read_only_by
from lakeopt.workflows import journal
from lakeopt.workflows.chosen_layout import Chosen, chosen_layout, strategy_named
from lakeopt.workflows.cut_points import Cutting
from lakeopt.workflows.engine_choice import chosen_engine
from lakeopt.workflows.file_choice import FileChoice, Groups
from lakeopt.workflows.partitions import has_older_specs


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
    in_new_location: bool = False,
    to_current_spec: bool = False,
    max_depth: int = MAX_DEPTH,
    search_again: bool = False,
    time_budget: float | None = None,
    buckets: int | None = None,
    counts: str | Path | None = None,
    memory_bytes: int | None = None,
    settings: Settings | None = None,
) -> RewritePlan:
    """Plan a rewrite of a table's data files into a layout; the base is the branch's head.

    ``strategy`` ``auto`` takes ``sort_by`` where given, else the layout that the table remembers, else (or to
    ``search_again``) what ``recommend`` chooses, with its encodings, which all of ``compatible_with`` read; it leaves
    alone what is not worth its cost by the configured prices. At most ``max_depth`` sorted files meet at a key; groups
    across the boundaries of the ``queries``' ranges come first. ``where`` selects files that may hold matching rows;
    every row of one is kept. ``to_current_spec`` moves rows of older partition specs to the current one. ``verify``
    ``auto`` compares bytes of groups that are copied, rows of those that are decoded. For ``buckets`` and ``counts``
    see :mod:`.cut_points`. ``in_new_location`` only prepares the new files of a Hive table, and puts none in place.

    :raises Refused: the table cannot be written safely (v3, encrypted, a bare metadata file …).
    :raises UnknownName: no such table, branch, strategy, engine or column.
    """
    opened = _opened(table, settings := settings or load_settings())
    engine, why = chosen_engine(engine, opened, branch, settings)
    _require_sound(opened, engine, branch, where)
    wishes: dict[str, Any] = {"goal": goal, "queries": queries, "time_budget": time_budget, "settings": settings}
    wishes |= {"compatible_with": compatible_with, "compression_level": compression_level, "memory": memory_bytes}
    target = target_file_bytes or opened.target_file_bytes()
    base = opened.snapshot_id(branch)
    said = _heading(opened, base) | _committing(opened, engine, partial_progress, in_new_location)
    chosen = chosen_layout(opened, base, said["plan_id"], strategy, tuple(sort_by), wishes, search_again=search_again)
    if moves := to_current_spec and base is not None and has_older_specs(opened, base, where):
        chosen = _for_moves(opened, chosen)
    cutting = Cutting(where, target, buckets, counts, queries, set_default_sort_order)
    chosen = replace(chosen, layout=cutting.cut(opened, base, chosen.layout, memory_bytes, settings))
    writer = chosen.writer or opened.writer_options(level=compression_level)
    files = FileChoice(where, target, max_depth, moves, queries, compression_level is not None, engine)
    said |= {"branch": branch, "engine": engine, "engine_reason": why, "verify": verify}
    said |= {"target_file_bytes": target, "set_default_sort_order": set_default_sort_order}
    return _decided(said, chosen, writer, files.groups(opened, base, chosen, writer, settings))


def _decided(said: Mapping[str, Any], chosen: Chosen, writer: WriterOptions, decided: Groups) -> RewritePlan:
    """The plan with what was decided; ``said`` are its other values."""
    groups, skipped = decided
    engine = registry.load(registry.ENGINES, said["engine"]).ENGINE
    return RewritePlan(
        **said,
        layout=chosen.layout or Layout("none"),
        writer=writer.as_mapping(),
        groups=groups,
        skipped=skipped,
        estimate=_estimate(groups, chosen.bytes_ratio, said["target_file_bytes"]),
        measured=chosen.measured,
        not_applied=engine.not_applied(writer),
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
    }


def _committing(table: Table, engine: str, partial_progress: bool, in_new_location: bool) -> dict[str, Any]:
    """By which committer, and whether in parts: partitions of a table without snapshots are always replaced one by one.

    :raises Refused: a copy is asked for of a table that has no folders of its own for it.
    """
    if in_new_location and table.keeps_snapshots:
        raise Refused(
            f"{table.identifier} needs no copy: its files are replaced by a commit", hint="leave out --in-new-location"
        )
    committer = COPYING if in_new_location else committer_by(table, engine)
    return {"committer": committer, "partial_progress": partial_progress or not table.keeps_snapshots}


def _require_sound(table: Table, engine: str, branch: str, where: str | None) -> None:
    """Refuse what cannot be rewritten or is no filter, before anything is measured and whatever is chosen."""
    _require(registry.ENGINES, "engine", engine)
    if reason := read_only_by(table, engine):
        raise Refused(f"{table.identifier} is not rewritten: {reason}", hint=read_only_hint(table))
    check_branch(table, branch)
    if where is not None:
        table.files(where=where)


def _for_moves(table: Table, chosen: Chosen) -> Chosen:
    """A layout for rows that are moved to the current spec, where none was worth it otherwise.

    :raises Refused: rows cannot be divided by the spec.
    """
    table.repartition(table.default_spec_id, str)
    return chosen if chosen.layout is not None else Chosen(strategy_named("bin-pack").layout(()), chosen.reason)


def _estimate(groups: tuple[FileGroup, ...], bytes_ratio: float | None, target: int) -> RewriteEstimate:
    """What the groups will take; a ratio that was not measured is taken as 1 for the number of files."""
    to_read = sum(group.bytes for group in groups)
    files = sum(max(1, ideal_file_count(round(group.bytes * (bytes_ratio or 1)), target)) for group in groups)
    return RewriteEstimate(to_read, None if bytes_ratio is None else round(to_read * bytes_ratio), files)


def _require(kind: str, what: str, name: str) -> None:
    known = registry.names(kind)
    if name not in known:
        raise UnknownName(what, name, known)


def check_branch(table: Table, branch: str) -> None:
    """Tags and snapshot ids name what can be read, not what can be committed to."""
    refs = table.view("refs").to_pylist()
    branches = ["main", *(ref["name"] for ref in refs if ref["type"] == "branch")]
    if branch not in branches:
        raise UnknownName(f"branch of {table.identifier}", branch, branches)
