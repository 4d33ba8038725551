"""The summary of a replace snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import TableProperties
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import (
    Operation,
    Snapshot,
    SnapshotSummaryCollector,
    Summary,
    update_snapshot_summaries,
)

from lakeopt import __version__
from lakeopt.model.layout_record import without_cuts
from lakeopt.model.plan import RewritePlan


def replace_summary(
    metadata: TableMetadata,
    head: Snapshot,
    added: Iterable[DataFile],
    removed: Iterable[DataFile],
    *,
    schema: Schema,
    properties: Mapping[str, str],
) -> Summary:
    """Counts of this commit and totals of the table after it. ``schema`` knows the columns of all specs.

    Where the head's summary has no totals, none can be carried on, and none are made up.
    """
    limit = metadata.properties.get(TableProperties.WRITE_PARTITION_SUMMARY_LIMIT)
    collector = SnapshotSummaryCollector(partition_summary_limit=int(limit) if limit else 0)
    specs = metadata.specs()
    for file in added:
        collector.add_file(file, schema=schema, partition_spec=specs[file.spec_id])
    for file in removed:
        collector.remove_file(file, schema=schema, partition_spec=specs[file.spec_id])
    # pyiceberg keeps totals for an overwrite and refuses to for a replace; the arithmetic is the same.
    before = head.summary.additional_properties if head.summary is not None else {}
    totals = update_snapshot_summaries(
        Summary(operation=Operation.OVERWRITE, **collector.build(), **properties), before or {"no-totals": ""}
    )
    return Summary(operation=Operation.REPLACE, **totals.additional_properties)


def layout_properties(plan: RewritePlan) -> dict[str, str]:
    """What a later run reads to know how the table was laid out, and by which plan."""
    return {
        "lakeopt.version": __version__,
        "lakeopt.plan-id": plan.plan_id,
        "lakeopt.layout": without_cuts(plan.layout),
    }
