"""Decisions: layouts, recommendations and rewrite plans."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from lakeopt.errors import UsageError
from lakeopt.model.serde import Document

Direction = Literal["asc", "desc"]
Nulls = Literal["first", "last"]
Goal = Literal["storage", "reads", "balanced"]
#: ``auto``: bytes of what is copied, rows of what is decoded.
Verify = Literal["auto", "rows", "counts"]
Method = Literal["copy", "decode"]

#: Sorted files that may meet at one key before they are merged: so many are read for a point, where one would do.
MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class SortField:
    """One column of a sort key, compared as the Iceberg spec compares (NaN largest, -0.0 before 0.0)."""

    name: str
    direction: Direction = "asc"
    nulls: Nulls = "first"

    def __str__(self) -> str:
        default = ("asc", "first") if self.direction == "asc" else ("desc", "last")
        text = self.name if self.direction == "asc" else f"{self.name} desc"
        return text if (self.direction, self.nulls) == default else f"{text} nulls {self.nulls}"


#: The strategy whose cut points divide a partition into files.
PV_BUCKETS = "pv-buckets"


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows lie in the files of a table. ``version`` is raised when the same words come to mean another order.

    With ``block_rows`` rows are sorted only inside arrival blocks of so many rows, else over the whole partition.
    ``cuts`` holds cut points by column, as :func:`lakeopt.keys.cut_points.to_text` writes them: of each column alone
    (z-order, Hilbert), or of pairs of the two columns (PV buckets). With ``seen`` only these values of the first
    column are told apart, and all others are in a bucket behind the last.
    """

    strategy: str
    columns: tuple[SortField, ...] = ()
    version: int = 1
    block_rows: int | None = None
    cuts: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    seen: tuple[str | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A data or delete file that a plan names."""

    path: str
    bytes: int
    record_count: int


@dataclass(frozen=True, slots=True)
class MeasuredLayout:
    """What was measured when a layout was chosen, and what it made of the rows of that plan.

    ``bytes_ratio`` is what was foretold, to arrival order; ``read_ratio`` the bytes that reads take, in the same way
    (without queries a read takes all). ``record_count`` and ``measured_at`` are of the table then, ``queries`` is a
    digest of the file that it was judged by, and ``encodings`` those that might be written. ``arrival_bytes`` of
    ``arrival_records`` rows became ``written_bytes``. The layout is without its cut points.
    """

    plan_id: str
    measured_at: str
    goal: Goal
    layout: Layout
    writer: Mapping[str, str]
    bytes_ratio: float
    read_ratio: float
    record_count: int
    queries: str | None = None
    encodings: tuple[str, ...] = ()
    arrival_bytes: int = 0
    arrival_records: int = 0
    written_bytes: int = 0

    @property
    def ratio(self) -> float:
        """Bytes of the rows in this layout relative to those that they arrived in: as written, else as foretold."""
        return self.written_bytes / self.arrival_bytes if self.arrival_bytes else self.bytes_ratio


#: Why a group is left alone that costs more than it gains.
NOT_WORTH_IT = "not worth it"


@dataclass(frozen=True, slots=True)
class Worth:
    """What a rewrite costs and gains, in the currency of the configured prices, and what the figures come from."""

    cost: float
    gain: float
    seconds: float
    saved_bytes: int
    keep_days: float
    reads_a_day: float

    @classmethod
    def together(cls, groups: Iterable[SkippedGroup]) -> Worth | None:
        """Of all groups that say what they are worth; None where none does."""
        judged = [group.worth for group in groups if group.worth is not None]
        if not judged:
            return None
        costs, gains, seconds, saved = (
            sum(getattr(worth, name) for worth in judged) for name in ("cost", "gain", "seconds", "saved_bytes")
        )
        return cls(costs, gains, seconds, saved, judged[0].keep_days, judged[0].reads_a_day)


@dataclass(frozen=True, slots=True)
class PartitionSwitch:
    """Where a Hive partition lay when a rewrite was planned; all of it is checked again directly before the switch.

    ``values`` are those of the partition columns, empty for a table without partitions. ``listing`` is a digest of
    names, sizes and times of all files at ``location``, ``description`` one of what the metastore says of it.
    """

    values: tuple[str | None, ...]
    location: str
    listing: str
    description: str


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Data files of one partition (and one partition spec) that are read together and written anew together.

    ``partition`` is for people; the committer takes the partition tuple from the replaced files themselves.
    ``from_spec_ids`` names the specs of the files where they are divided anew, into the partitions of ``spec_id``;
    it is empty where they stay in their partition.
    ``method`` says whether row groups are copied byte for byte or rows are decoded and encoded anew, and
    ``method_reason`` why. ``arrival_bytes`` are those of files that do not lie in the layout yet. ``across`` is the
    share of its bytes in files that the queries read only a part of, by their weights; null without queries.
    ``switch`` is of Hive tables, where a group is a whole partition.
    """

    group_id: int
    spec_id: int
    partition: str
    file_count: int
    bytes: int
    record_count: int
    data_files: tuple[PlannedFile, ...]
    delete_files: tuple[PlannedFile, ...] = ()
    from_spec_ids: tuple[int, ...] = ()
    method: Method = "decode"
    method_reason: str = ""
    arrival_bytes: int = 0
    across: float | None = None
    switch: PartitionSwitch | None = None

    @property
    def source_spec_ids(self) -> tuple[int, ...]:
        """Specs that the group's files may be of."""
        return self.from_spec_ids or (self.spec_id,)


@dataclass(frozen=True, slots=True)
class SkippedGroup:
    """Part of a table that the plan leaves alone, and why. Neither error nor success.

    ``worth`` has the figures where it would cost more than it gains.
    """

    partition: str
    reason: str
    file_count: int = 0
    bytes: int = 0
    worth: Worth | None = None


@dataclass(frozen=True, slots=True)
class RewriteEstimate:
    """What the plan expects: bytes read and written, files after."""

    bytes_to_read: int
    bytes_after: int | None
    files_after: int


@dataclass(frozen=True)
class RewritePlan(Document):
    """A rewrite that was decided and touches nothing until it is applied.

    ``writer`` holds what the data files are written with (:class:`lakeopt.model.scan.WriterOptions` as data);
    with ``partial_progress`` each group is a commit of its own, and a group that fails does not keep the others;
    ``schema_id`` and ``table_uuid`` are checked when it is applied. ``measured`` says what the layout was chosen by,
    in this plan or in the one that it names: then the table remembered it, and nothing was searched.
    ``not_applied`` names choices of ``writer`` that the engine cannot express: files are written without them.
    ``engine_reason`` says why the engine was chosen, where that was left open.
    """

    kind: ClassVar[str] = "rewrite_plan"
    plan_id: str
    created_at: str
    table: str
    table_uuid: str
    branch: str
    base_snapshot_id: str | None
    schema_id: int
    layout: Layout
    engine: str
    committer: str
    verify: Verify
    target_file_bytes: int
    set_default_sort_order: bool
    writer: Mapping[str, str]
    groups: tuple[FileGroup, ...]
    skipped: tuple[SkippedGroup, ...]
    estimate: RewriteEstimate
    partial_progress: bool = False
    measured: MeasuredLayout | None = None
    not_applied: tuple[str, ...] = ()
    engine_reason: str = ""

    @property
    def is_remembered(self) -> bool:
        """Whether an earlier plan chose its layout."""
        return self.measured is not None and self.measured.plan_id != self.plan_id

    def require_consistent(self) -> None:
        """Refuse a plan that was edited into nonsense, before anything is written.

        A file that stands in it twice would have its rows doubled, behind a proof that reads the same list;
        a ``plan_id`` that is no plain name would lead out of the table's folder.

        :raises UsageError: it contradicts itself.
        """
        base = self.base_snapshot_id
        _require(_PLAN_ID.fullmatch(self.plan_id), f"{self.plan_id!r} is no plan id")
        _require(base is None or (base.isascii() and base.isdecimal()), f"{base!r} is no snapshot id")
        _require(self.target_file_bytes > 0, "the target file size must be above zero")
        ids = {group.group_id for group in self.groups}
        _require(len(ids) == len(self.groups), "two groups have the same number")
        paths = [file.path for group in self.groups for file in group.data_files]
        _require(len(set(paths)) == len(paths), "a data file is named twice")
        for group in self.groups:
            files = group.data_files
            counts = (len(files), sum(f.bytes for f in files), sum(f.record_count for f in files))
            held = (group.file_count, group.bytes, group.record_count) == counts
            _require(files and held, f"the counts of group {group.group_id} are not those of its files")
            decodes = group.delete_files or group.from_spec_ids or self.layout.columns
            _require(group.method == "decode" or not decodes, f"rows of group {group.group_id} cannot be copied")


_PLAN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]*")


