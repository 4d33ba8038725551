"""Carry a migration out: stage or name files, prove the rows equal as the new table reads them, put it in its catalog.

The new table appears with all of its files in one commit. What a killed run left is removed by the next one, by the
journal of the source: names of data files begin with plan and run, manifests bear the commit's UUID, and the table's
UUID stands in its metadata file.
"""

from __future__ import annotations

import contextlib
import functools
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lakeopt import registry
from lakeopt.config import Settings, load_settings
from lakeopt.errors import CommitOutcomeUnknown, Interrupted, LakeoptError, ProofFailed, Refused, StalePlan
from lakeopt.model.layout_record import name_suffix
from lakeopt.model.migration import MigrationPlan, MigrationResult
from lakeopt.model.result import Verification
from lakeopt.model.scan import Scan, StageRequest
from lakeopt.tables.base import Table
from lakeopt.tables.shield import shielded
from lakeopt.workflows import journal, resources
from lakeopt.workflows.group_run import Progress
from lakeopt.workflows.migratable import Migratable, checked
from lakeopt.workflows.phase_times import timed
from lakeopt.workflows.spill import spill_directory
from lakeopt.workflows.stage_requests import stage_request
from lakeopt.workflows.verify import prove

if TYPE_CHECKING:
    import pyarrow as pa

    from lakeopt.tables.iceberg.new_table import NewName, NewTable


