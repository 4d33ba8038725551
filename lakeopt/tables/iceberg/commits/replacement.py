"""Which data files a rewrite takes out of a table, and which it puts in their place."""

from __future__ import annotations

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
from lakeopt.tables.iceberg.commits.data_file import new_data_file
from lakeopt.tables.iceberg.commits.window import partition_key
from lakeopt.tables.iceberg.metadata.source_manifest import SourceManifest

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


@dataclass(frozen=True)
class _Staged:
    """One staged file: a row of the staged list, its footer, and the partition of the files it replaces."""

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
        cls, resolve: Resolve, plan: RewritePlan, staged: Mapping[int, pa.Table], sources: Iterable[SourceManifest]
    ) -> Replacement:
        """Read the footers of the staged files; give each the spec and partition of the files that it replaces.

        :raises StalePlan: a group's files are not of one partition.
        :raises ProofFailed: a group would gain rows, or lose some without a delete file.
        """
        live = {entry.data_file.file_path: entry.data_file for source in sources for entry in source.entries}
        removed: list[DataFile] = []
        rows: list[tuple[Mapping[str, Any], DataFile]] = []
        for group in staged_groups(plan, staged):
            old = [live[file.path] for file in group.data_files]
            new = staged[group.group_id].to_pylist(maps_as_pydicts="strict")
            _agree(group, old, new)
            removed += old
            rows += [(row, old[0]) for row in new]
        footers = read_footers([row["file_path"] for row, _ in rows], resolve)
        return cls(
            tuple(removed),
            tuple(
                _Staged(row, footer, old.spec_id, old.partition)
                for (row, old), (_, footer) in zip(rows, footers, strict=True)
            ),
        )

    @property
    def spec_ids(self) -> set[int]:
        """Partition specs of the files that go (and so of those that come)."""
        return {file.spec_id for file in self.removed}

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


def planned_specs(plan: RewritePlan, staged: Mapping[int, pa.Table] | None = None) -> dict[str, int]:
    """Path of each data file that is to be replaced, and the id of its partition spec."""
    return {file.path: group.spec_id for group in staged_groups(plan, staged) for file in group.data_files}


def _agree(group: FileGroup, old: list[DataFile], new: list[Mapping[str, Any]]) -> None:
    if len({partition_key(file) for file in old}) != 1:
        raise StalePlan(f"the files of group {group.group_id} are not of one partition", hint="make a new plan")
    before, after = (sum(counts) for counts in ([f.record_count for f in old], [row["record_count"] for row in new]))
    if after > before or (after < before and not group.delete_files):
        raise ProofFailed(
            f"group {group.group_id} ({group.partition}) has {before} rows in the table, but {after} were written",
            hint="nothing was committed; report this with the plan",
        )
