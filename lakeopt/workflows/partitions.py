"""The live data files of a table, partition by partition, as a strategy looks at them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lakeopt.layout.strategies.base import PartitionState, Strategy
from lakeopt.model.layout_record import digest, digest_in, is_in_names
from lakeopt.model.plan import MAX_DEPTH, FileGroup, Layout, PlannedFile, SkippedGroup
from lakeopt.tables.base import Table
from lakeopt.workflows.cut_points import bounds_tell_order
from lakeopt.workflows.moving_files import MovingFiles

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

#: Bin-packed groups hold at most this many bytes on disk (Iceberg's own default for rewrites).
MAX_GROUP_BYTES = 100 * 1024**3
#: Columns of a file list that say what is in a file, not what is to be done with it.
_METRICS = (
    *("column_sizes", "value_counts", "null_value_counts", "nan_value_counts"),
    *("lower_bounds", "upper_bounds", "split_offsets"),
)


#: Formats of data files that are rewritten in a table of each format, and what they are called.
_REWRITTEN = {"iceberg": {"PARQUET": "Parquet"}, "hive": {"PARQUET": "Parquet", "ORC": "ORC"}}


def group_files(
    table: Table,
    base: int,
    where: str | None,
    layout: Layout,
    strategy: Strategy,
    target: int,
    *,
    to_current_spec: bool = False,
    max_depth: int = MAX_DEPTH,
) -> tuple[tuple[FileGroup, ...], tuple[SkippedGroup, ...]]:
    """File groups to rewrite and partitions to leave alone, as the strategy chooses, from a snapshot's files.

    With ``to_current_spec`` the rows of files of older partition specs are moved to the current one.
    """
    groups: list[FileGroup] = []
    skipped: list[SkippedGroup] = []
    deletes = _DeleteFiles.of(table, base)
    partitions: Iterable[PartitionState] = _partitions(table, base, where, layout)
    if to_current_spec:
        moving = MovingFiles.of(table, base, strategy, target)
        partitions, skipped = _to_move(moving, partitions, deletes)
        for files in moving.groups(MAX_GROUP_BYTES, whole=bool(layout.columns)):
            groups.append(_moved(len(groups), moving.spec_id, files, deletes))
    for partition in partitions:
        files = partition.files
        reason = _unsafe(files, table.format) or deletes.unsafe(files)
        if reason is None:
            choice = strategy.choose(
                partition, target_file_bytes=target, max_group_bytes=MAX_GROUP_BYTES, max_depth=max_depth
            )
            groups += [
                _group(len(groups) + number, partition, rows, deletes) for number, rows in enumerate(choice.groups)
            ]
            reason = choice.reason if not choice.groups else None
        if reason is not None:
            total = sum(files["file_size_in_bytes"].to_pylist())
            skipped.append(SkippedGroup(partition.partition, reason, files.num_rows, total))
    return tuple(groups), tuple(skipped)


def has_older_specs(table: Table, base: int, where: str | None) -> bool:
    """Whether live data files of a snapshot are of another partition spec than the table's current one."""
    current = table.default_spec_id
    return any(set(part["spec_id"].to_pylist()) != {current} for part in table.files(base, where=where))


def _to_move(
    moving: MovingFiles, partitions: Iterable[PartitionState], deletes: _DeleteFiles
) -> tuple[list[PartitionState], list[SkippedGroup]]:
    """Give the files of all partitions to ``moving``; partitions that are dealt with as ever where none are moved,
    and those that are left alone.
    """
    skipped: list[SkippedGroup] = []
    for partition in partitions:
        files = partition.files
        reason = _unsafe(files, "iceberg") or deletes.unsafe(files) or moving.refusal(partition)
        if reason is None:
            moving.add(partition)
        else:
            total = sum(files["file_size_in_bytes"].to_pylist())
            skipped.append(SkippedGroup(partition.partition, reason, files.num_rows, total))
    if not moving.moving:
        return moving.staying, skipped
    return [], skipped + [left for state in moving.staying if (left := moving.untouched(state)) is not None]


@dataclass(frozen=True, slots=True)
class _DeleteFiles:
    """The delete files of the base, by path: as plans name them, and in which format they are."""

    planned: Mapping[str, PlannedFile]
    formats: Mapping[str, str]
    has_vectors: bool = False

    @classmethod
    def of(cls, table: Table, base: int) -> _DeleteFiles:
        names = ["file_path", "file_size_in_bytes", "record_count", "file_format"]
        rows = [row for part in table.files(base, content="deletes") for row in part.select(names).to_pylist()]
        return cls(
            {r["file_path"]: PlannedFile(r["file_path"], r["file_size_in_bytes"], r["record_count"]) for r in rows},
            {row["file_path"]: row["file_format"].lower() for row in rows},
            has_vectors=table.format_version >= 3,
        )

    def applying(self, files: pa.Table) -> tuple[PlannedFile, ...]:
        """Those that may apply to any of these data files, each once."""
        import pyarrow.compute as pc

        paths = pc.unique(pc.list_flatten(files["delete_files"])).to_pylist() if self.planned else []
        return tuple(self.planned[path] for path in paths)

    def unsafe(self, files: pa.Table) -> str | None:
        """Why the deletes of these data files cannot be applied, or None."""
        # v3 is rewritten by Spark alone, and deletion vectors are in Puffin files of v3 only.
        known = {"parquet", "puffin"} if self.has_vectors else {"parquet"}
        foreign = sorted({form for file in self.applying(files) if (form := self.formats[file.path]) not in known})
        return f"has {', '.join(foreign)} delete files; only Parquet ones are applied" if foreign else None


