"""Random histories of appends, row deletes and rewrites against a plain set of rows: none lost, doubled or back."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
from hand_rewrite import commit, live_files, plan_for, stage, write_staged
from hypothesis import given, settings
from hypothesis import strategies as st
from lake import Lake
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from lakeopt.errors import CommitConflict
from lakeopt.model.plan import RewritePlan

PARTITIONS = 2

#: One step of a history, and what picks the partition, file or row that it is about.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, PARTITIONS - 1)),
        st.tuples(st.just("delete position"), st.integers(0, 1 << 16)),
        st.tuples(st.just("delete row"), st.integers(0, 1 << 16)),
        st.tuples(st.just("plan"), st.integers(0, PARTITIONS - 1)),
        st.tuples(st.just("commit"), st.just(0)),
        st.tuples(st.just("rewrite one file"), st.just(0)),
    ),
    min_size=3,
    max_size=10,
)


class History:
    """A table and the rows that it must hold."""

    def __init__(self, root: Path, format_version: int) -> None:
        self.lake = Lake(root)
        schema = pa.schema([("id", pa.int64()), ("p", pa.int64())])
        self.table = self.lake.create("db.t", schema, partition=[("p", "identity")], format_version=format_version)
        self.format_version = format_version
        self.rows: set[int] = set()
        self.next_id = 0
        self.pending: tuple[RewritePlan, dict[int, pa.Table], set[str]] | None = None
        self.touched: set[str] = set()
        self.append(0)
        self.append(0)

    def append(self, partition: int) -> None:
        ids = range(self.next_id, self.next_id + 3)
        self.next_id += 3
        self.rows |= set(ids)
        self.table = self.lake.append(self.table, pa.table({"id": ids, "p": [partition] * 3}))

    def delete_row(self, pick: int) -> None:
        """Copy on write: the file is written anew without the row."""
        if not self.rows:
            return
        gone = sorted(self.rows)[pick % len(self.rows)]
        before = {file.file_path for file in live_files(self.table)}
        self.table.delete(f"id == {gone}")
        self.table = self.lake.load("db.t")
        self.touched |= before - {file.file_path for file in live_files(self.table)}
        self.rows.discard(gone)

    def delete_position(self, pick: int) -> None:
        """Merge on read: a position-delete file beside the data file."""
        files = live_files(self.table)
        if self.format_version == 1 or not files:
            return
        file = files[pick % len(files)]
        position = pick % file.record_count
        self.table = self.lake.land(
            self.table, self.lake.position_deletes(self.table, {file.file_path: [position]}, like=file)
        )
        self.rows.discard(_ids(self.table, file)[position])
        self.touched.add(file.file_path)

    def plan(self, partition: int) -> None:
        """Stage a partition's rows with the deletes of now, all of them in one file."""
        files = [file for file in live_files(self.table) if file.partition[0] == partition]
        if not files:
            return
        plan = plan_for(self.table, files=files)
        rows = self.table.scan(f"p == {partition}").to_arrow()
        whole = {group.group_id: sum(file.record_count for file in group.data_files) for group in plan.groups}
        if len(rows) != whole[0]:  # the group has deletes: this version of lakeopt leaves it alone
            return
        self.pending = plan, {0: write_staged(self.table, [rows])}, {file.file_path for file in files}
        self.touched = set()

    def commit(self) -> None:
        """Commit the pending plan: it must succeed if nobody touched its files, and give way if anybody did."""
        if self.pending is None:
            return
        plan, staged, files = self.pending
        self.pending = None
        try:
            commit(self.table, plan, staged)
            done = True
        except CommitConflict:
            done = False
        assert done == (not files & self.touched)
        self.table = self.lake.load("db.t")

    def rewrite_one_file(self) -> None:
        """Another rewrite, whole from plan to commit, of one file."""
        files = [file for file in live_files(self.table) if file.partition[0] == 1][:1]
        scanned = self.table.scan("p == 1").to_arrow()
        if not files or len(scanned) != sum(f.record_count for f in live_files(self.table) if f.partition[0] == 1):
            return
        plan = plan_for(self.table, files=files)
        commit(self.table, plan, stage(self.table, plan))
        self.table = self.lake.load("db.t")
        self.touched.add(files[0].file_path)

    def step(self, name: str, pick: int) -> None:
        match name:
            case "append":
                self.append(pick)
            case "delete row":
                self.delete_row(pick)
            case "delete position":
                self.delete_position(pick)
            case "plan":
                self.plan(pick)
            case "commit":
                self.commit()
            case _:
                self.rewrite_one_file()


def _ids(table: Table, file: DataFile) -> list[int]:
    import pyarrow.parquet as pq

    with table.io.new_input(file.file_path).open() as source:
        return pq.read_table(source)["id"].to_pylist()


@settings(max_examples=15, deadline=None)
@given(format_version=st.sampled_from([1, 2]), steps=STEPS)
def test_no_row_is_lost_doubled_or_back(format_version: int, steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as root:
        history = History(Path(root), format_version)
        for name, pick in [("plan", 0), *steps, ("commit", 0)]:
            history.step(name, pick)
            assert sorted(history.table.scan().to_arrow()["id"].to_pylist()) == sorted(history.rows)
        summary = history.table.current_snapshot().summary
        assert int(summary["total-records"]) == sum(file.record_count for file in live_files(history.table))
