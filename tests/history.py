"""A table with a history, and what it must hold: rows of each branch and snapshot in plain dictionaries.

Other writers append, delete by position and by equality, upsert, copy on write, evolve schema and partition spec, tag,
branch and roll back. What lakeopt does between their steps is of the tests that use this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from lake import Lake
from orphans import files, folder, reached
from plain_reader import LiveRow, entries_of, live_rows
from pyiceberg.manifest import DataFile, DataFileContent, ManifestEntry
from pyiceberg.schema import Schema
from pyiceberg.table.snapshots import Operation, Snapshot, ancestors_of
from pyiceberg.types import LongType

ID, PARTITION, VERSION = 1, 2, 3
NAME = "lake.db.t"

#: The rows of a table by their version number, which no two rows share; values by field id.
Rows = Mapping[int, Mapping[int, Any]]


def place_of(file: DataFile) -> tuple[int, str]:
    """Spec and partition of a file."""
    return file.spec_id, repr(file.partition)


@dataclass
class Watch:
    """Files of a branch that somebody means to replace; what has happened to them since.

    ``touched``: they must give way. ``doubtful``: they may. ``stale``: the schema or the base is another, or their
    branch is gone. A schema that changes back is the one it was.
    """

    branch: str
    base_snapshot_id: int
    files: set[str]
    schema_id: int
    other_schema: bool = False
    touched: bool = False
    doubtful: bool = False
    stale: bool = False


@dataclass
class History:
    """One table, partitioned by ``p`` at first. Each step of a writer is in the model before it is in the table."""

    lake: Lake
    format_version: int
    properties: Mapping[str, str] = field(default_factory=dict)
    heads: dict[str, dict[int, Mapping[int, Any]]] = field(default_factory=lambda: {"main": {}})
    kept: dict[int, Rows] = field(default_factory=dict)
    refs: dict[str, int] = field(default_factory=dict)
    watch: Watch | None = None
    next_version: int = 0
    next_name: int = 0

    def __post_init__(self) -> None:
        schema = pa.schema([(name, pa.int64()) for name in ("id", "p", "v")])
        self.table = self.lake.create(
            "db.t",
            schema,
            partition=[("p", "identity")],
            format_version=self.format_version,
            properties=self.properties,
        )
        self._rows: dict[int, list[LiveRow]] = {}
        self._entries: dict[int, list[ManifestEntry]] = {}
        self._checked: set[int] = set()
        self.named: dict[str, set[str]] = {}

    # the model

    def note(self, *moved: str) -> None:
        """Take in what a step made: only these refs may have moved, and their heads hold the model's rows."""
        self.table = self.lake.load("db.t")
        refs = {name: ref.snapshot_id for name, ref in self.table.refs().items()}
        assert _without(refs, moved) == _without(self.refs, moved)
        self.refs = refs
        heads = {refs[name]: name for name in moved if name in refs and name in self.heads}
        present = {snapshot.snapshot_id for snapshot in self.table.snapshots()}
        self.kept = {number: rows for number, rows in self.kept.items() if number in present}
        for snapshot in self.table.snapshots():
            number, replaces = snapshot.snapshot_id, operation(snapshot) == Operation.REPLACE
            if number not in self.kept and (number in heads or (replaces and len(moved) == 1)):
                self.kept[number] = dict(self.heads[heads.get(number, moved[0])])
        for branch, rows in self.heads.items():
            assert branch not in refs or self.kept[refs[branch]].keys() == rows.keys()

    def check(self) -> None:
        """Every snapshot that is new reads as the model says, by two readers, and its summary counts what is there."""
        assert self.heads.keys() <= self.refs.keys() | {"main"}
        for snapshot in self.table.snapshots():
            number = snapshot.snapshot_id
            if number not in self._checked:
                self._checked.add(number)
                self._check(snapshot)

    def check_all(self) -> None:
        """As :meth:`check`, with every snapshot read anew."""
        self._checked.clear()
        self._rows.clear()
        self._entries.clear()
        self.check()

    def _check(self, snapshot: Snapshot) -> None:
        number = snapshot.snapshot_id
        schema = next(one for one in self.table.schemas().values() if one.schema_id == snapshot.schema_id)
        plain = _texts((row.values for row in self.rows_at(number)), schema)
        if number in self.kept:
            assert plain == _texts(self.kept[number].values(), schema)
        entries = [entry.data_file for entry in self.entries(number)]
        if all(file.content != DataFileContent.EQUALITY_DELETES for file in entries):  # pyiceberg cannot read them
            names = {f.name: f.field_id for f in schema.fields}
            rows = self.table.scan(snapshot_id=number).to_arrow().to_pylist()
            assert plain == _texts(({names[name]: v for name, v in row.items()} for row in rows), schema)
        assert totals(snapshot) == counted(entries)
        parent = self.table.snapshot_by_id(snapshot.parent_snapshot_id) if snapshot.parent_snapshot_id else None
        if operation(snapshot) == Operation.REPLACE and parent is not None:
            before = [entry.data_file for entry in self.entries(parent.snapshot_id)]
            assert changes(snapshot) == changed(before, entries)

    def entries(self, ref: str | int) -> list[ManifestEntry]:
        """Live entries of a ref's head or of a snapshot; a snapshot never changes, so it is read once."""
        number = self.refs[ref] if isinstance(ref, str) else ref
        if number not in self._entries:
            self._entries[number] = entries_of(self.table, number)
        return self._entries[number]

    def rows_at(self, snapshot_id: int) -> list[LiveRow]:
        """The rows of a snapshot and where they lie."""
        if snapshot_id not in self._rows:
            self._rows[snapshot_id] = live_rows(self.table, snapshot_id)
        return self._rows[snapshot_id]

    def live_files(self, branch: str) -> list[DataFile]:
        """Data files of a branch, oldest rows first: an order that is the same in each replay."""
        found = (entry.data_file for entry in self.entries(branch))
        data = [file for file in found if file.content == DataFileContent.DATA]
        return sorted(data, key=lambda file: int.from_bytes(file.lower_bounds[VERSION], "little"))

    def pruned(self, branch: str) -> dict[str, set[str]]:
        """Files that pyiceberg reads for some filters; none where it can plan nothing for equality deletes."""
        deletes = (entry.data_file.content for entry in self.entries(branch))
        if DataFileContent.EQUALITY_DELETES in deletes:
            return {}
        scans = {where: self.table.scan(where, snapshot_id=self.refs[branch]) for where in ("p == 0", "p is null")}
        return {where: {task.file.file_path for task in scan.plan_files()} for where, scan in scans.items()}

    def find(self, branch: str, pick: int) -> LiveRow:
        """Some live row of a branch."""
        rows = sorted(self.rows_at(self.refs[branch]), key=lambda row: row.values[VERSION])
        return rows[pick % len(rows)]

    def branch(self, pick: int) -> str:
        """Some branch; main more often than not."""
        others = [name for name in self.heads if name != "main"]
        return ["main", *others, "main"][pick % (len(others) + 2)]

    # files

    def files(self) -> set[str]:
        """Every file below the table's folder, by its path below it."""
        return {str(path.relative_to(folder(self.table))) for path in folder(self.table).rglob("*") if path.is_file()}

    def contents(self) -> dict[str, bytes]:
        return files(folder(self.table))

    def reached(self) -> set[str]:
        """What pyiceberg's own readers reach from the metadata, by its path below the table's folder."""
        return {str(path.relative_to(folder(self.table))) for path in reached(self.table, self.named)}

    def below(self, location: str) -> str:
        """A location as a path below the table's folder."""
        return str(Path(location.removeprefix("file://")).relative_to(folder(self.table)))

    # writers

    def new_rows(self, branch: str, ids: list[int], partition: int | None) -> pa.Table:
        """Rows of new versions, in the model at once; columns that came later are filled."""
        made = []
        for number in ids:
            row: dict[int, Any] = {f.field_id: self.next_version for f in self.table.schema().fields}
            row |= {ID: number, PARTITION: partition}
            self.heads[branch][self.next_version] = row
            self.next_version += 1
            made.append(row)
        names = {f.field_id: f.name for f in self.table.schema().fields}
        return pa.table({name: pa.array([row[n] for row in made], pa.int64()) for n, name in names.items()})

    def touch(self, branch: str, paths: set[str], *, doubtful: bool = False) -> None:
        if self.watch is not None and self.watch.branch == branch and paths & self.watch.files:
            self.watch.doubtful |= doubtful
            self.watch.touched |= not doubtful

    def append(self, branch: str, partition: int | None, count: int = 2) -> None:
        ids = [self.next_version + offset for offset in range(count)]
        self.table.append(self.new_rows(branch, ids, partition), branch=branch)
        self.note(branch)

    def can_delete(self, branch: str) -> bool:
        return self.table.format_version > 1 and bool(self.heads[branch])

    def delete_positions(self, branch: str, picks: list[int], bounds: bool) -> None:
        """One position-delete file, for rows of one partition; the paths of its bounds may be left out."""
        first = self.find(branch, picks[0])
        same = place_of(first.file)
        positions: dict[str, set[int]] = {}
        for row in (self.find(branch, pick) for pick in picks):
            if place_of(row.file) == same:
                positions.setdefault(row.file.file_path, set()).add(row.position)
                self.heads[branch].pop(row.values[VERSION], None)
        paths = {path: sorted(some) for path, some in positions.items()}
        delete = self.lake.position_deletes(self.table, paths, like=first.file)
        if not bounds:
            delete[10] = delete[11] = None
        self.touch(branch, set(positions))
        if not bounds or len(positions) > 1:
            neighbours = {file.file_path for file in self.live_files(branch) if place_of(file) == same}
            self.touch(branch, neighbours, doubtful=True)
        self.lake.land(self.table, delete, branch=branch)
        self.note(branch)

    def delete_by_equality(self, branch: str, pick: int, everywhere: bool, upsert: bool) -> None:
        """An equality-delete file of a row's partition, or of the whole table; or with it the row's next version."""
        row, table = self.find(branch, pick), self.table
        everywhere = everywhere and any(spec.is_unpartitioned() for spec in table.specs().values())
        del self.heads[branch][row.values[VERSION]]
        keys = pa.table({"id": [row.values[ID]]})
        made = [self.lake.equality_deletes(table, keys, like=None if everywhere else row.file)]
        if upsert:
            new = self.new_rows(branch, [row.values[ID]], row.values[PARTITION])
            parts = [part.transform.transform(LongType())(row.values[part.source_id]) for part in table.spec().fields]
            made.append(self.lake.data_file(table, new, partition=parts))
        self.lake.land(table, *made, operation=Operation.OVERWRITE, branch=branch)
        self.note(branch)

    def copy_on_write(self, branch: str, pick: int) -> None:
        """pyiceberg writes a file anew without a row; it cannot where equality deletes are."""
        before = self.entries(branch)
        if any(entry.data_file.content == DataFileContent.EQUALITY_DELETES for entry in before):
            return
        row = self.find(branch, pick)
        del self.heads[branch][row.values[VERSION]]
        self.table.delete(f"id == {row.values[ID]}", branch=branch)
        self.note(branch)
        left = {file.file_path for file in self.live_files(branch)}
        self.touch(branch, {entry.data_file.file_path for entry in before} - left)

    def change_schema(self, what: str) -> None:
        """Add, rename or drop a column; the rows of older files and snapshots stay what they were."""
        self.next_name += 1
        later = [f.name for f in self.table.schema().fields if f.field_id > VERSION]
        with self.table.update_schema() as update:
            if what == "rename":
                update.rename_column(self.table.schema().find_column_name(VERSION), f"v{self.next_name}")
            elif what == "drop" and later:
                update.delete_column(later[0])
            else:
                update.add_column(f"c{self.next_name}", LongType())
        self.note()
        if self.watch is not None:
            self.watch.other_schema = self.table.schema().schema_id != self.watch.schema_id

    def change_spec(self, what: tuple[str, str]) -> None:
        """To no parts if there are some, else to one of (column, transform)."""
        self.next_name += 1
        parts = [part for part in self.table.spec().fields if str(part.transform) != "void"]
        with self.table.update_spec() as update:
            if parts:
                update.remove_field(parts[0].name)
            elif not self.table.spec().fields:  # beside a void field of a v1 table pyiceberg cannot write it
                update.add_field(what[0], what[1], f"part{self.next_name}")
        self.note()

    def upgrade(self) -> None:
        if self.table.format_version < 2:
            self.table.transaction().upgrade_table_version(2).commit_transaction()
            self.note()

    def known(self, pick: int) -> int:
        """Some snapshot whose rows the model has."""
        numbers = [one.snapshot_id for one in self.table.snapshots() if one.snapshot_id in self.kept]
        return numbers[pick % len(numbers)]

    def tag(self, pick: int) -> None:
        self.next_name += 1
        self.table.manage_snapshots().create_tag(self.known(pick), f"tag{self.next_name}").commit()
        self.note(f"tag{self.next_name}")

    def fork(self, pick: int) -> None:
        """A branch at some snapshot."""
        self.next_name += 1
        name, number = f"side{self.next_name}", self.known(pick)
        self.heads[name] = dict(self.kept[number])
        self.table.manage_snapshots().create_branch(number, name).commit()
        self.note(name)

    def drop_ref(self, pick: int) -> None:
        others = [name for name in self.refs if name != "main"]
        if others:
            name, manage = others[pick % len(others)], self.table.manage_snapshots()
            is_branch = self.heads.pop(name, None) is not None
            (manage.remove_branch if is_branch else manage.remove_tag)(name).commit()
            self.note(name)
            if self.watch is not None and self.watch.branch == name:
                self.watch.stale = True

    def roll_back(self, pick: int, anywhere: bool) -> None:
        """pyiceberg sets main to one of its ancestors, or to any snapshot."""
        line = [one.snapshot_id for one in ancestors_of(self.table.current_snapshot(), self.table.metadata)]
        past = [number for number in line[1:] if number in self.kept]
        number = self.known(pick) if anywhere or not past else past[pick % len(past)]
        manage = self.table.manage_snapshots()
        (manage.set_current_snapshot(number) if anywhere or not past else manage.rollback_to_snapshot(number)).commit()
        self.heads["main"] = dict(self.kept[number])
        self.note("main")
        self.after_rollback("main")

    def after_rollback(self, branch: str) -> None:
        """What touched a watched file may be undone now; without its base in the line nothing can be told of it."""
        if self.watch is not None and self.watch.branch == branch:
            self.watch.touched, self.watch.doubtful = False, True
            self.watch.stale |= self.watch.base_snapshot_id not in self.line(branch)

    def line(self, branch: str) -> list[int]:
        """A branch's snapshots that are left, newest first."""
        head = self.table.snapshot_by_name(branch)
        return [one.snapshot_id for one in ancestors_of(head, self.table.metadata)]

    def expire_by_pyiceberg(self) -> None:
        """All snapshots but the heads of refs, by a writer that marks nothing."""
        self.table.maintenance.expire_snapshots().older_than(datetime.now(UTC) + timedelta(days=1)).commit()
        self.note()
        self.after_expiry()

    def after_expiry(self) -> None:
        """Without an unbroken line from its base on, what was to be replaced may give way."""
        watch = self.watch
        if watch is not None and not watch.stale:
            line = self.line(watch.branch)
            watch.stale = self.table.snapshot_by_id(watch.base_snapshot_id) is None
            watch.doubtful |= watch.base_snapshot_id not in line