def _require(holds: object, what: str) -> None:
    if not holds:
        raise UsageError(f"the plan contradicts itself: {what}", hint="make a new plan")


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the table takes today, and what merging its small files alone would make of it.

    ``bin_packed_bytes`` is with the table's own writer, ``tuned_bytes`` with the writer and the encodings that a
    layout would be written with: what is below that is the merit of an order. ``sampled_bytes`` are those of the
    sampled rows in arrival order, with the table's own writer.
    """

    current_bytes: int
    bin_packed_bytes: int
    tuned_bytes: int
    sampled_rows: int
    sampled_bytes: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """One layout that was measured. ``bytes_ratio`` is to arrival order with the table's own writer (< 1 is smaller).

    ``writer`` holds the encodings that were chosen together with the order of the chosen candidate. With
    ``block_rows`` rows are sorted inside arrival blocks of so many rows; ``cuts`` are those of its layout.
    """

    strategy: str
    columns: tuple[SortField, ...]
    writer: Mapping[str, str]
    bytes_ratio: float
    scanned_ratio: float | None
    why: str
    block_rows: int | None = None
    cuts: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class LayoutRecommendation(Document):
    """Candidate layouts, best first; ``chosen`` indexes ``candidates``, null means: leave it alone.

    ``options`` are those of the command line with which ``rewrite`` takes the choice, beside defaults; the value of one
    that takes none is empty.
    """

    kind: ClassVar[str] = "layout_recommendation"
    table: str
    snapshot_id: str | None
    goal: Goal
    baseline: Baseline
    candidates: tuple[Candidate, ...]
    chosen: int | None
    reason: str
    trials: int
    elapsed_seconds: float
    options: Mapping[str, str] = field(default_factory=dict)
