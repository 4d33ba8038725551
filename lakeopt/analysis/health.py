"""Health of a table: its profile from metadata and a stated number of footers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from lakeopt import registry
from lakeopt.analysis.bounds import FileMetrics
from lakeopt.analysis.checks.base import Check, TableState
from lakeopt.analysis.footer_facts import FooterReader, ids_by_name
from lakeopt.analysis.overlap import field_ids, key_depths, partition_groups
from lakeopt.analysis.single_values import comparable, truncated
from lakeopt.model.plan import SortField
from lakeopt.model.scan import files_schema
from lakeopt.model.sort_fields import format_sort_fields
from lakeopt.model.table import ColumnOverlap, Finding, TableProfile
from lakeopt.parquet.footers import sample_positions
from lakeopt.tables.base import Table

#: Footers read at most, unless all are asked for.
FOOTER_LIMIT = 200
#: Of these, as many may be spent on files whose cut bounds tie; the rest is spread evenly over all files.
TIE_LIMIT = 100

_SEVERITIES = ("critical", "warning", "info")


def table_profile(table: Table, *, snapshot_id: int | None, now: datetime, all_footers: bool = False) -> TableProfile:
    """Profile of a table as of one snapshot (None: the table is empty). ``now`` is what ages are counted to.

    Footers are read of at most :data:`FOOTER_LIMIT` files: first of those whose bounds tie on the sort key, then of
    a sample spread evenly over all files. ``all_footers`` reads every one.

    :raises DataFileError: a manifest is missing or damaged. Data files that are become a finding.
    """
    files = live_files(table, snapshot_id, "data")
    metrics = FileMetrics(files)
    reader = _footer_reader(table, files.num_rows, all_footers)
    key = usable_key(table)
    overlap, depth = _key_overlap(table, files, metrics, key, reader)
    _read_sample(files, reader, None if all_footers else FOOTER_LIMIT)
    columns = _column_overlaps(table, files, metrics, reader)
    state = TableState(
        identifier=table.identifier,
        format_version=table.format_version,
        read_only=table.read_only,
        properties=table.properties,
        schema=table.schema,
        field_types=table.field_types,
        target_file_bytes=table.target_file_bytes(),
        writer=table.writer_options(),
        sort_key=key,
        sort_order_id=table.sort_order_id(key) if key else None,
        files=files,
        deletes=live_files(table, snapshot_id, "deletes"),
        partition=partition_groups(files),
        metrics=metrics,
        key_overlap=overlap,
        key_depth=depth,
        footers=reader.facts,
        unreadable=reader.failed,
        snapshots=table.view("snapshots"),
        manifests=table.view("manifests", snapshot_id),
        now=now,
        oddities=table.oddities,
        keeps_snapshots=table.keeps_snapshots,
    )
    return TableProfile(
        table=table.identifier,
        format=table.format,
        format_version=table.format_version,
        snapshot_id=None if snapshot_id is None else str(snapshot_id),
        record_count=pc.sum(files["record_count"]).as_py() or 0,
        data_file_count=files.num_rows,
        delete_file_count=state.deletes.num_rows,
        total_bytes=int(state.sizes.sum()),
        partition_count=int(state.partition.max(initial=-1)) + 1,
        footers_read=reader.read,
        footers_total=files.num_rows,
        sort_key=overlap,
        overlap=columns,
        findings=findings(state),
    )


def findings(state: TableState) -> tuple[Finding, ...]:
    """What all checks say about a table, worst first."""
    checks: list[Check] = [registry.load(registry.CHECKS, name).CHECK for name in registry.names(registry.CHECKS)]
    return worst_first(finding for check in checks for finding in check(state))


def worst_first(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings in the order in which they are shown."""
    return tuple(sorted(found, key=lambda finding: (_SEVERITIES.index(finding.severity), finding.code)))


def live_files(table: Table, snapshot_id: int | None, content: str) -> pa.Table:
    """The file list of a snapshot as one table; empty where there is no snapshot."""
    listed = () if snapshot_id is None else table.files(snapshot_id, content=content)
    return pa.concat_tables([files_schema().empty_table(), *listed])


def usable_key(table: Table) -> tuple[SortField, ...]:
    """The table's sort key up to the first column that it no longer has."""
    key: list[SortField] = []
    for part in table.sort_key():
        if not comparable(table.field_types.get(part.name, "")):
            break
        key.append(part)
    return tuple(key)


def _footer_reader(table: Table, file_count: int, all_footers: bool) -> FooterReader:
    """A reader that also notes exact ranges of the columns whose bounds manifests cut short, and of the sort key."""
    cut = [name for name, kind in table.field_types.items() if truncated(kind)]
    names = dict.fromkeys([*(part.name for part in usable_key(table)), *cut])
    limit = None if all_footers else FOOTER_LIMIT if file_count <= FOOTER_LIMIT else TIE_LIMIT
    ids = field_ids(table.schema, table.field_types, list(names))
    return FooterReader(table.resolve, ids, limit, {} if table.keeps_snapshots else ids_by_name(table.schema))


def _key_overlap(
    table: Table, files: pa.Table, metrics: FileMetrics, key: Sequence[SortField], reader: FooterReader
) -> tuple[ColumnOverlap | None, int]:
    """Overlap on the whole sort key, and the most files at one key."""
    if not key:
        return None, 0
    depths = key_depths(
        files, key, table.schema, table.field_types, footers=reader, properties=table.properties, metrics=metrics
    )
    return depths.summary(format_sort_fields(key)), depths.deepest(files)


def _read_sample(files: pa.Table, reader: FooterReader, limit: int | None) -> None:
    """Read what is left of the limit, spread evenly over all files."""
    reader.limit = limit
    left = None if limit is None else max(0, limit - reader.read)
    paths = files.filter(pc.equal(files["file_format"], "PARQUET"))["file_path"]
    reader(paths.take(pa.array(sample_positions(len(paths), left), pa.int64())).to_pylist())


def _column_overlaps(
    table: Table, files: pa.Table, metrics: FileMetrics, reader: FooterReader
) -> tuple[ColumnOverlap, ...]:
    """Overlap on each column that can be ordered by, with the footers that were read anyway."""
    if not files.num_rows:
        return ()
    found = []
    for name, kind in table.field_types.items():
        if comparable(kind):
            depths = key_depths(
                files,
                [SortField(name)],
                table.schema,
                table.field_types,
                footers=reader.noted if truncated(kind) else None,
                properties=table.properties,
                metrics=metrics,
            )
            found.append(depths.summary(name))
    return tuple(found)