def _partitions(table: Table, base: int, where: str | None, layout: Layout) -> Iterator[PartitionState]:
    """The live data files of the base, one partition of one spec at a time, in order of arrival."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from lakeopt.analysis.overlap import key_depths
    from lakeopt.model.scan import files_schema

    # Only a sort key is judged by metrics, and only until its depths are known: they are most of the list's memory.
    unneeded = _METRICS if not layout.columns else ("column_sizes", "split_offsets")
    files = pa.concat_tables(
        part.drop_columns(unneeded) for part in (files_schema().empty_table(), *table.files(base, where=where))
    )
    if not files.num_rows:
        return
    order_id = table.sort_order_id(layout.columns) if layout.columns and not layout.cuts else None
    ranges: list[tuple[int, int] | None]
    if layout.columns and layout.block_rows is None and bounds_tell_order(layout):
        depths = key_depths(
            files,
            layout.columns,
            table.schema,
            table.field_types,
            resolve=table.resolve,
            properties=table.properties,
        )
        ranges = depths.ranges()
    else:
        ranges = [None] * files.num_rows
    files = files.select([name for name in files.column_names if name not in _METRICS])
    arrival = ("spec_id", "partition", "data_sequence_number", "snapshot_id", "file_path")
    order = pc.sort_indices(files, sort_keys=[(name, "ascending") for name in arrival])
    files, ranges = files.take(order).combine_chunks(), [ranges[row] for row in order.to_pylist()]
    if layout.block_rows is not None:  # blocks overlap by their nature; they lie side by side as they arrived
        ranges = [(row, row) for row in range(files.num_rows)]
    in_order = _in_order(files, layout, order_id, by_name=not table.keeps_snapshots)
    keys = list(zip(files["spec_id"].to_pylist(), files["partition"].to_pylist(), strict=True))
    starts = [row for row in range(len(keys)) if row == 0 or keys[row] != keys[row - 1]] + [len(keys)]
    for start, end in itertools.pairwise(starts):
        yield PartitionState(
            spec_id=keys[start][0],
            partition=keys[start][1],
            files=files.slice(start, end - start),
            ranges=ranges[start:end],
            in_order=in_order[start:end].tolist(),
        )


def _in_order(files: pa.Table, layout: Layout, order_id: int | None, *, by_name: bool) -> np.ndarray:
    """Whether each file says that it was written in the layout: by its sort order, or by its name."""
    import numpy as np

    if is_in_names(layout) or by_name:
        wanted = digest(layout)
        return np.array([digest_in(path) == wanted for path in files["file_path"].to_pylist()], np.bool_)
    written_so = np.asarray(files["sort_order_id"].fill_null(-1)) == (-1 if order_id is None else order_id)
    found: np.ndarray = written_so & (order_id is not None)
    return found


def _unsafe(files: pa.Table, table_format: str) -> str | None:
    """Why the files of a partition are not rewritten, or None."""
    import pyarrow.compute as pc

    known = _REWRITTEN[table_format]
    foreign = sorted({name for name in files["file_format"].to_pylist() if name.upper() not in known})
    if foreign:
        return f"holds {', '.join(foreign)} files; only {' and '.join(known.values())} is rewritten"
    if pc.count_distinct(files["file_path"]).as_py() < files.num_rows:
        return "lists a data file more than once; its rows count as often, and one rewrite cannot replace them all"
    if files["key_metadata"].null_count < files.num_rows:
        return "holds encrypted files"
    return None


def _group(group_id: int, partition: PartitionState, rows: Sequence[int], deletes: _DeleteFiles) -> FileGroup:
    files = partition.files.take(list(rows))
    group = _group_of(group_id, partition.spec_id, partition.partition, files, deletes)
    sizes = zip(rows, files["file_size_in_bytes"].to_pylist(), strict=True)
    return replace(group, arrival_bytes=sum(size for row, size in sizes if not partition.in_order[row]))


def _moved(group_id: int, spec_id: int, files: pa.Table, deletes: _DeleteFiles) -> FileGroup:
    """A group of files of any partition and spec, whose rows are moved to the partitions of one spec."""
    specs = tuple(sorted(set(files["spec_id"].to_pylist())))
    older = [str(number) for number in specs if number != spec_id]
    words = f"rows of spec {', '.join(older)}, into spec {spec_id}"
    return replace(_group_of(group_id, spec_id, words, files, deletes), from_spec_ids=specs)


def _group_of(group_id: int, spec_id: int, partition: str, files: pa.Table, deletes: _DeleteFiles) -> FileGroup:
    listed = zip(
        files["file_path"].to_pylist(),
        files["file_size_in_bytes"].to_pylist(),
        files["record_count"].to_pylist(),
        strict=True,
    )
    planned = tuple(PlannedFile(path, size, rows) for path, size, rows in listed)
    return FileGroup(
        group_id=group_id,
        spec_id=spec_id,
        partition=partition,
        file_count=len(planned),
        bytes=sum(file.bytes for file in planned),
        record_count=sum(file.record_count for file in planned),
        data_files=planned,
        delete_files=deletes.applying(files),
    )
