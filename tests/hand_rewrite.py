"""Rewrites by hand, without planner or engine: a plan over live files, and staged files written by plain pyarrow."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, schema_to_pyarrow
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.table import FileScanTask, Table

from lakeopt.model.plan import FileGroup, Layout, PlannedFile, RewriteEstimate, RewritePlan, SortField
from lakeopt.model.scan import staged_schema
from lakeopt.tables.iceberg.table import IcebergTable


def live_files(table: Table, branch: str = "main") -> list[DataFile]:
    """Live data files at the head of a branch."""
    snapshot = table.snapshot_by_name(branch)
    entries = (e for m in snapshot.manifests(table.io) for e in m.fetch_manifest_entry(table.io)) if snapshot else ()
    return [entry.data_file for entry in entries if entry.data_file.content == DataFileContent.DATA]


def plan_for(
    table: Table,
    *,
    files: Iterable[DataFile] | None = None,
    sort: tuple[str, ...] = (),
    branch: str = "main",
    set_default_sort_order: bool = False,
) -> RewritePlan:
    """A plan that rewrites these files (all live ones), one group a partition."""
    groups: dict[tuple[int, str], list[DataFile]] = {}
    for file in live_files(table, branch) if files is None else files:
        groups.setdefault((file.spec_id, repr(file.partition)), []).append(file)
    snapshot = table.snapshot_by_name(branch)
    deletes = _deletes(table, branch)
    return RewritePlan(
        plan_id=uuid.uuid4().hex[:12],
        created_at="2026-11-24T00:00:00Z",
        table=".".join(table.name()),
        table_uuid=str(table.metadata.table_uuid),
        branch=branch,
        base_snapshot_id=str(snapshot.snapshot_id) if snapshot else None,
        schema_id=table.metadata.current_schema_id,
        layout=Layout("sort" if sort else "bin-pack", tuple(SortField(name) for name in sort)),
        engine="duckdb",
        committer="lakeopt",
        verify="rows",
        target_file_bytes=1 << 26,
        set_default_sort_order=set_default_sort_order,
        writer={},
        groups=tuple(
            _group(number, spec_id, text, some, deletes)
            for number, ((spec_id, text), some) in enumerate(groups.items())
        ),
        skipped=(),
        estimate=RewriteEstimate(0, None, 0),
    )


def _deletes(table: Table, branch: str) -> dict[str, list[PlannedFile]]:
    """Delete files that may apply to each data file of a branch's head, as lakeopt's planner says."""
    snapshot = table.snapshot_by_name(branch)
    if snapshot is None:
        return {}
    opened = IcebergTable(table)
    listed = [row for part in opened.files(snapshot.snapshot_id, content="deletes") for row in part.to_pylist()]
    known = {row["file_path"]: _planned(row) for row in listed}
    rows = [row for part in opened.files(snapshot.snapshot_id) for row in part.to_pylist()] if known else []
    return {row["file_path"]: [known[path] for path in row["delete_files"]] for row in rows}


def _planned(row: Mapping[str, Any]) -> PlannedFile:
    return PlannedFile(row["file_path"], row["file_size_in_bytes"], row["record_count"])


def _group(
    number: int, spec_id: int, partition: str, files: list[DataFile], deletes: Mapping[str, list[PlannedFile]]
) -> FileGroup:
    planned = tuple(PlannedFile(f.file_path, f.file_size_in_bytes, f.record_count) for f in files)
    applied = {delete.path: delete for file in files for delete in deletes.get(file.file_path, ())}
    return FileGroup(
        number,
        spec_id,
        partition,
        len(files),
        sum(f.bytes for f in planned),
        sum(f.record_count for f in planned),
        planned,
        tuple(applied.values()),
    )


def stage(table: Table, plan: RewritePlan, **writer: Any) -> dict[int, pa.Table]:
    """Write each group's rows into one new file: those without delete files as pyiceberg reads them."""
    if any(group.delete_files for group in plan.groups):
        return {group.group_id: _stage_with_deletes(table, plan, group, **writer) for group in plan.groups}
    files = {file.file_path: file for file in live_files(table, plan.branch)}
    scan = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
    staged = {}
    for group in plan.groups:
        rows = scan.to_table([FileScanTask(files[file.path]) for file in group.data_files])
        if plan.layout.columns:
            rows = rows.sort_by([(column.name, "ascending") for column in plan.layout.columns])
        staged[group.group_id] = write_staged(table, [rows], is_sorted=bool(plan.layout.columns), **writer)
    return staged


