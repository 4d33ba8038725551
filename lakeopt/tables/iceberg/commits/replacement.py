"""Which data files a rewrite takes out of a table, and which it puts in their place."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.typedef import Record

from lakeopt.errors import ProofFailed, StalePlan
from lakeopt.model.plan import FileGroup, RewritePlan
from lakeopt.parquet.footers import Resolve, read_footers
from lakeopt.tables.iceberg.arrow_schema import arrow_schema
from lakeopt.tables.iceberg.commits.data_file import new_data_file
from lakeopt.tables.iceberg.commits.window import partition_key, partition_text
from lakeopt.tables.iceberg.metadata.partitions import source_schema
from lakeopt.tables.iceberg.metadata.source_manifest import SourceManifest
from lakeopt.tables.iceberg.repartition import PartitionDivision

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class _Staged:
    """One staged file: a row of the staged list, its footer, and its partition: that of the files it replaces, or
    that which its rows were moved to.
    """

    row: Mapping[str, Any]
    footer: pq.FileMetaData
    spec_id: int
    partition: Record


@dataclass(frozen=True)
class Replacement:
    """The data files that go, and what is known of those that come."""

    removed: tuple[DataFile, ...]
    staged: tuple[_Staged, ...]

    @classmethod
    def of(
        cls,
        table: Table,
        resolve: Resolve,
        plan: RewritePlan,
        staged: Mapping[int, pa.Table],
        sources: Iterable[SourceManifest],
    ) -> Replacement:
        """Read the footers of the staged files; give each the spec and partition of the files that it replaces, or
        those that its rows were moved to.

        :raises StalePlan: a group's files are not of one partition, or not of the specs that it names.
        :raises ProofFailed: a group would gain rows, or lose some without a delete file.
        """
        live = {entry.data_file.file_path: entry.data_file for source in sources for entry in source.entries}
        removed: list[DataFile] = []
        rows: list[tuple[Mapping[str, Any], int, Record]] = []
        for group in staged_groups(plan, staged):
            old = [live[file.path] for file in group.data_files]
            new = staged[group.group_id].to_pylist(maps_as_pydicts="strict")
            _agree(group, old, new)
            removed += old
            if group.from_spec_ids:
                rows += zip(new, itertools.repeat(group.spec_id), _moved_to(table, group, new), strict=False)
            else:
                rows += [(row, old[0].spec_id, old[0].partition) for row in new]
        footers = read_footers([row["file_path"] for row, _, _ in rows], resolve)
        return cls(
            tuple(removed),
            tuple(
                _Staged(row, footer, spec_id, partition)
                for (row, spec_id, partition), (_, footer) in zip(rows, footers, strict=True)
            ),
        )

    @property
    def spec_ids(self) -> set[int]:
        """Partition specs of the files that go and of those that come."""
        return {file.spec_id for file in self.removed} | {file.spec_id for file in self.staged}

    @property
    def partitions(self) -> set[tuple[int, tuple[str, ...]]]:
        """Partitions of the files that come, as :func:`~lakeopt.tables.iceberg.commits.window.partition_key` says."""
        return {(staged.spec_id, partition_text(staged.partition)) for staged in self.staged}

    def added(self, table: Table, sort_order_id: int | None) -> dict[int, list[DataFile]]:
        """The new data files by partition spec; ``sort_order_id`` is for those that are truly in that order."""
        made: dict[int, list[DataFile]] = defaultdict(list)
        for staged in self.staged:
            file = new_data_file(
                staged.row,
                staged.footer,
                schema=table.schema(),
                properties=table.properties,
                spec_id=staged.spec_id,
                partition=staged.partition,
                sort_order_id=sort_order_id if staged.row["sorted"] else None,
            )
            made[staged.spec_id].append(file)
        return dict(made)


def staged_groups(plan: RewritePlan, staged: Mapping[int, pa.Table] | None = None) -> list[FileGroup]:
    """Groups of the plan that were staged; all of them where nothing is said of staging."""
    return [group for group in plan.groups if staged is None or group.group_id in staged]


def planned_specs(plan: RewritePlan, staged: Mapping[int, pa.Table] | None = None) -> dict[str, tuple[int, ...]]:
    """Path of each data file that is to be replaced, and the ids of the partition specs that it may be of."""
    return {file.path: group.source_spec_ids for group in staged_groups(plan, staged) for file in group.data_files}


def _moved_to(table: Table, group: FileGroup, new: list[Mapping[str, Any]]) -> list[Record]:
    """The partition of each staged file of a group whose rows were divided anew.

    :raises ProofFailed: one has no value for each field of the spec.
    """
    spec, schema = table.specs()[group.spec_id], source_schema(table.metadata)
    division = PartitionDivision(spec, schema, arrow_schema(table.schema()))
    try:
        return [division.record(row["partition"]) for row in new]
    except (TypeError, ValueError) as error:
        raise ProofFailed(
            f"a file of group {group.group_id} was written without its partition: {error}",
            hint="nothing was committed; report this with the plan",
        ) from error


def _agree(group: FileGroup, old: list[DataFile], new: list[Mapping[str, Any]]) -> None:
    if group.from_spec_ids:
        if not {file.spec_id for file in old} <= set(group.from_spec_ids):
            raise StalePlan(f"group {group.group_id} has files of specs that it does not name", hint="make a new plan")
    elif len({partition_key(file) for file in old}) != 1:
        raise StalePlan(f"the files of group {group.group_id} are not of one partition", hint="make a new plan")
    before, after = (sum(counts) for counts in ([f.record_count for f in old], [row["record_count"] for row in new]))
    if after > before or (after < before and not group.delete_files):
        raise ProofFailed(
            f"group {group.group_id} ({group.partition}) has {before} rows in the table, but {after} were written",
            hint="nothing was committed; report this with the plan",
        )
