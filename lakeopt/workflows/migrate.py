"""Make an Iceberg table of a table of another format: decide, write or name files, prove, commit once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeopt import registry
from lakeopt.config import Settings, load_settings
from lakeopt.errors import Refused, UnknownName
from lakeopt.layout import readers
from lakeopt.model.layout_record import LAYOUT_PROPERTY, MEASURED_PROPERTY, measured_property, table_property
from lakeopt.model.migration import MigratedColumn, MigrationPlan, MigrationResult, MigrationVerify
from lakeopt.model.plan import Goal, Layout, SortField
from lakeopt.model.scan import WriterOptions
from lakeopt.tables.base import Table
from lakeopt.workflows import journal
from lakeopt.workflows.chosen_layout import Chosen, chosen_layout, strategy_named
from lakeopt.workflows.cut_points import Cutting
from lakeopt.workflows.group_run import Progress

if TYPE_CHECKING:
    from lakeopt.tables.iceberg.new_table import NewName
    from lakeopt.workflows.migratable import Migratable

#: Table property that names the table which a migrated one was made from.
SOURCE_PROPERTY = "lakeopt.migrated-from"
_TARGET_FILE_BYTES = 512 * 1024 * 1024


def migrate(
    table: str | Table,
    to: str,
    *,
    memory_bytes: int | None = None,
    threads: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **choices: Any,
) -> MigrationResult:
    """Plan a migration (see :func:`plan_migration` for ``choices``) and apply it at once."""
    from lakeopt.workflows.migration_run import apply_migration

    settings = settings or load_settings()
    plan = plan_migration(table, to, memory_bytes=memory_bytes, settings=settings, **choices)
    return apply_migration(plan, memory_bytes=memory_bytes, threads=threads, settings=settings, progress=progress)


def plan_migration(
    table: str | Table,
    to: str,
    *,
    rewrite: bool = False,
    strategy: str = "auto",
    sort_by: Sequence[SortField] = (),
    goal: Goal = "storage",
    queries: str | Path | None = None,
    engine: str = "duckdb",
    verify: MigrationVerify = "rows",
    target_file_bytes: int | None = None,
    codec: str = "zstd",
    compression_level: int | None = None,
    compatible_with: Sequence[str] = readers.DEFAULT,
    time_budget: float | None = None,
    memory_bytes: int | None = None,
    settings: Settings | None = None,
) -> MigrationPlan:
    """Decide how a Hive table becomes the Iceberg table ``to``; nothing is changed.

    Without ``rewrite`` its Parquet files stay and both tables name them: every footer is read, and what Iceberg would
    read otherwise is refused. With ``rewrite`` rows are written anew, partition by partition, into the layout that
    ``strategy``, ``sort_by``, ``goal`` and ``queries`` ask for as those of :func:`lakeopt.plan` do, in files of that
    ``codec`` (zstd is Iceberg's own default; ``keep`` takes that of the source).

    :raises Refused: it is an Iceberg table, there is one of the new name, or its rows would read otherwise.
    :raises UnknownName: no such table, catalog, strategy, engine or column.
    :raises DataFileError: a file is missing or damaged.
    """
    from lakeopt.tables.hive.switch.places import hive_table
    from lakeopt.tables.iceberg.new_table import new_name
    from lakeopt.tables.open import open_table
    from lakeopt.workflows.migratable import checked

    settings = settings or load_settings()
    opened = open_table(table, settings) if isinstance(table, str) else table
    target = new_name(to, settings)
    _require_sound(opened, target, engine)
    found = checked(opened, rewrite=rewrite)
    if rewrite and codec != "keep":
        opened = hive_table(opened).writing(codec)
    plan_id, base = journal.new_plan_id(), opened.snapshot_id()
    wishes: dict[str, Any] = {"goal": goal, "queries": queries, "time_budget": time_budget, "settings": settings}
    wishes |= {"compatible_with": compatible_with, "compression_level": compression_level, "memory": memory_bytes}
    size = target_file_bytes or _TARGET_FILE_BYTES
    said: dict[str, Any] = {"plan_id": plan_id, "to": str(target), "engine": engine, "verify": verify}
    said |= {"target_file_bytes": size, "base_snapshot_id": None if base is None else str(base)}
    if not rewrite:
        said |= {"mode": "in-place", "layout": Layout("none"), "writer": {}}
        return _plan(opened, found, {**said, "properties": _in_place(opened, found.name_mapping)})
    chosen = _chosen(opened, base, plan_id, strategy, tuple(sort_by), wishes)
    layout = Cutting(None, size, queries=queries).cut(opened, base, chosen.layout, memory_bytes, settings)
    layout = layout or Layout("bin-pack")
    writer = chosen.writer or opened.writer_options(level=compression_level, goal=goal)
    said |= {"mode": "rewrite", "layout": layout, "writer": writer.as_mapping(), "measured": chosen.measured}
    return _plan(opened, found, {**said, "properties": _properties(opened, chosen, writer, layout, size)})


def _require_sound(table: Table, target: NewName, engine: str) -> None:
    if table.format == "iceberg":
        raise Refused(f"{table.identifier} is an Iceberg table already", hint="lakeopt rewrite writes it anew")
    if engine not in registry.names(registry.ENGINES):
        raise UnknownName("engine", engine, registry.names(registry.ENGINES))
    if target.is_taken:
        raise Refused(f"there is a table {target} already", hint="choose another name, or drop that table first")


def _plan(table: Table, found: Migratable, said: dict[str, Any]) -> MigrationPlan:
    """The plan with what was found of the source; ``said`` are its other values."""
    from lakeopt.tables.iceberg.new_table import iceberg_types

    types = iceberg_types(found.schema)
    return MigrationPlan(
        **said,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        table=table.identifier,
        table_uuid=table.uuid,
        columns=tuple(MigratedColumn(name, types[name], name in found.partition_columns) for name in types),
        partition_count=found.partition_count,
        file_count=found.files.num_rows,
        bytes=sum(found.files["file_size_in_bytes"].to_pylist()),
        record_count=sum(found.files["record_count"].to_pylist()),
        footers_checked=found.footers,
        notes=found.notes,
    )


def _chosen(
    table: Table, base: int | None, plan_id: str, strategy: str, sort_by: tuple[SortField, ...], wishes: dict[str, Any]
) -> Chosen:
    """The layout of the new table; where none is worth an order, files are merged and nothing more."""
    if base is None:
        return Chosen(strategy_named("bin-pack").layout(()))
    chosen = chosen_layout(table, base, plan_id, strategy, sort_by, wishes, search_again=True)
    return chosen if chosen.layout is not None else replace(chosen, layout=strategy_named("bin-pack").layout(()))


def _properties(table: Table, chosen: Chosen, writer: WriterOptions, layout: Layout, target: int) -> dict[str, str]:
    """Properties of a table whose files are its own: what wrote them, so that later files are alike."""
    said = {SOURCE_PROPERTY: table.identifier, "format-version": "2"}
    if target != _TARGET_FILE_BYTES:
        said["write.target-file-size-bytes"] = str(target)
    if layout.cuts:
        said[LAYOUT_PROPERTY] = table_property(layout)
    said["write.parquet.compression-codec"] = "uncompressed" if writer.codec == "none" else writer.codec
    if writer.level is not None:
        said["write.parquet.compression-level"] = str(writer.level)
    if chosen.measured is not None:
        held = measured_property(chosen.measured, None, (0, 0), 0)
        said[MEASURED_PROPERTY] = held or ""
    return said


def _in_place(table: Table, name_mapping: str) -> dict[str, str]:
    """Properties of a table whose files are another's too: nothing may delete them on its account."""
    return {
        SOURCE_PROPERTY: table.identifier,
        "format-version": "2",
        "gc.enabled": "false",
        "schema.name-mapping.default": name_mapping,
    }