def _stage_with_deletes(table: Table, plan: RewritePlan, group: FileGroup, **writer: Any) -> pa.Table:
    """The rows of the plan's base, deletes applied by lakeopt's own reader."""
    from lakeopt.parquet.scan import read_batches

    opened = IcebergTable(table)
    listed = pa.concat_tables(opened.files(int(plan.base_snapshot_id or 0)))
    wanted = pa.array([file.path for file in group.data_files])
    scan = opened.scan(listed.filter(pc.is_in(listed["file_path"], wanted)))
    rows = pa.Table.from_batches(read_batches(scan), scan.schema)
    if plan.layout.columns:
        rows = rows.sort_by([(column.name, "ascending") for column in plan.layout.columns])
    return write_staged(table, [rows], is_sorted=bool(plan.layout.columns), **writer)


def write_staged(table: Table, parts: Iterable[pa.Table], *, is_sorted: bool = False, **writer: Any) -> pa.Table:
    """A staged list of files, each with the rows of one part."""
    rows = []
    ids = {field.name: field.field_id for field in table.schema().fields}
    for part in parts:
        part = part.cast(schema_to_pyarrow(table.schema()))
        location = f"{table.location()}/data/staged-{uuid.uuid4()}.parquet"
        with table.io.new_output(location).create() as sink:
            pq.write_table(part, sink, **{"store_decimal_as_integer": True, **writer})
        nans = {ids[n]: _nans(part[n]) for n in part.column_names if pa.types.is_floating(part[n].type)}
        rows.append((location, len(table.io.new_input(location)), part.num_rows, is_sorted, list(nans.items()), None))
    columns = list(zip(*rows, strict=True)) if rows else [[]] * len(staged_schema())
    arrays = [pa.array(values, kind.type) for values, kind in zip(columns, staged_schema(), strict=True)]
    return pa.Table.from_arrays(arrays, schema=staged_schema())


def _nans(column: pa.ChunkedArray) -> int:
    return pc.sum(pc.is_nan(column)).as_py() or 0


def commit(table: Table, plan: RewritePlan, staged: Mapping[int, pa.Table]) -> int:
    """Commit with lakeopt's own committer; the snapshot id, which was told beforehand."""
    from lakeopt.tables.committer import committer

    told: list[int] = []
    done = committer("lakeopt").commit(IcebergTable(table), plan, staged, on_snapshot_id=told.append)
    assert told == [done.snapshot_id]
    return done.snapshot_id


def rewrite(table: Table, *, between: Callable[[], None] = lambda: None, **choices: Any) -> int:
    """Plan, stage, let something happen in between, commit."""
    plan = plan_for(table, **choices)
    staged = stage(table, plan)
    between()
    return commit(table, plan, staged)


def rows_of(table: Table, **scan: Any) -> list[str]:
    """The multiset of rows that a plain pyiceberg scan gives, as sorted text."""
    return sorted(map(repr, table.scan(**scan).to_arrow().to_pylist()))


def metadata_files(table: Table) -> set[str]:
    """Manifests and manifest lists in the table's metadata folder."""
    return {path.name for path in Path(table.location().removeprefix("file://"), "metadata").glob("*.avro")}


def referenced_files(table: Table) -> set[str]:
    """Manifests and manifest lists that some snapshot refers to."""
    lists = {snapshot.manifest_list for snapshot in table.metadata.snapshots}
    manifests = {m.manifest_path for snapshot in table.metadata.snapshots for m in snapshot.manifests(table.io)}
    return {location.rpartition("/")[2] for location in lists | manifests}
