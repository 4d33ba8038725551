"""One run of a rewrite plan: what it holds on to while it works, and how one file group is staged and proved."""

from __future__ import annotations

import functools
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lakeopt.engines.base import Engine
from lakeopt.errors import ProofFailed, Unreachable
from lakeopt.model.layout_record import name_suffix
from lakeopt.model.plan import FileGroup, RewritePlan, SkippedGroup, Worth
from lakeopt.model.result import FailedGroup, RewriteResult, Shuffle, Verification
from lakeopt.model.scan import Repartition, Scan, StageRequest, TableSource
from lakeopt.tables.base import Committed, Table
from lakeopt.tables.sources import table_source
from lakeopt.workflows import resources
from lakeopt.workflows.journal import JournalWriter
from lakeopt.workflows.phase_times import timed
from lakeopt.workflows.stage_requests import stage_request
from lakeopt.workflows.verify import joined, proof_method, prove, staged_scan

if TYPE_CHECKING:
    import pyarrow as pa

#: ``progress(phase, done, total)``: rows done of all rows, in the phases ``rewriting`` and ``proving``.
Progress = Callable[[str, int, int], None]

#: Names of output files tried to find the folder that all of a group lie below (object-store layouts spread them).
_PROBES = 16


@dataclass
class GroupRun:
    """A run of a plan, and what became of its groups so far.

    ``token`` tells its files from those of another run of the same plan, which may have been killed or still be on.
    ``staged`` and ``proofs`` are of groups that are written and not committed yet, ``begun`` says of them, and of one
    that is being written, where their files are. ``started`` is of the clock of :func:`time.perf_counter`. ``conf`` are
    settings of the engine by their own names.
    """

    plan: RewritePlan
    table: Table
    engine: Engine
    memory_bytes: int
    threads: int
    progress: Progress
    token: str
    started: float
    conf: Mapping[str, str] = field(default_factory=dict)
    begun: dict[int, dict[str, str]] = field(default_factory=dict)
    staged: dict[int, pa.Table] = field(default_factory=dict)
    proofs: dict[int, Verification] = field(default_factory=dict)
    done: list[FileGroup] = field(default_factory=list)
    proved: list[Verification] = field(default_factory=list)
    added_bytes: list[int] = field(default_factory=list)
    skipped: list[SkippedGroup] = field(default_factory=list)
    failed: list[FailedGroup] = field(default_factory=list)
    commits: list[Committed] = field(default_factory=list)
    shuffles: list[Shuffle] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    rows_staged: int = 0
    rows_proved: int = 0

    @property
    def total(self) -> int:
        """Rows of all groups of the plan."""
        return sum(group.record_count for group in self.plan.groups)

    def skip(self, group: FileGroup, reason: str) -> None:
        """Leave a group alone, and say why."""
        self.skipped.append(SkippedGroup(group.partition, reason, group.file_count, group.bytes))

    def land(self, committed: Committed) -> None:
        """What was staged is committed: it is no longer ours to remove."""
        self.commits.append(committed)
        self.done += [group for group in self.plan.groups if group.group_id in self.staged]
        self.proved += self.proofs.values()
        self.added_bytes += [size for files in self.staged.values() for size in files["file_size_in_bytes"].to_pylist()]
        self.forget()

    def forget(self) -> None:
        """What was written is no longer ours: committed, or removed."""
        self.begun.clear()
        self.staged.clear()
        self.proofs.clear()

    def half_staged(self) -> list[str]:
        """Locations of files of a group of which no list came back: an interrupt may fall after the last is written.

        :raises Unreachable: the data folder cannot be listed.
        """
        begun = [where for number, where in self.begun.items() if number not in self.staged]
        return [location for where in begun for location, _ in written_files(self.table, **where)]

    def stage_and_prove(self, group: FileGroup, files: pa.Table, spill: str, log: JournalWriter) -> None:
        """Write a group's files anew and prove their rows equal, before the next one begins: a fault shows early."""
        from lakeopt.parquet.partition_keys import require_own_partition

        scan = replace(self.table.scan(files, stored_only=True), form=self.table.file_form(files))
        self.begun[group.group_id] = self._whereabouts(group)
        log.write("staging", group_id=group.group_id, **self.begun[group.group_id])
        with timed(self.seconds, "stage"):
            self.staged[group.group_id] = self._stage(group, self._request(group, scan, spill))
        self.progress("proving", self.rows_proved, self.total)
        with timed(self.seconds, "prove"):
            written = staged_scan(scan, self.staged[group.group_id])
            method = proof_method(self.plan.verify, group.method)
            proof = prove(self.engine, scan, written, method, threads=self.threads, memory_bytes=self.memory_bytes)
            partition = self._repartition(group)
            if partition is not None and method == "rows":
                staged = self.staged[group.group_id]
                require_own_partition(written, staged, partition, memory_bytes=self.memory_bytes)
        self.proofs[group.group_id] = proof
        self.rows_proved += group.record_count
        self.progress("proving", self.rows_proved, self.total)
        log.write(
            "staged",
            group_id=group.group_id,
            files=self.staged[group.group_id]["file_path"].to_pylist(),
            fingerprint=proof.fingerprint,
        )

    def _stage(self, group: FileGroup, request: StageRequest) -> pa.Table:
        """Write the files of a group: row groups are copied here, rows go through the engine."""
        if group.method == "copy":
            from lakeopt.parquet.copy_row_groups import copy_row_groups

            return copy_row_groups(request)
        staged = self.engine.stage(request)
        if request.leading is not None and not all(staged["sorted"].to_pylist()):
            self.staged[group.group_id] = staged  # so that its files are removed
            raise ProofFailed(
                "a file was not written in the order of its layout",
                hint="the table is as it was, and the files written are removed; please report this",
            )
        return staged

    def result(self) -> RewriteResult:
        """What was done so far, as a value."""
        return RewriteResult(
            plan_id=self.plan.plan_id,
            table=self.plan.table,
            layout=self.plan.layout,
            snapshot_ids=tuple(str(commit.snapshot_id) for commit in self.commits),
            rewritten_data_files_count=sum(group.file_count for group in self.done),
            added_data_files_count=len(self.added_bytes),
            removed_delete_files_count=sum(commit.removed_delete_files_count for commit in self.commits),
            bytes_before=sum(group.bytes for group in self.done),
            bytes_after=sum(self.added_bytes),
            record_count=sum(proof.record_count for proof in self.proved),
            verification=joined(self.proved),
            groups_done=len(self.done),
            groups_skipped=len(self.plan.skipped) + len(self.skipped),
            groups_failed=len(self.failed),
            skipped=Counter(group.reason for group in (*self.plan.skipped, *self.skipped)),
            failed=tuple(self.failed),
            elapsed_seconds=time.perf_counter() - self.started,
            seconds=self.seconds,
            peak_rss_bytes=resources.peak_rss_bytes(),
            not_worth_it=Worth.together(self.plan.skipped),
            shuffle=Shuffle.together(self.shuffles),
        )

    def _prefix(self, group: FileGroup) -> str:
        return f"{self.plan.plan_id}-{self.token}-{group.group_id:05d}-"

    def _locate(self, group: FileGroup, number: int) -> str:
        return self.table.new_data_location(group, self._name(group, number))

    def _name(self, group: FileGroup, number: int) -> str:
        suffix = name_suffix(self.plan.layout, always=not self.table.keeps_snapshots)
        return f"{self._prefix(group)}{number:05d}{suffix}"

    def _repartition(self, group: FileGroup) -> Repartition | None:
        """How the rows of a group are divided anew, or None where they stay in their partition."""
        if not group.from_spec_ids:
            return None
        return self.table.repartition(group.spec_id, functools.partial(self._name, group))

    def _whereabouts(self, group: FileGroup) -> dict[str, str]:
        """Where the files of a group will be found, even half-written ones: the folder, and how names begin."""
        if (source := self._source(group)) is not None:
            return {"folder": source.folder, "prefix": ""}
        if (partition := self._repartition(group)) is not None:
            # Its partitions are not known yet: one with no values at all lies below the same folder as they do.
            places = [partition.locate(number, ()) for number in range(_PROBES)]
        else:
            places = [self._locate(group, number) for number in range(_PROBES)]
        folders = [place.rpartition("/")[0] for place in places]
        return {"folder": _common(folders), "prefix": self._prefix(group)}

    def _source(self, group: FileGroup) -> TableSource | None:
        """Where an engine that names its files itself finds the table, and puts them: a folder for each group."""
        if not self.engine.names_files:
            return None
        return table_source(
            self.table,
            snapshot_id=int(self.plan.base_snapshot_id or 0),
            spec_id=group.spec_id,
            folder=self._prefix(group).removesuffix("-"),
            conf=self.conf,
        )

    def _request(self, group: FileGroup, scan: Scan, spill: str) -> StageRequest:
        return stage_request(
            self.plan,
            scan,
            functools.partial(self._locate, group),
            memory_bytes=self.memory_bytes,
            threads=self.threads,
            spill=spill,
            progress=self._advance,
            partition=self._repartition(group),
            source=self._source(group),
            observe=self.shuffles.append,
        )

    def _advance(self, rows: int) -> None:
        """Engines tell of the rows of each batch; a bar shows those of all groups so far."""
        self.rows_staged += rows
        self.progress("rewriting", self.rows_staged, self.total)


