"""Random histories of a table against a plain model: writers and all of lakeopt, in any order and within one another.

After each step every branch, tag and kept snapshot holds the model's rows, no ref moved that the step did not move,
summaries count what is there, no file that a snapshot names is missing, and every file has somebody who explains it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hand_rewrite import commit, plan_for, stage
from history import NAME, History, Watch, place_of
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from lake import Lake
from manifest_words import says, summaries
from orphans import age, folder, local, plant
from plain_reader import specs_without_parts
from pyiceberg.manifest import DataFileContent

import lakeopt
from lakeopt.config import Settings
from lakeopt.errors import CommitConflict, LakeoptError, StalePlan
from lakeopt.model.plan import RewritePlan
from lakeopt.model.result import RewriteResult
from lakeopt.model.sort_fields import parse_sort_fields
from lakeopt.tables.iceberg.table import IcebergTable
from lakeopt.workflows.marks import marked

SOAK = bool(os.environ.get("LAKEOPT_SOAK"))
PICK = st.integers(0, 1 << 16)
#: How a table keeps its old metadata files: all, two in its log, or two in all.
LOG = {"write.metadata.previous-versions-max": "2"}
METADATA: list[dict[str, str]] = [{}, LOG, LOG | {"write.metadata.delete-after-commit.enabled": "true"}]
CHOICES = st.fixed_dictionaries(
    {
        "sort_by": st.sampled_from([None, "id", "id desc", "p"]),
        "where": st.sampled_from([None, None, "p == 0", "p == 1", "p is null"]),
        "partial_progress": st.booleans(),
        "engine": st.sampled_from(["reference", "reference", "reference", "duckdb"]),
    }
)
CHANGES = [
    "add",
    "rename",
    "drop",
    "spec",
    "upgrade",
    "tag",
    "fork",
    "fork",
    "drop ref",
    "roll back",
    "expire",
    "litter",
]
SPECS = [("p", "identity"), ("id", "bucket[2]"), ("p", "identity"), ("id", "truncate[10]")]
#: What a writer or another command may do while a rewrite is on, and whether the rewrite must then succeed.
BESIDE = {
    "append": True,
    "delete_positions": False,
    "delete_by_equality": True,
    "copy_on_write": False,
    "tag": True,
    "roll back": False,
    "expire": True,
    "expire by pyiceberg": False,
    "sweep": True,
    "quarantine": True,
    "rewrite manifests": True,
    "rewrite": False,
}


@dataclass
class Pending:
    """A rewrite that is planned and staged, without a journal, and committed some steps later."""

    plan: RewritePlan
    staged: dict[int, pa.Table]
    watch: Watch

    @property
    def paths(self) -> list[str]:
        return [path for some in self.staged.values() for path in some["file_path"].to_pylist()]


class TableHistory(RuleBasedStateMachine):
    """One table of format v1 or v2 in a lake of its own."""

    @initialize(format_version=st.sampled_from([1, 2, 2, 2]), properties=st.sampled_from(METADATA))
    def create(self, format_version: int, properties: dict[str, str]) -> None:
        self.root = tempfile.TemporaryDirectory()
        lake = Lake(Path(self.root.name) / "lake")
        self.environment = {name: os.environ.get(name) for name in lake.environment}
        os.environ.update(lake.environment)
        self.state = lake.warehouse / "_lakeopt"
        self.history = History(lake, format_version, properties)
        self.pending: Pending | None = None
        self.planned: RewritePlan | None = None
        self.running: str | None = None
        self.done: list[tuple[str, RewriteResult]] = []
        self.litter: set[str] = set()  # files that other programs left behind
        self.quarantined: dict[str, dict[str, bytes]] = {}
        for partition in (0, 0, 1):
            self.history.append("main", partition, 3)

    def teardown(self) -> None:
        if not hasattr(self, "environment"):
            return
        try:
            if self.pending is not None:
                self.commit()
            self.history.check_all()
            self.every_file_is_explained()
        finally:
            for name, value in self.environment.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
            self.root.cleanup()

    # writers

    @rule(branch=PICK, partition=st.sampled_from([0, 1, None]), count=st.integers(1, 3))
    def append(self, branch: int, partition: int | None, count: int) -> None:
        self.history.append(self.history.branch(branch), partition, count)

    @rule(branch=PICK, picks=st.lists(PICK, min_size=1, max_size=2), bounds=st.booleans())
    def delete_positions(self, branch: int, picks: list[int], bounds: bool) -> None:
        name = self.history.branch(branch)
        if self.history.can_delete(name):
            self.history.delete_positions(name, picks, bounds)

    @rule(branch=PICK, pick=PICK, everywhere=st.booleans(), upsert=st.booleans())
    def delete_by_equality(self, branch: int, pick: int, everywhere: bool, upsert: bool) -> None:
        name = self.history.branch(branch)
        if self.history.can_delete(name):
            self.history.delete_by_equality(name, pick, everywhere, upsert)

    @rule(branch=PICK, pick=PICK)
    def copy_on_write(self, branch: int, pick: int) -> None:
        name = self.history.branch(branch)
        if self.history.heads[name]:
            self.history.copy_on_write(name, pick)

    @rule(what=st.sampled_from(CHANGES), pick=PICK)
    def change(self, what: str, pick: int) -> None:
        """What other programs do beside writing rows; one rule, so that it is not most of each history."""
        history = self.history
        match what:
            case "add" | "rename" | "drop":
                history.change_schema(what)
            case "spec":
                history.change_spec(SPECS[pick % len(SPECS)])
            case "upgrade":
                history.upgrade()
            case "tag":
                history.tag(pick)
            case "fork" if len(history.heads) < 3:
                history.fork(pick)
            case "drop ref":
                history.drop_ref(pick)
            case "roll back":
                history.roll_back(pick // 2, bool(pick % 2))
            case "expire":
                history.expire_by_pyiceberg()
                self.litter |= self.unexplained()
            case "litter":  # of a writer that died before its commit
                history.next_name += 1
                name = f"data/dead{history.next_name}.parquet"
                plant(history.table, name, name.encode())
                self.litter.add(name)

    # lakeopt

    @rule(branch=PICK, choices=CHOICES)
    def rewrite(self, branch: int, choices: dict[str, Any]) -> None:
        """Plan, stage, prove, commit."""
        name = self.history.branch(branch)
        before = {file.file_path for file in self.history.live_files(name)}
        done = self.apply(lakeopt.plan(NAME, branch=name, **_spelt(choices)))
        assert done.groups_failed == 0
        self.history.touch(name, before - {file.file_path for file in self.history.live_files(name)})
        if done.snapshot_ids and choices["where"] is None and not done.groups_skipped:
            self.require_no_dangling_equality_deletes(name)

    def apply(self, plan: RewritePlan, progress: Callable[[str, int, int], None] | None = None) -> RewriteResult:
        done = lakeopt.apply(plan, progress=progress)
        self.history.note(plan.branch)
        if done.snapshot_ids:
            self.done.append((plan.branch, done))
        return done

    def require_no_dangling_equality_deletes(self, branch: str) -> None:
        """Each equality-delete file that is left has an older data file in its reach."""
        everywhere = specs_without_parts(self.history.table)
        entries = self.history.entries(branch)
        data = [entry for entry in entries if entry.data_file.content == DataFileContent.DATA]
        for delete in entries:
            if delete.data_file.content == DataFileContent.EQUALITY_DELETES:
                place = place_of(delete.data_file)
                older = [one.data_file for one in data if one.sequence_number < delete.sequence_number]
                assert older
                assert place[0] in everywhere or place in map(place_of, older)

    @rule(branch=PICK, choices=CHOICES, what=st.sampled_from(list(BESIDE)), pick=PICK)
    def rewrite_beside(self, branch: int, choices: dict[str, Any], what: str, pick: int) -> None:
        """Something happens after a run has staged its first files and before it commits."""
        name = self.history.branch(branch)
        plan = lakeopt.plan(NAME, branch=name, **_spelt(choices))
        happened = []

        def progress(phase: str, done: int, total: int) -> None:
            if phase == "proving" and not happened:
                happened.append(what)
                self.beside(what, branch, pick)

        self.running = plan.plan_id
        before = {file.file_path for file in self.history.live_files(name)}
        try:
            done = self.apply(plan, progress)
            assert not BESIDE[what] or not done.groups_failed, done.failed
        except (CommitConflict, StalePlan):
            assert not BESIDE[what]
            self.history.note(name)
        finally:
            self.running = None
        self.history.touch(name, before - {file.file_path for file in self.history.live_files(name)})

    def beside(self, what: str, branch: int, pick: int) -> None:
        match what:
            case "append":
                self.append(branch, pick % 2, 2)
            case "delete_positions":
                self.delete_positions(branch, [pick, pick + 1], bool(pick % 2))
            case "delete_by_equality":
                self.delete_by_equality(branch, pick, bool(pick % 2), bool(pick // 2 % 2))
            case "copy_on_write":
                self.copy_on_write(branch, pick)
            case "tag":
                self.change("tag", pick)
            case "roll back":
                self.change("roll back", pick)
            case "expire":
                base = self.history.refs.get(self.history.branch(branch))
                self.expire(1)
                assert base in {one.snapshot_id for one in self.history.table.snapshots()}
            case "expire by pyiceberg":
                self.change("expire", pick)
            case "sweep":
                self.sweep(True, True)
            case "quarantine":
                self.quarantine()
            case "rewrite manifests":
                self.rewrite_manifests(branch, 300)
            case "rewrite":  # leases keep it from the same groups
                self.apply(lakeopt.plan(NAME, branch=self.history.branch(branch), strategy="bin-pack"))

    @rule(branch=PICK, choices=CHOICES)
    def plan(self, branch: int, choices: dict[str, Any]) -> None:
        self.planned = lakeopt.plan(NAME, branch=self.history.branch(branch), **_spelt(choices))

    @precondition(lambda self: self.planned is not None)
    @rule()
    def apply_later(self) -> None:
        """A plan that was saved some steps before; it holds or is refused."""
        plan, self.planned = self.planned, None
        assert plan is not None
        before = {file.file_path for file in self.live(plan.branch)}
        refusals = (CommitConflict, StalePlan) if plan.branch in self.history.refs else LakeoptError
        try:
            self.apply(plan)
        except refusals:
            self.history.note(plan.branch)
        self.history.touch(plan.branch, before - {file.file_path for file in self.live(plan.branch)})

    def live(self, branch: str) -> list[Any]:
        return self.history.live_files(branch) if branch in self.history.refs else []

    @precondition(lambda self: self.pending is None)
    @rule(branch=PICK, group=PICK, count=st.integers(1, 4), is_sorted=st.booleans())
    def stage(self, branch: int, group: int, count: int, is_sorted: bool) -> None:
        """Plan and stage some of the files of a partition."""
        name = self.history.branch(branch)
        groups: dict[Any, list[Any]] = {}
        for file in self.history.live_files(name):
            groups.setdefault(place_of(file), []).append(file)
        if groups:
            some = list(groups.values())[group % len(groups)][:count]
            plan = plan_for(self.history.table, files=some, sort=("id",) if is_sorted else (), branch=name)
            base, paths = int(plan.base_snapshot_id or 0), {file.file_path for file in some}
            watch = Watch(name, base, paths, plan.schema_id)
            self.pending = Pending(plan, stage(self.history.table, plan), watch)
            self.history.watch = watch

    @precondition(lambda self: self.pending is not None)
    @rule()
    def commit(self) -> None:
        """It must succeed if nobody touched its files, and give way if anybody did."""
        pending, self.pending, self.history.watch = self.pending, None, None
        assert pending is not None
        error: LakeoptError | None = None
        watch = pending.watch
        try:
            commit(self.history.table, pending.plan, pending.staged)
        except (CommitConflict, StalePlan) as caught:
            error = caught
            for path in pending.paths:
                local(path).unlink()
        self.history.note(watch.branch)
        given_way = watch.stale or watch.other_schema or watch.touched
        assert given_way <= (error is not None)
        assert error is None or given_way or watch.doubtful, error

    @rule(branch=PICK, target_bytes=st.sampled_from([300, 2000, 1 << 23]))
    def rewrite_manifests(self, branch: int, target_bytes: int) -> None:
        """Regrouped manifests list the same files in the same words, and say no more of partitions than before."""
        name = self.history.branch(branch)
        before, bounds = says(self.history.table, name), summaries(self.history.table, name)
        pruned = self.history.pruned(name)
        lakeopt.rewrite_manifests(NAME, branch=name, target_bytes=target_bytes)
        self.history.note(name)
        assert says(self.history.table, name) == before
        assert self.history.pruned(name) == pruned
        for key, (null, low, high) in summaries(self.history.table, name).items():  # deleted entries no longer count
            assert null <= bounds[key][0]
            assert low is None or bounds[key][1] <= low
            assert high is None or high <= bounds[key][2]

    @precondition(lambda self: self.done)
    @rule(pick=PICK)
    def undo(self, pick: int) -> None:
        """The last rewrites of a branch can be undone, and no commit of anybody else with them."""
        branch, done = self.done[-1 - pick % min(len(self.done), 3)]
        ids = [int(number) for number in reversed(done.snapshot_ids)]
        line = self.history.line(branch) if branch in self.history.refs else []
        is_top = line[: len(ids)] == ids and len(line) > len(ids)
        try:
            lakeopt.restore(NAME, done.plan_id)
        except LakeoptError:
            assert not is_top
            self.history.note()
        else:
            self.history.note(branch)
            if is_top:
                assert self.history.refs[branch] == line[len(ids)]
            self.history.after_rollback(branch)

    @rule(retain_last=st.integers(1, 4))
    def expire(self, retain_last: int) -> None:
        before = {one.snapshot_id for one in self.history.table.snapshots()}
        done = lakeopt.expire_snapshots(NAME, older_than="0s", retain_last=retain_last)
        self.history.note()
        self.history.after_expiry()
        after = {one.snapshot_id for one in self.history.table.snapshots()}
        assert after == {int(one.snapshot_id) for one in done.retained}
        assert before - after == set(map(int, done.expired))

    @rule(ripe=st.booleans(), old_quarantine=st.booleans())
    def sweep(self, ripe: bool, old_quarantine: bool) -> None:
        """Just what was marked, is old enough, and nothing reaches goes; so does what the quarantine kept as long."""
        if ripe:
            age(folder(self.history.table), 26 / 24)
            for path in (self.state / "marks").rglob("*.json"):
                path.write_text(json.dumps(json.loads(path.read_text()) | {"marked_at": "2020-01-01T00:00:00+00:00"}))
            age(self.state / "marks", 25 / 24)
        if old_quarantine:
            age(self.state / "quarantine", 25 / 24)
        before, dead = self.history.files(), self.marked() - self.history.reached()
        done = lakeopt.sweep(NAME)
        assert done.failed == ()
        gone = before - self.history.files()
        assert gone == (before & dead if ripe else set())
        if ripe:
            assert self.marked() == set()
        out = [name for files in self.quarantined.values() for name in files] if old_quarantine else []
        assert done.deleted_files_count == len(gone) + len(out)
        if old_quarantine:
            self.quarantined.clear()
            assert not list((self.state / "quarantine").rglob("manifest-*.json"))

    def marked(self) -> set[str]:
        """Files of the mark list."""
        objects = marked(IcebergTable(self.history.table), Settings())
        return {self.history.below(file.path) for one in objects for file in one.files}

    @precondition(lambda self: self.litter)  # else it would be most of each history
    @rule()
    def quarantine(self) -> None:
        """All that nobody explains is quarantined, once it is old, and nothing else."""
        staged = {local(path) for path in self.pending.paths} if self.pending else set()
        for path in folder(self.history.table).rglob("*"):
            if path.is_file() and path not in staged:
                age(path)
        before, orphans = self.history.contents(), self.unexplained() | self.litter & self.unexplained(set())
        done = lakeopt.remove_orphan_files(NAME)
        after = self.history.contents()
        assert after == {name: content for name, content in before.items() if name not in orphans}
        assert done.quarantined_files_count == len(orphans)
        assert done.failed == ()
        if orphans:
            self.quarantined[done.plan_id] = {name: before[name] for name in orphans}

    @precondition(lambda self: self.quarantined)
    @rule(pick=PICK)
    def bring_back(self, pick: int) -> None:
        plan_id = list(self.quarantined)[pick % len(self.quarantined)]
        files, before = self.quarantined.pop(plan_id), self.history.contents()
        lakeopt.restore(NAME, plan_id)
        assert self.history.contents() == before | files
        self.litter |= files.keys()

    # what always holds

    @invariant()
    def every_ref_and_snapshot_is_as_the_model_says(self) -> None:
        if hasattr(self, "history"):
            self.history.check()

    @invariant()
    def every_file_is_explained(self) -> None:
        """What nobody explains is an old metadata file that fell out of the log."""
        if not hasattr(self, "history"):
            return
        assert self.history.reached() <= self.history.files()
        left = self.unexplained()
        if self.history.properties == LOG:
            self.litter |= {name for name in left if name.endswith(".metadata.json")}
        assert left <= self.litter, sorted(left - self.litter)

    def unexplained(self, litter: set[str] | None = None) -> set[str]:
        """Files that neither metadata nor a mark names, that no run is at, and that nobody is known to have left."""
        staged = {self.history.below(path) for path in self.pending.paths} if self.pending else set()
        mine = {name for name in self.history.files() if self.running and Path(name).name.startswith(self.running)}
        known = self.history.reached() | self.marked() | staged | mine
        return self.history.files() - known - (self.litter if litter is None else litter)


def _spelt(choices: Mapping[str, Any]) -> dict[str, Any]:
    """Choices as ``lakeopt.plan`` takes them."""
    key = parse_sort_fields(choices["sort_by"]) if choices["sort_by"] else ()
    return {**choices, "strategy": "sort" if key else "bin-pack", "sort_by": key}


TestTableHistory = pytest.mark.fault(pytest.mark.slow(TableHistory.TestCase))
TestTableHistory.settings = settings(
    max_examples=150 if SOAK else 15,
    stateful_step_count=20 if SOAK else 12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