def apply_migration(
    plan: MigrationPlan,
    *,
    memory_bytes: int | None = None,
    threads: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> MigrationResult:
    """Carry a plan out. The source is never changed; on any failure there is no new table, nor a file of it.

    :raises StalePlan: the source has other files than when it was planned, or they change meanwhile.
    :raises ProofFailed: the new table would read other rows; it is not made.
    :raises CommitConflict: there is a table of the new name by now.
    :raises CommitOutcomeUnknown: the catalog did not answer; the files are kept.
    """
    from lakeopt.tables.iceberg.new_table import new_name
    from lakeopt.tables.open import open_table

    settings = settings or load_settings()
    plan.require_consistent()
    source, target = open_table(plan.table, settings), new_name(plan.to, settings)
    _require_same(source, plan)
    settle_migrations(source, settings)
    if target.is_taken:
        raise Refused(f"there is a table {target} already", hint="choose another name, or drop that table first")
    found = checked(source, rewrite=plan.mode == "rewrite")
    token, commit_uuid = journal.new_token(), uuid.uuid4()
    run = _Run(
        plan,
        source,
        target,
        found,
        token,
        commit_uuid,
        resources.memory(memory_bytes, settings),
        resources.threads(threads, settings),
        progress or (lambda phase, done, total: None),
    )
    log = journal.start(source, plan, "migrate", settings, token=token)
    try:
        return run.carry_out(log)
    except BaseException as error:
        _give_up(run, log, error)
        raise


def _require_same(source: Table, plan: MigrationPlan) -> None:
    base = source.snapshot_id()
    if (source.uuid, None if base is None else str(base)) != (plan.table_uuid, plan.base_snapshot_id):
        raise StalePlan(f"{plan.table} has changed since the plan", hint="plan again")


@dataclass
class _Run:
    """One run of a plan. ``traces`` say where its files may be on disk; none before the table is prepared."""

    plan: MigrationPlan
    source: Table
    target: NewName
    found: Migratable
    token: str
    commit_uuid: uuid.UUID
    memory_bytes: int
    threads: int
    progress: Progress
    started: float = field(default_factory=time.perf_counter)
    seconds: dict[str, float] = field(default_factory=dict)
    traces: dict[str, str] | None = None
    rows_staged: int = 0

    def carry_out(self, log: journal.JournalWriter) -> MigrationResult:
        """From the first file to the catalog's answer."""
        from lakeopt.tables.iceberg.new_table import NewTable

        new = NewTable.stage(
            self.target, self.found.schema, self.found.partition_columns, self.plan.layout, self.plan.properties
        )
        scan = self._scan(new)
        self.traces = {
            "to": str(self.target),
            "location": new.table.location,
            "prefix": self._prefix,
            "commit_uuid": str(self.commit_uuid),
            "uuid": new.table.uuid,
        }
        log.write("staging", group_id=0, folder=new.table.location, **self.traces)
        with timed(self.seconds, "stage"):
            files = self._staged(new, scan) if self.plan.mode == "rewrite" else self._named(new, scan)
        added = new.add(files, self.commit_uuid, {"lakeopt.plan-id": self.plan.plan_id})
        with timed(self.seconds, "prove"):
            proof = self._prove(scan, added)
        _require_same(self.source.refresh(), self.plan)
        with shielded():  # a signal between the commit and its journal entry would discard a table's files
            log.write("creating", **self.traces)
            with timed(self.seconds, "commit"):
                snapshot_id = added.commit()
            result = self._result(added, snapshot_id, proof)
            log.write("committed", **journal.result_event(result))
        return self._compared(result)

    @property
    def _prefix(self) -> str:
        return f"{self.plan.plan_id}-{self.token}-"

    def _scan(self, new: NewTable) -> Scan:
        """The source's rows under the new table's columns and field ids."""
        scan, ids = self.source.scan(self.found.files), new.ids(self.found.schema)
        mapping = scan.name_mapping and tuple(_renumbered(entry, ids) for entry in scan.name_mapping)
        return replace(scan, schema=new.table.schema, name_mapping=mapping)

    def _groups(self, scan: Scan) -> Iterator[tuple[pa.Table, tuple[Any, ...]]]:
        """The files of each partition of the source, with its values by field id."""
        import pyarrow.compute as pc

        files = scan.files
        for partition in dict.fromkeys(files["partition"].to_pylist()):
            own = files.filter(pc.equal(files["partition"], partition))
            yield own, (scan.constants.get(own["file_path"][0].as_py(), {}),)

    def _named(self, new: NewTable, scan: Scan) -> list[Any]:
        made = []
        for files, (values,) in self._groups(scan):
            partition = new.encode(values)
            made += [new.named_file(row, partition) for row in files.to_pylist(maps_as_pydicts="strict")]
        return made

    def _staged(self, new: NewTable, scan: Scan) -> list[Any]:
        engine, made, number = registry.load(registry.ENGINES, self.plan.engine).ENGINE, [], 0
        registry.load(registry.STRATEGIES, self.plan.layout.strategy)
        with spill_directory() as spill:
            for files, (values,) in self._groups(scan):
                partition = new.encode(values)
                request = self._request(new, replace(scan, files=files), partition, number, spill)
                staged = engine.stage(request)
                if request.leading is not None and not all(staged["sorted"].to_pylist()):
                    raise ProofFailed("a file was not written in the order of its layout", hint="please report this")
                made += new.staged_files(staged.to_pylist(maps_as_pydicts="strict"), partition)
                number += 1
        return made

    def _request(
        self, new: NewTable, scan: Scan, partition: tuple[bytes | None, ...], number: int, spill: str
    ) -> StageRequest:
        suffix = name_suffix(self.plan.layout)

        def name(place: int) -> str:
            return f"{self._prefix}{number:05d}-{place:05d}{suffix}"

        division = new.table.repartition(new.table.default_spec_id, name)
        return stage_request(
            self.plan,
            scan,
            functools.partial(_located, division.locate, partition),
            memory_bytes=self.memory_bytes,
            threads=self.threads,
            spill=spill,
            progress=self._advance,
        )

    def _advance(self, rows: int) -> None:
        self.rows_staged += rows
        self.progress("rewriting", self.rows_staged, self.plan.record_count)

    def _prove(self, before: Scan, new: NewTable) -> Verification:
        """The rows of the source against those of the new table, by the manifests that it will have."""
        import pyarrow as pa

        from lakeopt.model.scan import files_schema

        files = pa.concat_tables([files_schema().empty_table(), *new.table.files()])
        engine = registry.load(registry.ENGINES, self.plan.engine).ENGINE
        self.progress("proving", 0, self.plan.record_count)
        after = new.table.scan(files)
        proof = prove(engine, before, after, self.plan.verify, threads=self.threads, memory_bytes=self.memory_bytes)
        self.progress("proving", self.plan.record_count, self.plan.record_count)
        return proof

    def _result(self, new: NewTable, snapshot_id: int | None, proof: Verification) -> MigrationResult:
        sizes = [size for part in new.table.files() for size in part["file_size_in_bytes"].to_pylist()]
        return MigrationResult(
            plan_id=self.plan.plan_id,
            table=self.plan.table,
            to=self.plan.to,
            mode=self.plan.mode,
            snapshot_ids=() if snapshot_id is None else (str(snapshot_id),),
            data_file_count_before=self.plan.file_count,
            data_file_count_after=len(sizes),
            bytes_before=self.plan.bytes,
            bytes_after=sum(sizes),
            record_count=proof.record_count,
            verification=proof,
            elapsed_seconds=time.perf_counter() - self.started,
            seconds=self.seconds,
            notes=self.plan.notes,
        )

    def _compared(self, result: MigrationResult) -> MigrationResult:
        """With the comparison by column, where there is something to compare; it is no part of the journal."""
        if self.plan.mode == "in-place" or not result.record_count:
            return result
        from lakeopt.workflows.compare import compare

        return replace(result, comparison=compare(self.source, self.target_table()))

    def target_table(self) -> Table:
        """The new table as its catalog has it."""
        from lakeopt.tables.open import open_table

        return open_table(self.plan.to)


def _located(locate: Any, partition: tuple[bytes | None, ...], number: int) -> str:
    location: str = locate(number, partition)
    return location


def _renumbered(entry: Mapping[str, Any], ids: Mapping[int, int]) -> dict[str, Any]:
    """A mapped field with the new table's ids."""
    made = dict(entry)
    if "field-id" in made:
        made["field-id"] = ids.get(made["field-id"], made["field-id"])
    if made.get("fields"):
        made["fields"] = tuple(_renumbered(inner, ids) for inner in made["fields"])
    return made


def _give_up(run: _Run, log: journal.JournalWriter, error: BaseException) -> None:
    """Remove what was written, unless the table is (or may yet be) there; say so in the journal."""
    with shielded(), contextlib.suppress(LakeoptError):
        if isinstance(error, CommitOutcomeUnknown):
            log.write("unknown", error=str(error))
            return
        if run.traces is not None and not run.target.has(run.traces["uuid"]):
            _remove(run.target, run.traces)
        interrupted = isinstance(error, KeyboardInterrupt | Interrupted)
        plain = isinstance(error, LakeoptError | KeyboardInterrupt) and str(error)
        reason = plain or f"{type(error).__name__}: {error}"
        log.write("interrupted" if interrupted else "failed", error=reason)


def settle_migrations(source: Table, settings: Settings) -> None:
    """Finish what killed migrations of a table left: tables that were made after all, or files of none.

    :raises Unreachable: the journal or the catalog cannot be read.
    """
    from lakeopt.tables.iceberg.new_table import new_name

    for run in journal.unfinished(source, settings):
        if (run.started.get("plan") or {}).get("kind") != MigrationPlan.kind or not run.is_dead:
            continue
        traces = next(iter(run.of("staging")), None)
        log, removed = run.writer(source), 0
        if traces is not None:
            target = new_name(str(traces["to"]), settings)
            if run.of("creating") and target.has(str(traces["uuid"])):
                log.write("committed", settled_later=True)
                continue
            removed = _remove(target, traces)
        log.write("interrupted", error=f"it was killed; {removed} files that it left are removed", settled_later=True)


def _remove(target: NewName, traces: Mapping[str, Any]) -> int:
    """Delete what the making of a table left that is in no catalog; how many files."""
    from lakeopt.tables.iceberg.new_table import left_behind

    found = left_behind(target.resolve, traces["location"], traces["prefix"], traces["commit_uuid"], traces["uuid"])
    for location, _ in found:
        filesystem, path = target.resolve(location)
        with contextlib.suppress(FileNotFoundError):
            filesystem.delete_file(path)
    return len(found)