def written_files(table: Table, folder: str, prefix: str) -> Iterator[tuple[str, int]]:
    """Location and size of each file below a folder whose name begins so, as storage lists them: half-written ones too.

    :raises Unreachable: the folder cannot be listed.
    """
    from pyarrow import fs

    filesystem, path = table.resolve(folder)
    try:
        listed = filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True, recursive=True))
    except OSError as error:
        raise Unreachable(f"the data folder cannot be listed: {folder}: {error}") from error
    for info in listed:
        if info.is_file and info.base_name.startswith(prefix):
            yield f"{folder}{info.path[len(path) :]}", info.size


def _common(folders: list[str]) -> str:
    """The deepest folder above all of them.

    >>> _common(["s3://b/data/0101/x=1", "s3://b/data/0110/x=1"]), _common(["/a//b", "/a//b"])
    ('s3://b/data', '/a//b')
    """
    parts = zip(*(folder.split("/") for folder in folders), strict=False)
    same = itertools.takewhile(lambda part: len(set(part)) == 1, parts)
    return "/".join(part[0] for part in same)


def planned_files(table: Table, plan: RewritePlan) -> dict[int, pa.Table]:
    """The planned data files of each group as the base snapshot lists them, in the plan's order: that of arrival."""
    import pyarrow as pa
    import pyarrow.compute as pc

    base = int(plan.base_snapshot_id or 0) if table.keeps_snapshots else None
    wanted = pa.array([file.path for group in plan.groups for file in group.data_files], pa.string())
    files = pa.concat_tables(
        [part.filter(pc.is_in(part["file_path"], wanted)) for part in table.files(base)]
    ).combine_chunks()
    place = pc.index_in(wanted, files["file_path"].combine_chunks())
    ordered = files.take(place)
    ends = itertools.accumulate(group.file_count for group in plan.groups)
    return {
        group.group_id: ordered.slice(end - group.file_count, group.file_count)
        for group, end in zip(plan.groups, ends, strict=True)
    }
