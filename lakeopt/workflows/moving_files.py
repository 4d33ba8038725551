"""Files of older partition specs, whose rows are to be moved to the current one: which are read together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lakeopt.layout.file_groups import bins
from lakeopt.layout.strategies.base import PartitionState, Strategy
from lakeopt.model.plan import SkippedGroup
from lakeopt.model.scan import EQUALITY_DELETES
from lakeopt.tables.base import Table

if TYPE_CHECKING:
    import pyarrow as pa

#: Partition of a spec that divides nothing, as file lists have it.
_WHOLE = "{}"


@dataclass
class MovingFiles:
    """Collects the files of older specs, and those of the current one that their rows will lie beside.

    Where a row goes is known only when it is read, so that all are one group, or a few of at most
    ``max_group_bytes`` where rows are not sorted. Files of the current spec that a second run would rewrite together
    with what comes in are of the group too: it finds nothing to do then.
    """

    spec_id: int
    strategy: Strategy
    target_file_bytes: int
    writers: frozenset[int]
    moving: list[pa.Table] = field(default_factory=list)
    staying: list[PartitionState] = field(default_factory=list)

    @classmethod
    def of(cls, table: Table, base: int, strategy: Strategy, target: int) -> MovingFiles:
        """Nothing yet, of a table with a current partition spec."""
        spec_id = table.default_spec_id
        return cls(spec_id, strategy, target, _specs_deleted_by(table, base, spec_id))

    def refusal(self, partition: PartitionState) -> str | None:
        """Why rows of a partition are not moved, or None."""
        if partition.spec_id not in self.writers:
            return None
        return (
            f"writers still deleted by partition spec {partition.spec_id} when the table had spec {self.spec_id}: "
            "their next deletes would miss moved rows; restart them, then rewrite without --to-current-spec once"
        )

    def add(self, partition: PartitionState) -> None:
        """Take the files of a partition."""
        if partition.spec_id == self.spec_id:
            self.staying.append(partition)
        else:
            self.moving.append(partition.files)

    def groups(self, max_group_bytes: int, *, whole: bool) -> list[pa.Table]:
        """The files of each group in order of arrival; ``whole`` keeps them in one."""
        import pyarrow as pa

        if not self.moving:
            return []
        beside = [
            state.files.take(list(self.strategy.companions(state, target_file_bytes=self.target_file_bytes)))
            for state in self.staying
        ]
        files = pa.concat_tables([*self.moving, *beside])
        files = files.sort_by(
            [(name, "ascending") for name in ("data_sequence_number", "snapshot_id", "file_path")]
        ).combine_chunks()
        runs: Sequence[Sequence[int]] = [range(files.num_rows)]
        if not whole:
            runs = list(bins(files["file_size_in_bytes"].to_pylist(), max_group_bytes))
        return [files.take(list(run)) for run in runs]

    def untouched(self, partition: PartitionState) -> SkippedGroup | None:
        """A partition of the current spec of which no file is of a group, with the reason."""
        if self.strategy.companions(partition, target_file_bytes=self.target_file_bytes):
            return None
        total = sum(partition.files["file_size_in_bytes"].to_pylist())
        return SkippedGroup(
            partition.partition, "nothing in it to rewrite beside what is moved", partition.files.num_rows, total
        )


def _specs_deleted_by(table: Table, base: int, spec_id: int) -> frozenset[int]:
    """Older specs of equality deletes that landed when the table had files of the current spec already.

    Those that divide nothing reach moved rows as well, and are none of them.
    """
    first = min(
        (
            row["data_sequence_number"] or 0
            for part in table.files(base)
            for row in part.select(["spec_id", "data_sequence_number"]).to_pylist()
            if row["spec_id"] == spec_id
        ),
        default=None,
    )
    if first is None:
        return frozenset()
    names = ["content", "spec_id", "partition", "data_sequence_number"]
    return frozenset(
        row["spec_id"]
        for part in table.files(base, content="deletes")
        for row in part.select(names).to_pylist()
        if row["content"] == EQUALITY_DELETES
        and row["spec_id"] != spec_id
        and row["partition"] != _WHOLE
        and (row["data_sequence_number"] or 0) > first
    )