def _without(refs: Mapping[str, int], names: tuple[str, ...]) -> dict[str, int]:
    return {name: number for name, number in refs.items() if name not in names}


def _texts(rows: Iterator[Mapping[int, Any]] | Any, schema: Schema) -> list[str]:
    ids = sorted(schema.field_ids)
    return sorted(str([row.get(number) for number in ids]) for row in rows)


def operation(snapshot: Snapshot) -> Operation | None:
    return snapshot.summary.operation if snapshot.summary else None


_TOTALS = ("data-files", "records", "files-size", "delete-files", "position-deletes", "equality-deletes")
_CHANGES = ("added-data-files", "added-records", "deleted-data-files", "deleted-records", "removed-delete-files")


def totals(snapshot: Snapshot) -> dict[str, int]:
    """What a snapshot's summary says that the table holds."""
    return {name: int(snapshot.summary[f"total-{name}"] or 0) for name in _TOTALS}


def counted(live: list[DataFile]) -> dict[str, int]:
    """The totals of these live files."""
    of = {content: [file for file in live if file.content == content] for content in DataFileContent}
    data = of[DataFileContent.DATA]
    found = (
        len(data),
        sum(file.record_count for file in data),
        sum(file.file_size_in_bytes for file in live),
        len(live) - len(data),
        sum(file.record_count for file in of[DataFileContent.POSITION_DELETES]),
        sum(file.record_count for file in of[DataFileContent.EQUALITY_DELETES]),
    )
    return dict(zip(_TOTALS, found, strict=True))


def changes(snapshot: Snapshot) -> dict[str, int]:
    """What a snapshot's summary says that it added and took out."""
    return {name: int(snapshot.summary[name] or 0) for name in _CHANGES}


def changed(before: list[DataFile], after: list[DataFile]) -> dict[str, int]:
    """The changes from these live files to those."""
    old, new = ({file.file_path: file for file in some} for some in (before, after))
    added = [file for path, file in new.items() if path not in old]
    gone = [file for path, file in old.items() if path not in new]
    gone_data = [file for file in gone if file.content == DataFileContent.DATA]
    found = (
        len(added),
        sum(file.record_count for file in added),
        len(gone_data),
        sum(file.record_count for file in gone_data),
        len(gone) - len(gone_data),
    )
    return dict(zip(_CHANGES, found, strict=True))
