"""Random histories of a table against a plain dictionary of rows: after each step the table holds the model's rows.

Other writers append, delete by position and by equality, upsert, copy on write, evolve schema and partition spec, tag
and roll back; lakeopt rewrites at once, or plans now and commits some steps later.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hand_rewrite import commit, live_files, plan_for, stage
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lake import Lake
from plain_reader import LiveRow, entries_of, live_rows, specs_without_parts
from pyiceberg.manifest import DataFile, DataFileContent
from pyiceberg.table.snapshots import Operation, ancestors_of
from pyiceberg.types import LongType

import lakeopt
from lakeopt.errors import CommitConflict, StalePlan
from lakeopt.model.plan import RewritePlan
from lakeopt.model.sort_fields import parse_sort_fields

ID, PARTITION, VERSION = 1, 2, 3
PICK = st.integers(0, 1 << 16)

#: The rows of a table by their version number, which no two rows share; values by field id.
Rows = Mapping[int, Mapping[int, Any]]


@dataclass
class Pending:
    """A rewrite that is planned and staged; what has happened to its files since."""

    plan: RewritePlan
    staged: dict[int, pa.Table]
    files: set[str]
    touched: bool = False  # it must give way
    doubtful: bool = False  # it may give way: deletes that by their bounds might have touched it
    stale: bool = False


@dataclass
class Remembered:
    """What a snapshot held."""

    rows: Rows
    tags: list[str] = field(default_factory=list)


class TableHistory(RuleBasedStateMachine):
    """One table of format v1 or v2, partitioned by ``p`` at first, and what it must hold."""

    @initialize(format_version=st.sampled_from([1, 2, 2, 2]))
    def create(self, format_version: int) -> None:
        self.root = tempfile.TemporaryDirectory()
        self.lake = Lake(Path(self.root.name))
        self.environment = {name: os.environ.get(name) for name in self.lake.environment}
        os.environ.update(self.lake.environment)
        schema = pa.schema([(name, pa.int64()) for name in ("id", "p", "v")])
        self.table = self.lake.create("db.t", schema, partition=[("p", "identity")], format_version=format_version)
        self.rows: dict[int, dict[int, Any]] = {}
        self.snapshots: dict[int, Remembered] = {}
        self.pending: Pending | None = None
        self.next_version = self.next_name = 0
        for partition in (0, 0, 1):
            self.append(partition, 3)

    def teardown(self) -> None:
        if hasattr(self, "root"):
            if self.pending is not None:
                self.commit()
                self.the_table_holds_the_rows_of_the_model()
            for tag, rows in [(tag, seen.rows) for seen in self.snapshots.values() for tag in seen.tags]:
                assert self.held(tag) == self.expected(rows)
            for name, value in self.environment.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
            self.root.cleanup()

    @property
    def can_delete(self) -> bool:
        return self.table.format_version > 1 and bool(self.rows)

    def expected(self, rows: Rows) -> list[str]:
        ids = sorted(self.table.schema().field_ids)
        return sorted(str([row.get(number) for number in ids]) for row in rows.values())

    def held(self, ref: str = "main") -> list[str]:
        ids = sorted(self.table.schema().field_ids)
        return sorted(str([row.values.get(number) for number in ids]) for row in live_rows(self.table, ref))

    def find(self, pick: int) -> LiveRow:
        """Some live row."""
        return sorted(live_rows(self.table), key=lambda row: row.values[VERSION])[pick % len(self.rows)]

    def new_rows(self, ids: list[int], partition: int) -> pa.Table:
        """Rows of new versions, in the model at once; columns that came later are filled."""
        made = []
        for number in ids:
            row = {f.field_id: self.next_version for f in self.table.schema().fields} | {
                ID: number,
                PARTITION: partition,
            }
            self.rows[self.next_version] = row
            self.next_version += 1
            made.append(row)
        names = {f.field_id: f.name for f in self.table.schema().fields}
        return pa.table({name: [row[number] for row in made] for number, name in names.items()})

    def touch(self, paths: set[str], *, doubtful: bool = False) -> None:
        if self.pending is not None and paths & self.pending.files:
            self.pending.doubtful |= doubtful
            self.pending.touched |= not doubtful

    @rule(partition=st.integers(0, 1), count=st.integers(1, 3))
    def append(self, partition: int, count: int) -> None:
        ids = [self.next_version + offset for offset in range(count)]
        self.table = self.lake.append(self.table, self.new_rows(ids, partition))

    @precondition(lambda self: self.can_delete)
    @rule(picks=st.lists(PICK, min_size=1, max_size=2), bounds=st.booleans())
    def delete_positions(self, picks: list[int], bounds: bool) -> None:
        """One position-delete file, for rows of one partition."""
        first = self.find(picks[0])
        same = _partition(first.file)
        rows = [row for row in map(self.find, picks) if _partition(row.file) == same]
        positions: dict[str, set[int]] = {}
        for row in rows:
            positions.setdefault(row.file.file_path, set()).add(row.position)
            self.rows.pop(row.values[VERSION], None)
        delete = self.lake.position_deletes(
            self.table, {p: sorted(some) for p, some in positions.items()}, like=first.file
        )
        if not bounds:
            delete[10] = delete[11] = None
        self.touch(set(positions))
        if not bounds or len(positions) > 1:
            self.touch({f.file_path for f in live_files(self.table) if _partition(f) == same}, doubtful=True)
        self.lake.land(self.table, delete)

    @precondition(lambda self: self.can_delete)
    @rule(pick=PICK, everywhere=st.booleans(), upsert=st.booleans())
    def delete_by_equality(self, pick: int, everywhere: bool, upsert: bool) -> None:
        """An equality-delete file of a row's partition, or of the whole table; or with it the row's next version."""
        row = self.find(pick)
        everywhere = everywhere and any(spec.is_unpartitioned() for spec in self.table.specs().values())
        del self.rows[row.values[VERSION]]
        table = self.table
        keys = pa.table({"id": [row.values[ID]]})
        files = [self.lake.equality_deletes(table, keys, like=None if everywhere else row.file)]
        if upsert:
            new = self.new_rows([row.values[ID]], row.values[PARTITION])
            parts = [str(part.transform) for part in table.spec().fields]
            partition = [None if part == "void" else row.values[PARTITION] for part in parts]
            files.append(self.lake.data_file(table, new, partition=partition))
        self.lake.land(table, *files, operation=Operation.OVERWRITE)

    @precondition(lambda self: self.rows)
    @rule(pick=PICK)
    def copy_on_write(self, pick: int) -> None:
        """pyiceberg writes a file anew without a row; it cannot where equality deletes are."""
        before = entries_of(self.table)
        if any(entry.data_file.content == DataFileContent.EQUALITY_DELETES for entry in before):
            return
        row = self.find(pick)
        self.table.delete(f"id == {row.values[ID]}")
        self.table = self.lake.load("db.t")
        del self.rows[row.values[VERSION]]
        left = {file.file_path for file in live_files(self.table)}
        self.touch({entry.data_file.file_path for entry in before} - left)

    @rule(what=st.sampled_from(["add a column", "rename a column", "change the spec", "tag", "upgrade"]))
    def change_metadata(self, what: str) -> None:
        self.next_name += 1
        match what:
            case "add a column" | "rename a column":
                with self.table.update_schema() as update:
                    if what == "add a column":
                        update.add_column(f"c{self.next_name}", LongType())
                    else:
                        update.rename_column(self.table.schema().find_column_name(VERSION), f"v{self.next_name}")
                if self.pending is not None:
                    self.pending.stale = True
            case "change the spec":
                parts = [part for part in self.table.spec().fields if str(part.transform) != "void"]
                with self.table.update_spec() as update:
                    if parts:
                        update.remove_field(parts[0].name)
                    elif not self.table.spec().fields:  # beside a void field of a v1 table pyiceberg cannot write it
                        update.add_field("p", "identity", f"p{self.next_name}")
            case "tag":
                head = self.table.current_snapshot().snapshot_id
                self.table.manage_snapshots().create_tag(head, f"tag{self.next_name}").commit()
                self.snapshots[head].tags.append(f"tag{self.next_name}")
            case "upgrade":
                self.table.transaction().upgrade_table_version(2).commit_transaction()

    @precondition(lambda self: len(self.snapshots) > 3)
    @rule(back=st.integers(1, 3))
    def roll_back(self, back: int) -> None:
        table = self.table
        past = [s.snapshot_id for s in ancestors_of(table.current_snapshot(), table.metadata)][1:]
        past = [number for number in past if number in self.snapshots][:back]
        if past:
            table.manage_snapshots().rollback_to_snapshot(past[-1]).commit()
            self.rows = {version: dict(row) for version, row in self.snapshots[past[-1]].rows.items()}
            self.table = self.lake.load("db.t")
            self.after_rollback()

    def after_rollback(self) -> None:
        """A plan whose base is still there may hold or not, as what touched it is undone: leave it."""
        if self.pending is not None:
            alive = {str(s.snapshot_id) for s in ancestors_of(self.table.current_snapshot(), self.table.metadata)}
            if self.pending.plan.base_snapshot_id in alive:
                self.pending = None
            else:
                self.pending.stale = True

    @precondition(lambda self: self.rows)
    @rule(
        sort_by=st.sampled_from([None, "id", "id desc", "p"]), where=st.sampled_from([None, None, "p == 0", "p == 1"])
    )
    def rewrite(self, sort_by: str | None, where: str | None) -> None:
        """The whole of lakeopt: plan, stage, prove, commit."""
        before = {file.file_path for file in live_files(self.table)}
        key = parse_sort_fields(sort_by) if sort_by else ()
        strategy = "sort" if key else "bin-pack"
        done = lakeopt.rewrite("lake.db.t", where=where, engine="reference", strategy=strategy, sort_by=key)
        self.table = self.lake.load("db.t")
        self.touch(before - {file.file_path for file in live_files(self.table)})
        if done.snapshot_ids and where is None:
            self.require_no_dangling_equality_deletes()

    @precondition(lambda self: self.rows and self.pending is None)
    @rule(data=st.data())
    def plan(self, data: st.DataObject) -> None:
        """Plan and stage some of the files of a partition."""
        groups: dict[Any, list[DataFile]] = {}
        for file in sorted(live_files(self.table), key=_oldest):
            groups.setdefault(_partition(file), []).append(file)
        some = data.draw(st.sampled_from(list(groups.values())))
        count = data.draw(st.integers(1, len(some)))
        plan = plan_for(self.table, files=some[:count], sort=("id",) if data.draw(st.booleans()) else ())
        self.pending = Pending(plan, stage(self.table, plan), {file.file_path for file in some[:count]})

    @precondition(lambda self: self.pending is not None)
    @rule()
    def commit(self) -> None:
        """It must succeed if nobody touched its files, and give way if anybody did."""
        pending, self.pending = self.pending, None
        assert pending is not None
        error: Exception | None = None
        try:
            commit(self.table, pending.plan, pending.staged)
        except (CommitConflict, StalePlan) as caught:
            error = caught
        if pending.stale:
            assert isinstance(error, StalePlan)
        elif pending.touched:
            assert isinstance(error, CommitConflict)
        else:
            assert error is None or pending.doubtful, error

    def require_no_dangling_equality_deletes(self) -> None:
        """Each equality-delete file that is left has an older data file in its reach."""
        everywhere = specs_without_parts(self.table)
        entries = entries_of(self.table)
        data = [entry for entry in entries if entry.data_file.content == DataFileContent.DATA]
        for delete in entries:
            if delete.data_file.content == DataFileContent.EQUALITY_DELETES:
                place = _partition(delete.data_file)
                older = [one.data_file for one in data if one.sequence_number < delete.sequence_number]
                assert older
                assert place[0] in everywhere or place in map(_partition, older)

    @invariant()
    def the_table_holds_the_rows_of_the_model(self) -> None:
        if not hasattr(self, "root"):
            return
        self.table = self.lake.load("db.t")
        assert self.held() == self.expected(self.rows)
        head = self.table.current_snapshot()
        if head.snapshot_id not in self.snapshots:
            self.snapshots[head.snapshot_id] = Remembered({version: dict(row) for version, row in self.rows.items()})
        entries = [entry.data_file for entry in entries_of(self.table)]
        data = [file for file in entries if file.content == DataFileContent.DATA]
        counted = {name: int(head.summary[f"total-{name}"]) for name in ("data-files", "records", "delete-files")}
        assert counted == {
            "data-files": len(data),
            "records": sum(file.record_count for file in data),
            "delete-files": len(entries) - len(data),
        }


def _oldest(file: DataFile) -> int:
    """The lowest version in a file: an order that is the same in each replay, which random names are not."""
    return int.from_bytes(file.lower_bounds[VERSION], "little")


def _partition(file: DataFile) -> tuple[int, str]:
    return file.spec_id, repr(file.partition)


TestTableHistory = pytest.mark.slow(TableHistory.TestCase)
TestTableHistory.settings = settings(max_examples=12, stateful_step_count=10, deadline=None)
